//! Sending messages at once.
//!
//! # Safety rules
//!
//! 1. A pointer passed here names memory that is borrowed across the call, with its size beside it.
#![allow(unsafe_code, reason = "room 1: the kernel's interface")]

use std::cell::Cell;
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::sockaddr::Target;

/// `sendto(2)`, which does not wait: `WouldBlock` if the kernel does not take it now.
#[inline]
pub(crate) fn send_now(fd: BorrowedFd<'_>, bytes: &[u8], target: &Target) -> io::Result<usize> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    let (address, len) = target.parts();
    // SAFETY: rule 1.
    let sent = unsafe {
        libc::sendto(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), flags, address, len)
    };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// The most messages of one [`send_many_now`].
const MANY: usize = 32;

/// The most bytes that leave as one.
const JOINED_MAX: usize = 64_000;

/// Datagrams of one size to one address, of which the last may be shorter.
struct Run {
    to: SocketAddr,
    size: usize,
    bytes: usize,
    is_open: bool,
}

impl Run {
    #[inline]
    fn new(to: SocketAddr, size: usize) -> Self {
        Self { to, size, bytes: size, is_open: size > 0 && size < JOINED_MAX }
    }

    /// Takes one more, if it is alike.
    #[inline]
    fn takes(&mut self, to: SocketAddr, len: usize) -> bool {
        let fits = len > 0 && len <= self.size && self.bytes + len <= JOINED_MAX;
        let takes = self.is_open && fits && to == self.to;
        if takes {
            self.bytes += len;
            self.is_open = len == self.size;
        }
        takes
    }
}

/// Control data that has the kernel cut a message into datagrams.
#[repr(C)]
struct Segment {
    len: usize,
    level: i32,
    kind: i32,
    size: u16,
    _rest: [u16; 3],
}

impl Segment {
    fn new(size: usize) -> Self {
        let len = std::mem::offset_of!(Self, size) + size_of::<u16>();
        let (level, kind) = (libc::SOL_UDP, libc::UDP_SEGMENT);
        Self { len, level, kind, size: size as u16, _rest: [0; 3] }
    }
}

/// `sendmmsg(2)` of the first messages, which does not wait. Says how many the kernel took, at least one; otherwise why
/// it did not take the first, `WouldBlock` if not now.
///
/// While `joins` says so, those that follow each other, of one size to one address, go down as one (`UDP_SEGMENT`).
/// It says so no more once the kernel, the path or the device has refused that.
#[inline]
pub(crate) fn send_many_now<'a>(
    fd: BorrowedFd<'_>,
    messages: impl Iterator<Item = (&'a [u8], SocketAddr)> + Clone,
    joins: &Cell<bool>,
) -> io::Result<usize> {
    // Only as many places are filled in as there are messages: most batches are small. Nothing in them needs a drop.
    let mut parts = [const { MaybeUninit::<libc::iovec>::uninit() }; MANY];
    let mut headers = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; MANY];
    let mut targets = [const { MaybeUninit::<Target>::uninit() }; MANY];
    let mut segments = [const { MaybeUninit::<Segment>::uninit() }; MANY];
    // How many messages each header has.
    let (mut lens, mut count) = ([0_u8; MANY], 0);
    let mut run: Option<Run> = None;
    for ((bytes, to), part) in messages.clone().zip(&mut parts) {
        let (iov_base, iov_len) = (bytes.as_ptr().cast_mut().cast(), bytes.len());
        part.write(libc::iovec { iov_base, iov_len });
        if !run.as_mut().is_some_and(|run| joins.get() && run.takes(to, iov_len)) {
            run = Some(Run::new(to, iov_len));
            count += 1;
        }
        lens[count - 1] += 1;
    }
    // Counted, because the messages may be fewer when they are looked at again.
    let mut filled = 0;
    let (mut rest, mut first) = (messages.clone(), parts.as_mut_ptr());
    let places = headers.iter_mut().zip(&mut targets).zip(&mut segments);
    for (&len, ((header, target), segment)) in lens[..count].iter().zip(places) {
        let Some((bytes, to)) = rest.next() else { break };
        let (address, address_len) = target.write(Target::new(to)).parts();
        // SAFETY: a header of zeroes is valid: null pointers and lengths of zero.
        let header = &mut header.write(unsafe { MaybeUninit::zeroed().assume_init() }).msg_hdr;
        header.msg_name = address.cast_mut().cast();
        header.msg_namelen = address_len;
        header.msg_iov = first.cast();
        header.msg_iovlen = usize::from(len);
        first = first.wrapping_add(usize::from(len));
        if len > 1 {
            header.msg_control = (&raw mut *segment.write(Segment::new(bytes.len()))).cast();
            header.msg_controllen = size_of::<Segment>();
            rest.nth(usize::from(len) - 2);
        }
        filled += 1;
    }
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    let at = headers.as_mut_ptr().cast();
    // SAFETY: rule 1; so many headers are filled in, and name targets, parts and segments that lie here.
    let sent = unsafe { libc::sendmmsg(fd.as_raw_fd(), at, filled, flags) };
    if let Ok(sent) = usize::try_from(sent) {
        return Ok(lens[..sent].iter().map(|len| usize::from(*len)).sum());
    }
    let error = io::Error::last_os_error();
    if lens[0] > 1 && refuses_to_join(&error) {
        joins.set(false);
        return send_many_now(fd, messages, joins);
    }
    Err(error)
}

/// What a kernel says that knows no segments, or a path or a device without them: a packet that is too large for it, no
/// checksum.
#[cold]
fn refuses_to_join(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    matches!(code, Some(libc::EINVAL | libc::EIO | libc::EMSGSIZE | libc::EOPNOTSUPP))
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    use super::*;

    /// What is safe code cannot be trusted to say the same twice.
    #[test]
    fn messages_that_are_fewer_at_the_second_look_are_those_that_are_sent() {
        let [near, far] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").expect("a socket"));
        let to = far.local_addr().expect("it is bound");
        for later in [0, 2] {
            let asked = Cell::new(0);
            let messages = std::iter::repeat_n((&b"x"[..], to), 8)
                .take_while(|_| asked.replace(asked.get() + 1) < 8 + later);
            let sent = send_many_now(near.as_fd(), messages, &Cell::new(false));
            assert_eq!(sent.expect("the kernel takes them"), later);
        }
    }
}
