//! Room 1: the kernel's own interface, and nothing that waits.
//!
//! `setup` makes a ring or says why it cannot, `ring` moves entries through it, `register` hands it memory; the other
//! files are calls that are no operations, each file's of one kind, and `plain` those without a kind. No futures here;
//! nothing above this room calls the kernel itself.

pub(crate) mod affinity;
pub(crate) mod bytes;
pub(crate) mod copying;
pub(crate) mod datagram;
pub(crate) mod descriptors;
pub(crate) mod directory;
pub(crate) mod eventfd;
pub(crate) mod files;
pub(crate) mod mapping;
pub(crate) mod message;
pub(crate) mod names;
pub(crate) mod options;
pub(crate) mod pipes;
pub(crate) mod plain;
pub(crate) mod process;
pub(crate) mod register;
pub(crate) mod ring;
pub(crate) mod setup;
pub(crate) mod signals;
pub(crate) mod sockaddr;
pub(crate) mod thread;
pub(crate) mod topology;
pub(crate) mod unix;
pub(crate) mod xattr;

/// An entry of the submission queue, as the kernel reads it.
pub(crate) type Sqe = io_uring::squeue::Entry;

/// An entry of the completion queue, copied out of the memory shared with the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cqe {
    pub(crate) user_data: u64,
    pub(crate) result: i32,
    pub(crate) flags: u32,
}

impl Cqe {
    /// More completions of the same operation follow.
    pub(crate) fn more(&self) -> bool {
        io_uring::cqueue::more(self.flags)
    }

    /// The provided buffer that this completion filled.
    pub(crate) fn buffer(&self) -> Option<u16> {
        io_uring::cqueue::buffer_select(self.flags)
    }

    /// The socket has more than this receive took.
    pub(crate) fn leaves_more(&self) -> bool {
        io_uring::cqueue::sock_nonempty(self.flags)
    }

    /// The result as std has it: the count, or the error that the kernel named.
    pub(crate) fn to_result(self) -> std::io::Result<u32> {
        u32::try_from(self.result).map_err(|_| std::io::Error::from_raw_os_error(-self.result))
    }
}
