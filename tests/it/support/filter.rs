//! A filter of system calls that asks: each call of one thread waits until another thread has answered for it.
//!
//! # Safety rules
//!
//! 1. Structures passed to the kernel are locals that live across the call, zeroed where it asks for that.
#![allow(unsafe_code, reason = "filters are made and answered by system calls")]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Which calls are asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Calls {
    All,
    Only(libc::c_long),
}

/// Has these calls of this thread asked for at the descriptor that is returned, until the thread ends; also those of
/// the threads it starts.
pub(crate) fn ask_for(calls: Calls) -> io::Result<OwnedFd> {
    let statement = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let (number, otherwise) = match calls {
        Calls::All => (0, libc::SECCOMP_RET_USER_NOTIF),
        Calls::Only(number) => (number, libc::SECCOMP_RET_ALLOW),
    };
    let mut filter = [
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, number as u32),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_USER_NOTIF),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, otherwise),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: rule 1; the program names the four statements above, and the kernel copies them.
    let fd = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        let (mode, flags) = (libc::SECCOMP_SET_MODE_FILTER, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER);
        libc::syscall(libc::SYS_seccomp, mode, flags, &raw const program)
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just gave us this descriptor and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// A call that waits for its answer.
#[must_use = "the call waits until it is answered"]
pub(crate) struct Question<'a> {
    listener: &'a OwnedFd,
    id: u64,
    /// The number of the call.
    pub(crate) call: libc::c_long,
}

impl<'a> Question<'a> {
    /// The next one; `None` when the asking thread has ended.
    pub(crate) fn next(listener: &'a OwnedFd) -> Option<Self> {
        loop {
            let mut event =
                libc::pollfd { fd: listener.as_raw_fd(), events: libc::POLLIN, revents: 0 };
            // SAFETY: rule 1. Before Linux 6.11 the call below would wait on when nobody is left to ask.
            while unsafe { libc::poll(&raw mut event, 1, -1) } < 0 {}
            if event.revents & libc::POLLIN == 0 {
                return None;
            }
            // SAFETY: rule 1.
            let mut asked: libc::seccomp_notif = unsafe { std::mem::zeroed() };
            let request = libc::SECCOMP_IOCTL_NOTIF_RECV;
            // SAFETY: rule 1. It fails where who asked was interrupted meanwhile, and asks again.
            if unsafe { libc::ioctl(listener.as_raw_fd(), request, &raw mut asked) } == 0 {
                return Some(Self { listener, id: asked.id, call: asked.data.nr.into() });
            }
        }
    }

    /// The call is made.
    pub(crate) fn allow(self) {
        self.answer(0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32);
    }

    /// The call is not made, and fails.
    pub(crate) fn refuse(self, errno: i32) {
        self.answer(-errno, 0);
    }

    fn answer(&self, error: i32, flags: u32) {
        let reply = libc::seccomp_notif_resp { id: self.id, val: 0, error, flags };
        let request = libc::SECCOMP_IOCTL_NOTIF_SEND;
        // SAFETY: rule 1. The call may have been interrupted meanwhile; it is asked for again.
        unsafe { libc::ioctl(self.listener.as_raw_fd(), request, &raw const reply) };
    }
}
