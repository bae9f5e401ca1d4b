//! What a thread inherits from the one that makes it: its signal mask and the processors it may use.
//!
//! # Safety rules
//!
//! 1. A pointer passed here names a local that lives across the call; a set is written whole before it is read.
#![allow(unsafe_code, reason = "room 1: the kernel's interface")]

use std::fmt;
use std::mem::MaybeUninit;
use std::ptr;

/// Signals that an instruction of the thread itself raises: blocked, they would kill without a word.
const OWN_FAULTS: [libc::c_int; 6] =
    [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGSYS];

/// While it lives, this thread takes no signal but its own faults, and neither do the threads that it makes.
#[derive(Debug)]
pub(crate) struct SignalsBlocked {
    previous: SignalSet,
}

struct SignalSet(libc::sigset_t);

impl fmt::Debug for SignalSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignalSet")
    }
}

impl SignalsBlocked {
    pub(crate) fn new() -> Self {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        let mut previous = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: rule 1; `sigfillset` writes the whole set, `pthread_sigmask` the whole previous one. Neither can
        // fail with these arguments.
        unsafe {
            libc::sigfillset(set.as_mut_ptr());
            for signal in OWN_FAULTS {
                libc::sigdelset(set.as_mut_ptr(), signal);
            }
            libc::pthread_sigmask(libc::SIG_SETMASK, set.as_ptr(), previous.as_mut_ptr());
            Self { previous: SignalSet(previous.assume_init()) }
        }
    }
}

impl Drop for SignalsBlocked {
    fn drop(&mut self) {
        // SAFETY: rule 1.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.previous.0, ptr::null_mut());
        }
    }
}

/// The processors that a thread may use.
#[derive(Clone, Copy)]
pub(crate) struct Affinity(libc::cpu_set_t);

impl fmt::Debug for Affinity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // SAFETY: rule 1.
        write!(f, "Affinity({} processors)", unsafe { libc::CPU_COUNT(&self.0) })
    }
}

impl Affinity {
    /// Those of this thread; `None` where the kernel knows more processors than the set has room for.
    pub(crate) fn current() -> Option<Self> {
        let mut set = MaybeUninit::<libc::cpu_set_t>::zeroed();
        // SAFETY: rule 1.
        let result =
            unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), set.as_mut_ptr()) };
        // SAFETY: it was zeroed and then filled; every pattern of bits is a set.
        (result == 0).then(|| Self(unsafe { set.assume_init() }))
    }

    /// Makes them those of this thread. Where the kernel refuses, because none of them is left, nothing changes.
    pub(crate) fn apply(&self) {
        // SAFETY: rule 1.
        unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const self.0) };
    }
}
