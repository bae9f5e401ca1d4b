//! Counts a thread's system calls while it runs at full speed, through the kernel's own tracepoint.
//!
//! strace would slow the server down and so make it batch more, which is the very thing to be seen. Counting makes
//! each call slower too, if only a little, so it is a mode of its own and not part of a timed sample.

#![allow(unsafe_code, reason = "perf_event_open")]

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::FromRawFd;

const TYPE_TRACEPOINT: u64 = 2;
const ATTRIBUTE_SIZE: u64 = 64;
const FLAG_CLOEXEC: libc::c_ulong = 1 << 3;
const IDS: [&str; 2] = [
    "/sys/kernel/tracing/events/raw_syscalls/sys_enter/id",
    "/sys/kernel/debug/tracing/events/raw_syscalls/sys_enter/id",
];

/// A running count.
pub(crate) struct Syscalls(File);

impl Syscalls {
    /// Counts the thread of this id from now on; the error says what is in the way.
    pub(super) fn of(thread: libc::pid_t) -> io::Result<Self> {
        let id = IDS.iter().find_map(|path| std::fs::read_to_string(path).ok());
        let id: Option<u64> = id.and_then(|id| id.trim().parse().ok());
        let id = id.ok_or(io::Error::other("tracefs is not mounted or not readable"))?;
        // The first version of perf_event_attr: type and size, config, and nothing else set.
        let attributes: [u64; 8] = [TYPE_TRACEPOINT | ATTRIBUTE_SIZE << 32, id, 0, 0, 0, 0, 0, 0];
        // SAFETY: the attributes are valid for reads of the size they state.
        let fd = unsafe {
            let (any_cpu, no_group) = (-1, -1);
            let number = libc::SYS_perf_event_open;
            libc::syscall(number, attributes.as_ptr(), thread, any_cpu, no_group, FLAG_CLOEXEC)
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the fd is new and owned by nobody else.
        Ok(Self(unsafe { File::from_raw_fd(fd as i32) }))
    }

    pub(super) fn count(&self) -> u64 {
        let mut count = [0; 8];
        let read = (&self.0).read_exact(&mut count);
        read.map_or(0, |()| u64::from_ne_bytes(count))
    }
}
