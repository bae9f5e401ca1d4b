//! What comes with a Unix message: who sent it, and descriptors that are ours from then on.
//!
//! # Safety rules
//!
//! 1. Each number in the control data of `SCM_RIGHTS` and `SCM_PIDFD` is a descriptor that the kernel made for us when
//!    it delivered the message, and that nobody else owns; the data is read once.
#![allow(unsafe_code, reason = "room 1: the kernel's interface")]

use std::os::fd::{FromRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::SocketAddr;

use super::message::{Received, controls};

/// A descriptor of the process that sent a message, from Linux 6.5 on.
const SCM_PIDFD: i32 = 4;

/// What came with a Unix message, beside descriptors.
#[derive(Debug, Default)]
pub(crate) struct Local {
    /// `None` for a sender without a name.
    pub(crate) source: Option<Box<SocketAddr>>,
    pub(crate) is_truncated: bool,
    /// Control data did not fit, or no descriptor was left: the kernel closed what it could not give us.
    pub(crate) is_control_truncated: bool,
    pub(crate) credentials: Option<libc::ucred>,
}

impl Local {
    /// Takes it, and the descriptors, from what the kernel wrote.
    ///
    /// # Safety
    ///
    /// The kernel wrote it for one message, and it is read this once.
    pub(crate) unsafe fn read(received: &Received<'_>) -> (Self, Vec<OwnedFd>) {
        let mut found = Self {
            source: source(received.name).map(Box::new),
            is_truncated: received.flags & libc::MSG_TRUNC != 0,
            is_control_truncated: received.flags & libc::MSG_CTRUNC != 0,
            credentials: None,
        };
        let mut descriptors = Vec::new();
        for (level, kind, content) in controls(received.control) {
            match (level, kind) {
                // SAFETY: rule 1, passed on by our caller.
                (libc::SOL_SOCKET, libc::SCM_RIGHTS) => unsafe {
                    descriptors.extend(own(content));
                },
                // Of the sender, for who asked by `SO_PASSPIDFD`; nobody takes it, and it must not leak.
                // SAFETY: rule 1, passed on by our caller.
                (libc::SOL_SOCKET, SCM_PIDFD) => unsafe { own(content).for_each(drop) },
                (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) => found.credentials = ucred(content),
                _ => {}
            }
        }
        (found, descriptors)
    }
}

/// Takes descriptors over, from their numbers.
///
/// # Safety
///
/// Rule 1.
unsafe fn own(content: &[u8]) -> impl Iterator<Item = OwnedFd> {
    let numbers = content.chunks_exact(size_of::<i32>());
    let numbers = numbers.filter_map(|bytes| Some(i32::from_ne_bytes(bytes.try_into().ok()?)));
    // A number below zero says that the kernel had none to give.
    let given = numbers.filter(|number| *number >= 0);
    // SAFETY: rule 1, passed on by our caller.
    given.map(|number| unsafe { OwnedFd::from_raw_fd(number) })
}

/// The sender's name, from a `struct sockaddr_un`; `None` if it has none.
fn source(name: &[u8]) -> Option<SocketAddr> {
    match name.get(size_of::<libc::sa_family_t>()..)? {
        [] => None,
        [0, name @ ..] => SocketAddr::from_abstract_name(name).ok(),
        path => {
            let end = path.iter().position(|byte| *byte == 0).unwrap_or(path.len());
            SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(&path[..end])).ok()
        }
    }
}

fn ucred(content: &[u8]) -> Option<libc::ucred> {
    let word = |at: usize| Some(i32::from_ne_bytes(content.get(at..at + 4)?.try_into().ok()?));
    let (uid, gid) = (word(4)?.cast_unsigned(), word(8)?.cast_unsigned());
    Some(libc::ucred { pid: word(0)?, uid, gid })
}
