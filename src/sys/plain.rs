//! Every system call that is not an operation of the ring: descriptors, limits, the kernel's own facts.
//!
//! # Safety rules
//!
//! 1. A pointer passed here names a local or a borrowed slice, which lives across the call.
//! 2. A descriptor is closed only by the one who owns it; `driver::Fd` says who that is.
#![allow(unsafe_code, reason = "room 1: the kernel's interface")]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::RawFd;

/// `close(2)`. For descriptors that can no longer be closed through a ring.
pub(crate) fn close(fd: RawFd) {
    // SAFETY: rule 2.
    unsafe { libc::close(fd) };
}

/// `shutdown(2)`, which wakes a pending receive. A system call because the operation costs a kernel thread.
pub(crate) fn shutdown(fd: RawFd, how: std::net::Shutdown) -> io::Result<()> {
    let how = match how {
        std::net::Shutdown::Read => libc::SHUT_RD,
        std::net::Shutdown::Write => libc::SHUT_WR,
        std::net::Shutdown::Both => libc::SHUT_RDWR,
    };
    // SAFETY: no memory is passed.
    let result = unsafe { libc::shutdown(fd, how) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Ends a connection at once: the peer is sent a reset, what was not sent is dropped, and operations under way end
/// with an error. It is `connect(2)` to no address, because `shutdown(2)` or a close with `SO_LINGER` would let a
/// peer that reads see an orderly end first.
pub(crate) fn reset(fd: RawFd) -> io::Result<()> {
    let nowhere =
        libc::sockaddr { sa_family: libc::AF_UNSPEC as libc::sa_family_t, sa_data: [0; 14] };
    let len = size_of_val(&nowhere) as libc::socklen_t;
    // SAFETY: rule 1.
    let result = unsafe { libc::connect(fd, &raw const nowhere, len) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The release that `uname` reports, for texts.
pub(crate) fn kernel_release() -> String {
    let mut names = MaybeUninit::<libc::utsname>::zeroed();
    // SAFETY: rule 1; uname fills the structure.
    let result = unsafe { libc::uname(names.as_mut_ptr()) };
    if result < 0 {
        return "unknown".to_owned();
    }
    // SAFETY: it was zeroed and then filled; every byte pattern is a valid array of characters.
    let names = unsafe { names.assume_init() };
    names.release.iter().take_while(|&&c| c != 0).map(|&c| char::from(c.cast_unsigned())).collect()
}

/// The value of `kernel.io_uring_disabled`; `None` where the kernel does not have it.
pub(crate) fn io_uring_disabled() -> Option<u32> {
    let text = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok()?;
    text.trim().parse().ok()
}

/// The soft limit of lockable memory, in words.
pub(crate) fn memlock_limit() -> String {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: rule 1.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) };
    match result {
        0 if limit.rlim_cur == libc::RLIM_INFINITY => "unlimited".to_owned(),
        0 => format!("{} bytes", limit.rlim_cur),
        _ => "unknown".to_owned(),
    }
}

/// A clock of the kernel's that no setting of the time of day moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub(crate) enum ClockId {
    /// Stands still while the machine is suspended.
    Monotonic = libc::CLOCK_MONOTONIC,
    /// Runs on meanwhile.
    Boottime = libc::CLOCK_BOOTTIME,
}

/// What a clock of the kernel's says, in nanoseconds.
#[inline]
pub(crate) fn clock_ns(clock: ClockId) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: rule 1. These clocks exist on every Linux; the call cannot fail.
    unsafe { libc::clock_gettime(clock as libc::clockid_t, &raw mut time) };
    time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
}

/// `CLOCK_MONOTONIC` in nanoseconds.
#[inline]
pub(crate) fn monotonic_ns() -> u64 {
    clock_ns(ClockId::Monotonic)
}
