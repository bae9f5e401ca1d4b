//! Calls about processes that std does not have.
//!
//! # Safety rules
//!
//! 1. No memory is passed.
//! 2. A process that is named by its number was found to be a child that was not waited for: until then the kernel does
//!    not give the number to another, unless it reaps children itself.
#![allow(unsafe_code, reason = "room 1: the kernel's interface")]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

/// A descriptor of a child, which is readable once it has ended.
pub(crate) fn pidfd(child: u32) -> io::Result<OwnedFd> {
    // SAFETY: rules 1 and 2. The descriptor is closed at an exec.
    let fd = check(unsafe { libc::syscall(libc::SYS_pidfd_open, child, 0) })?;
    // SAFETY: the kernel just gave us this descriptor and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Sends a child a signal.
pub(crate) fn signal(child: u32, signal: i32) -> io::Result<()> {
    // SAFETY: rules 1 and 2.
    send(child, signal, 0, || unsafe { libc::kill(child.cast_signed(), signal) })
}

/// Sends a signal to the process group that a child leads.
pub(crate) fn signal_group(leader: u32, signal: i32) -> io::Result<()> {
    // SAFETY: rules 1 and 2: as long as the leader is not waited for, the group has its number.
    send(leader, signal, TO_THE_GROUP, || unsafe { libc::killpg(leader.cast_signed(), signal) })
}

/// `PIDFD_SIGNAL_PROCESS_GROUP`, from Linux 6.9 on.
const TO_THE_GROUP: u32 = 1 << 2;

/// Sends a signal to who has the number of a child, if that is a child.
///
/// Where the kernel reaps children itself, as it does while `SIGCHLD` is ignored, the number may be a stranger's by
/// now. A descriptor stays with whom it was opened for, so what it was found to be it is. Where there is none, because
/// none is left or a policy forbids it, the signal goes `by_number`.
fn send(child: u32, signal: i32, flags: u32, by_number: impl FnOnce() -> i32) -> io::Result<()> {
    match pidfd(child) {
        Ok(descriptor) => {
            let number = descriptor.as_raw_fd();
            ensure_child(libc::P_PIDFD, number.cast_unsigned())?;
            let sent = pidfd_send_signal(number, signal, flags);
            if flags == 0 || !sent.as_ref().is_err_and(is_invalid) {
                return sent;
            }
        }
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return Err(error),
        Err(_) => ensure_child(libc::P_PID, child)?,
    }
    check(i64::from(by_number())).map(drop)
}

fn is_invalid(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EINVAL)
}

fn pidfd_send_signal(descriptor: RawFd, signal: i32, flags: u32) -> io::Result<()> {
    let nothing = ptr::null::<libc::siginfo_t>();
    let call = libc::SYS_pidfd_send_signal;
    // SAFETY: rule 1.
    check(unsafe { libc::syscall(call, descriptor, signal, nothing, flags) }).map(drop)
}

/// Fails with `ESRCH` if this is no child of ours that was not waited for.
fn ensure_child(kind: libc::idtype_t, id: u32) -> io::Result<()> {
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: rule 1: the kernel is not asked for more than whether there is one.
    let found = unsafe { libc::waitid(kind, id, ptr::null_mut(), options) };
    match check(i64::from(found)) {
        Err(error) if error.raw_os_error() == Some(libc::ECHILD) => {
            Err(io::Error::from_raw_os_error(libc::ESRCH))
        }
        found => found.map(drop),
    }
}

fn check(result: i64) -> io::Result<i64> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
