//! Datagrams that are sent and come back: a window of them is on the way all the time.
//!
//! Whole batches go out and come in by one system call each, so that the server runs out of processor first. Each
//! carries the moment it was sent.

#![allow(unsafe_code, reason = "sendmmsg and recvmmsg")]

use std::io;
use std::mem::MaybeUninit;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

use crate::load::{Length, Measured, Phase, Watched, Window, histogram};
use crate::support::cpu::monotonic_ns;

const SIZE: usize = 64;
const BATCH: usize = 64;
/// What has not come back by then is lost, and sent again.
const PATIENCE: Duration = Duration::from_millis(300);
/// So many times in a row, and the server counts as stalled.
const LOSSES_MAX: usize = 10;

/// The messages of one call, each with a buffer.
struct Batch {
    buffers: Box<[[u8; SIZE]; BATCH]>,
}

pub(super) fn run(
    address: SocketAddr,
    count: usize,
    length: Length,
    watched: Watched,
) -> io::Result<Measured> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(address)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut window = Window::new(length, watched, count)?;
    let mut batch = Batch { buffers: Box::new([[0; SIZE]; BATCH]) };
    let count = count.min(BATCH);
    batch.send(&socket, count)?;
    let (mut answered, mut losses) = (0, 0);
    let mut latencies_ns = None;
    loop {
        let came = batch.receive(&socket, count)?;
        let now_ns = monotonic_ns();
        losses = if came == 0 { losses + 1 } else { 0 };
        if losses > LOSSES_MAX {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the server stalled"));
        }
        answered += came as u64;
        if let Some(latencies_ns) = &mut latencies_ns {
            let sent_ns = batch.buffers[..came].iter().filter_map(|buffer| buffer.first_chunk());
            for sent_ns in sent_ns {
                let on_the_way_ns = now_ns.saturating_sub(u64::from_ne_bytes(*sent_ns));
                hdrhistogram::Histogram::saturating_record(latencies_ns, on_the_way_ns);
            }
        }
        match window.look(now_ns, answered) {
            Phase::Same => {}
            Phase::Begin => latencies_ns = Some(histogram()),
            Phase::End => {
                window.keep(latencies_ns.take());
                return window.measured();
            }
        }
        batch.send(&socket, if came == 0 { count } else { came })?;
    }
}

impl Batch {
    fn send(&mut self, socket: &UdpSocket, count: usize) -> io::Result<()> {
        let now_ns = monotonic_ns().to_ne_bytes();
        self.buffers[..count].iter_mut().for_each(|buffer| buffer[..8].copy_from_slice(&now_ns));
        let sent = self.call(count, |messages| {
            // SAFETY: the messages and what they point at are valid for the call.
            unsafe { libc::sendmmsg(socket.as_raw_fd(), messages.as_mut_ptr(), count as u32, 0) }
        })?;
        if sent == count { Ok(()) } else { Err(io::Error::other("datagrams were not taken")) }
    }

    /// How many came, at least one unless all were lost.
    fn receive(&mut self, socket: &UdpSocket, count: usize) -> io::Result<usize> {
        let received = self.call(count, |messages| {
            let (fd, messages, no_time) =
                (socket.as_raw_fd(), messages.as_mut_ptr(), std::ptr::null_mut());
            // SAFETY: as above; the buffers are valid for writes.
            unsafe { libc::recvmmsg(fd, messages, count as u32, libc::MSG_WAITFORONE, no_time) }
        });
        match received {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            received => received,
        }
    }

    fn call(
        &mut self,
        count: usize,
        call: impl FnOnce(&mut [libc::mmsghdr]) -> i32,
    ) -> io::Result<usize> {
        let mut vectors: Vec<libc::iovec> = self.buffers[..count]
            .iter_mut()
            .map(|buffer| libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: SIZE })
            .collect();
        let message = |vector: &mut libc::iovec| {
            // SAFETY: a header of zeroes is valid.
            let mut message: libc::mmsghdr = unsafe { MaybeUninit::zeroed().assume_init() };
            message.msg_hdr.msg_iov = vector;
            message.msg_hdr.msg_iovlen = 1;
            message
        };
        let mut messages: Vec<libc::mmsghdr> = vectors.iter_mut().map(message).collect();
        match call(&mut messages) {
            count @ 0.. => Ok(count as usize),
            _ => Err(io::Error::last_os_error()),
        }
    }
}
