//! Who is at the other end.

/// The process at the other end of a socket, as the kernel saw it when the sockets were connected, or a message was
/// sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UCred {
    pub(super) pid: Option<i32>,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl UCred {
    /// The id of its user, as our user namespace has it.
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// The id of its group.
    pub fn gid(&self) -> u32 {
        self.gid
    }

    /// The id of the process; `None` if it has none in our pid namespace. It may have ended since, and the number be
    /// another's.
    pub fn pid(&self) -> Option<i32> {
        self.pid
    }
}

impl UCred {
    /// What the kernel says; a process that is not in our namespace has the number 0.
    pub(super) fn new(found: libc::ucred) -> Self {
        Self { pid: (found.pid > 0).then_some(found.pid), uid: found.uid, gid: found.gid }
    }
}
