//! A thread seen from outside: the processor time it used, and the time it waited for its processor.

#![allow(unsafe_code, reason = "libc calls about the calling thread")]

use std::io;

use super::syscalls::Syscalls;
use crate::support::cpu::clock_ns;

/// Readable from any thread of the process while the thread lives.
#[derive(Clone, Copy)]
pub(crate) struct Thread {
    clock: libc::clockid_t,
    id: libc::pid_t,
}

impl Thread {
    pub(crate) fn current() -> io::Result<Self> {
        let mut clock = 0;
        // SAFETY: the calling thread is alive and `clock` is a valid place for the answer.
        let code = unsafe { libc::pthread_getcpuclockid(libc::pthread_self(), &mut clock) };
        // SAFETY: the call takes nothing.
        let id = unsafe { libc::gettid() };
        if code == 0 { Ok(Self { clock, id }) } else { Err(io::Error::from_raw_os_error(code)) }
    }

    /// A count of its system calls from now on.
    pub(crate) fn syscalls(self) -> io::Result<Syscalls> {
        Syscalls::of(self.id)
    }

    /// User and kernel time.
    pub(crate) fn cpu_ns(self) -> u64 {
        clock_ns(self.clock)
    }

    /// Time it was ready to run while something else had its processor; 0 where the kernel does not say.
    pub(crate) fn waited_ns(self) -> u64 {
        let path = format!("/proc/self/task/{}/schedstat", self.id);
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0)
    }
}
