//! The bell that ends a core's sleep from another thread, behind a `Waker`: a message to its ring where the kernel
//! takes one from who has no ring ([`Feature::RingMessage`](super::setup::Feature)), else an eventfd that the ring
//! polls.
//!
//! A waker may outlive its runtime, and must keep neither the ring nor what is in it. So it has no descriptor of the
//! ring, but the number of the ring's own, and a gate that the ring closes before that.
//!
//! # Safety rules
//!
//! 1. The eventfd is owned by an `Arc`, so no ringer can write to a number that was closed and reused.
//! 2. The number of a ring is used inside its gate alone, and whoever owns the ring closes the gate before the number.
//!    In a process that was forked, what closes descriptors by their numbers breaks both rules, as it does everywhere.
#![allow(unsafe_code, reason = "room 1: the kernel's interface")]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::task::{Wake, Waker};

use super::register;
use crate::loom;
use crate::loom::atomic::{AtomicU32, Ordering};

/// What other threads ring.
#[derive(Clone, Debug)]
pub(crate) enum Bell {
    /// Nothing stands in the ring for it; a completion that names no operation ends the sleep.
    Message(Arc<Gate>),
    /// A poll of it stands in the ring; each ringing completes it.
    Eventfd(Arc<Eventfd>),
}

impl Bell {
    /// A waker for any thread, for as long as it likes.
    pub(crate) fn waker(&self) -> Waker {
        match self {
            Self::Message(gate) => Waker::from(Arc::clone(gate)),
            Self::Eventfd(eventfd) => Waker::from(Arc::clone(eventfd)),
        }
    }
}

/// The way to a ring for those who ring it: open until the ring's descriptor is to be closed.
#[derive(Debug)]
pub(crate) struct Gate {
    ring: RawFd,
    /// `CLOSED`, and the count of those inside.
    word: AtomicU32,
}

const CLOSED: u32 = 1 << 31;

impl Gate {
    /// The gate of the ring with this number. Its owner closes it before the number (rule 2).
    pub(super) fn new(ring: RawFd) -> Self {
        Self { ring, word: AtomicU32::new(0) }
    }

    /// Goes in with the ring's number, which stays the ring's meanwhile; `None` if the gate is closed. What is done
    /// there neither waits nor panics.
    fn pass<T>(&self, inside: impl FnOnce(RawFd) -> T) -> Option<T> {
        // One word, so one order: whoever comes before `close` is waited for, and whoever comes after it sees that.
        // Acquire and Release: what is done inside stays inside.
        let is_open = self.word.fetch_add(1, Ordering::Acquire) & CLOSED == 0;
        let done = is_open.then(|| inside(self.ring));
        self.word.fetch_sub(1, Ordering::Release);
        done
    }

    /// Lets nobody in any more, and returns when all are out. They are inside for a system call that does not wait.
    pub(super) fn close(&self) {
        self.word.fetch_or(CLOSED, Ordering::Relaxed);
        // Acquire: what they did there comes before what our caller does now.
        while self.word.load(Ordering::Acquire) != CLOSED {
            loom::pause();
        }
    }
}

impl Wake for Gate {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        while let Some(Err(error)) = self.pass(register::send_message) {
            match error.raw_os_error() {
                // The kernel found no memory for the message. Nobody else will ring, so it is tried until it works or
                // the ring is gone. (EAGAIN is what it says to rings that poll disks, and EINTR nothing at all.)
                Some(libc::ENOMEM | libc::EAGAIN | libc::EINTR) => loom::pause(),
                // The completion queue is full, and there was no memory for one more: so something else ended the
                // sleep. A ring with deferred work says no such thing, but drops the completion in the same case.
                Some(libc::EOVERFLOW) => return,
                // The ring's descriptor was closed behind our back, and is none or another file's; or the ring was
                // never enabled, which ours are as they are made. Nobody could be woken by it.
                Some(libc::EBADF | libc::EBADFD | libc::EOWNERDEAD) => return,
                // Not the kernel, which took the same call when the ring was made.
                _ => refused(&error),
            }
        }
    }
}

#[cold]
fn refused(error: &io::Error) -> ! {
    panic!(
        "a core sleeps and cannot be woken: io_uring_register is refused ({error}), most likely by a filter that was \
         set after the runtime was made; allow it, or have the runtime do without Feature::RingMessage"
    )
}

/// A descriptor that stays open as long as a waker does.
#[derive(Debug)]
pub(crate) struct Eventfd(OwnedFd);

impl Eventfd {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: a plain call that touches no memory of ours.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: rule 1; the kernel just gave us this descriptor and nobody else has it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    pub(crate) fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl Wake for Eventfd {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let one = 1u64.to_ne_bytes();
        // SAFETY: eight readable bytes. The only failure is a counter near 2^64, which already means "rung".
        unsafe { libc::write(self.0.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }
}

#[cfg(all(test, loom))]
mod models {
    use std::sync::Arc;

    use loom::cell::UnsafeCell;
    use loom::thread;

    use super::Gate;

    /// A descriptor: used by many at once while it is open, and closed by one alone. Loom sees it if both happen.
    struct Descriptor(UnsafeCell<bool>);

    // SAFETY: loom checks what is done with it.
    unsafe impl Sync for Descriptor {}

    impl Descriptor {
        fn ring(&self) {
            // SAFETY: as for `Sync`.
            self.0.with(|is_open| assert!(unsafe { *is_open }, "a number that was closed is used"));
        }

        fn close(&self) {
            // SAFETY: as for `Sync`.
            self.0.with_mut(|is_open| unsafe { *is_open = false });
        }
    }

    #[test]
    fn loom_a_ring_meets_the_end_of_its_ring() {
        loom::model(|| {
            let core = Arc::new((Gate::new(-1), Descriptor(UnsafeCell::new(true))));
            let ringers = [(); 2].map(|()| {
                let core = Arc::clone(&core);
                thread::spawn(move || {
                    let (gate, descriptor) = &*core;
                    // The second time as who found no memory.
                    let first = gate.pass(|_| descriptor.ring());
                    let second = gate.pass(|_| descriptor.ring());
                    assert!(first.is_some() || second.is_none(), "a closed gate stays closed");
                })
            });
            let (gate, descriptor) = &*core;
            gate.close();
            descriptor.close();
            for ringer in ringers {
                ringer.join().expect("no panic");
            }
            assert!(gate.pass(|_| ()).is_none());
        });
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc;
    use std::thread;

    use super::Gate;

    #[test]
    fn a_closed_gate_lets_nobody_in() {
        let gate = Gate::new(7);
        assert_eq!(gate.pass(|ring| ring), Some(7));
        gate.close();
        assert_eq!(gate.pass(|ring| ring), None);
        gate.close();
        assert_eq!(gate.pass(|ring| ring), None);
    }

    #[test]
    fn a_gate_is_closed_when_all_are_out() {
        let (gate, is_out) = (Arc::new(Gate::new(7)), Arc::new(AtomicBool::new(false)));
        let (tell_inside, inside) = mpsc::channel();
        let (let_out, way_out) = mpsc::channel();
        let ringer = {
            let (gate, is_out) = (Arc::clone(&gate), Arc::clone(&is_out));
            thread::spawn(move || {
                gate.pass(|_| {
                    tell_inside.send(()).unwrap();
                    way_out.recv().unwrap();
                    is_out.store(true, Ordering::SeqCst);
                })
            })
        };
        inside.recv().unwrap();
        let closer = {
            let (gate, is_out) = (Arc::clone(&gate), Arc::clone(&is_out));
            thread::spawn(move || {
                gate.close();
                assert!(is_out.load(Ordering::SeqCst), "closed with somebody inside");
            })
        };
        // Until the closer has begun, so that it has to wait.
        while gate.pass(|_| ()).is_some() {
            thread::yield_now();
        }
        let_out.send(()).unwrap();
        closer.join().unwrap();
        assert!(ringer.join().unwrap().is_some());
    }
}
