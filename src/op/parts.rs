//! Where the bytes of several buffers lie, as the kernel reads it.

use crate::buf::{IoBuf, IoBufMut};

/// The most buffers that one operation takes (`UIO_MAXIOV`).
pub(crate) const PARTS_MAX: usize = 1024;

/// The list, at one address until it is dropped.
pub(crate) type Parts = Box<[libc::iovec]>;

/// The bytes of `bufs` from `skip` on, of at most `PARTS_MAX` buffers.
pub(super) fn filled_parts<B: IoBuf>(bufs: &[B], skip: usize) -> Parts {
    let mut left = skip;
    let mut parts = Vec::with_capacity(bufs.len().min(PARTS_MAX));
    for buf in bufs {
        let bytes = buf.as_bytes();
        let from = left.min(bytes.len());
        left -= from;
        if from < bytes.len() && parts.len() < PARTS_MAX {
            let rest = &bytes[from..];
            parts.push(libc::iovec {
                iov_base: rest.as_ptr().cast_mut().cast(),
                iov_len: rest.len(),
            });
        }
    }
    parts.into_boxed_slice()
}

/// The room of `bufs`, of the first `PARTS_MAX` of them, one part each.
pub(super) fn empty_parts<B: IoBufMut>(bufs: &mut [B]) -> Parts {
    bufs.iter_mut()
        .take(PARTS_MAX)
        .map(|buf| libc::iovec { iov_len: buf.buf_capacity(), iov_base: buf.buf_mut_ptr().cast() })
        .collect()
}
