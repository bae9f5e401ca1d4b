//! READ at a file's own position into a buffer of the pool: how a line that is no socket receives.
//!
//! The rest is that of a receive: what it brings waits with the line, and a dropped read loses none of it. Where the
//! kernel cannot wait for the file (Linux 6.1, and files without readiness), it reads in a thread of its own.

use std::ptr::null_mut;

use io_uring::opcode;
use io_uring::squeue::Flags;

use super::line::{File, Line};
use crate::sys::Sqe;

/// The position that is the file's own.
const CURRENT: u64 = u64::MAX;

/// The entry. It names no memory, only the buffers of the group and the line's descriptor.
pub(super) fn entry(line: &Line, file: &File, group: u16) -> Sqe {
    let target = line.fd.target();
    // Zero bytes: as many as the buffer holds.
    if file.multishot.get() {
        return opcode::ReadMulti::new(target, 0, group).offset(CURRENT).build();
    }
    opcode::Read::new(target, null_mut(), 0)
        .offset(CURRENT)
        .buf_group(group)
        .build()
        .flags(Flags::BUFFER_SELECT)
}

/// True if the kernel refuses to wait for many answers of this file: it is asked for one at a time from now on.
pub(super) fn declines_multishot(file: &File, code: i32) -> bool {
    matches!(code, libc::EBADFD | libc::EOPNOTSUPP) && file.multishot.replace(false)
}
