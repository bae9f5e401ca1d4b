//! Which processors a thread may run on.
//!
//! # Safety rules
//!
//! 1. A pointer passed to the kernel names a mask that lives across the call, with its size.
#![allow(unsafe_code, reason = "room 1: the kernel's interface")]

use std::cell::Cell;
use std::io;

use super::thread::Affinity;

/// The most processors that a mask has room for. The kernel's own limit is 8192.
const MAX: usize = 8192;
const BITS: usize = usize::BITS as usize;

/// A set of processors, as the kernel reads it.
#[derive(Clone, Debug)]
pub(crate) struct Processors {
    words: Box<[usize; MAX / BITS]>,
}

impl Processors {
    /// Bytes of the mask.
    pub(crate) const SIZE: usize = MAX / 8;

    /// The set of these processors; numbers beyond the limit are left out.
    pub(crate) fn new(numbers: impl IntoIterator<Item = usize>) -> Self {
        let mut words = Box::new([0; MAX / BITS]);
        for number in numbers.into_iter().filter(|number| *number < MAX) {
            words[number / BITS] |= 1 << (number % BITS);
        }
        Self { words }
    }

    fn contains(&self, number: usize) -> bool {
        self.words[number / BITS] & (1 << (number % BITS)) != 0
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut usize {
        self.words.as_mut_ptr()
    }
}

/// The processors that this thread may run on, in order.
pub(crate) fn allowed() -> io::Result<Vec<usize>> {
    let mut mask = Processors::new([]);
    // SAFETY: rule 1.
    let result = unsafe { libc::sched_getaffinity(0, Processors::SIZE, mask.as_mut_ptr().cast()) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok((0..MAX).filter(|number| mask.contains(*number)).collect())
}

thread_local! {
    /// What this thread might use before it was pinned.
    static BEFORE: Cell<Option<Affinity>> = const { Cell::new(None) };
}

/// Ties this thread to one processor.
pub(crate) fn pin(number: usize) -> io::Result<()> {
    let before = Affinity::current();
    let mut mask = Processors::new([number]);
    // SAFETY: rule 1.
    let result = unsafe { libc::sched_setaffinity(0, Processors::SIZE, mask.as_mut_ptr().cast()) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    BEFORE.set(BEFORE.get().or(before));
    Ok(())
}

/// While it is there, this thread may use what it might before it was pinned, and so may a child that is started
/// meanwhile. Of a thread that was not it changes nothing.
#[derive(Debug)]
pub(crate) struct Unpinned {
    pinned: Option<Affinity>,
}

impl Unpinned {
    pub(crate) fn new() -> Self {
        let pinned = BEFORE.get().and_then(|before| {
            let pinned = Affinity::current()?;
            before.apply();
            Some(pinned)
        });
        Self { pinned }
    }
}

impl Drop for Unpinned {
    fn drop(&mut self) {
        if let Some(pinned) = &self.pinned {
            pinned.apply();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_runs_where_it_is_pinned() {
        std::thread::spawn(|| {
            let before = allowed().expect("a mask");
            drop(Unpinned::new());
            assert_eq!(allowed().expect("a mask"), before, "nobody pinned it");
            for number in &before {
                pin(*number).expect("it is allowed");
                assert_eq!(allowed().expect("a mask"), [*number]);
                // Once pinned, the others are still ours to ask for.
                let unpinned = Unpinned::new();
                assert_eq!(allowed().expect("a mask"), before);
                drop(unpinned);
                assert_eq!(allowed().expect("a mask"), [*number]);
            }
            let error = pin(MAX - 1).expect_err("no machine has so many");
            assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
        })
        .join()
        .expect("no panic");
    }
}
