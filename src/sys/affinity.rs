//! Which processors a thread may run on.
//!
//! # Safety rules
//!
//! 1. A pointer passed to the kernel names a mask that lives across the call, with its size.
#![allow(unsafe_code, reason = "room 1: the kernel's interface")]

use std::io;

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

/// Ties this thread to one processor.
pub(crate) fn pin(number: usize) -> io::Result<()> {
    let mut mask = Processors::new([number]);
    // SAFETY: rule 1.
    let result = unsafe { libc::sched_setaffinity(0, Processors::SIZE, mask.as_mut_ptr().cast()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_runs_where_it_is_pinned() {
        std::thread::spawn(|| {
            for number in allowed().expect("a mask") {
                pin(number).expect("it is allowed");
                assert_eq!(allowed().expect("a mask"), [number]);
                // Once pinned, the others are still ours to ask for.
            }
            let error = pin(MAX - 1).expect_err("no machine has so many");
            assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
        })
        .join()
        .expect("no panic");
    }
}
