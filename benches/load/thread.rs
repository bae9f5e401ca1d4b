//! A thread, or a process, seen from outside: the processor time it used, and the time it waited for its processor.

#![allow(unsafe_code, reason = "libc calls about threads")]

use std::io;

use super::syscalls::Syscalls;
use crate::support::cpu::clock_ns;

/// Readable from any thread while it lives.
#[derive(Clone, Copy)]
pub(crate) struct Thread {
    clock: libc::clockid_t,
    process: libc::pid_t,
    id: libc::pid_t,
}

impl Thread {
    pub(crate) fn current() -> io::Result<Self> {
        let mut clock = 0;
        // SAFETY: the calling thread is alive and `clock` is a valid place for the answer.
        let code = unsafe { libc::pthread_getcpuclockid(libc::pthread_self(), &mut clock) };
        // SAFETY: the calls take nothing.
        let (process, id) = unsafe { (libc::getpid(), libc::gettid()) };
        let here = Self { clock, process, id };
        if code == 0 { Ok(here) } else { Err(io::Error::from_raw_os_error(code)) }
    }

    /// A whole process: the time of all its threads, and the waiting of its first.
    #[allow(dead_code, reason = "the echo bench serves in threads")]
    pub(crate) fn of_process(process: u32) -> io::Result<Self> {
        let (mut clock, process) = (0, process as libc::pid_t);
        // SAFETY: `clock` is a valid place for the answer.
        let code = unsafe { libc::clock_getcpuclockid(process, &mut clock) };
        let there = Self { clock, process, id: process };
        if code == 0 { Ok(there) } else { Err(io::Error::from_raw_os_error(code)) }
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
        let path = format!("/proc/{}/task/{}/schedstat", self.process, self.id);
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0)
    }
}
