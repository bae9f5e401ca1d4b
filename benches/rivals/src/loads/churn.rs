//! Connections that come and go: connect, one message, its echo, and a reset.
//!
//! The reset leaves no port in TIME_WAIT, and every server has to close as well. The three steps are one chain of the
//! ring, so that the load is cheap beside what a server does for a connection.

#![allow(unsafe_code, reason = "memory that the kernel reads and writes")]

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::time::Duration;

use io_uring::squeue::Flags;
use io_uring::{opcode, types};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::load::{Length, Measured, Phase, Watched, Window, histogram};
use crate::support::cpu::monotonic_ns;
use crate::uring::{Queues, Uring};

const MESSAGE: [u8; 64] = [7; 64];
const STALL: u64 = u64::MAX;

/// One connection at a time, and its answer, which is never freed: the kernel may hold it after an error.
struct Slot {
    socket: Option<Socket>,
    answer: &'static mut [u8; 64],
    begun_ns: u64,
}

pub(super) fn run(
    address: SocketAddr,
    count: usize,
    length: Length,
    watched: Watched,
) -> io::Result<Measured> {
    let address = SockAddr::from(address);
    let mut ring = Uring::new(1024)?;
    let mut queues = ring.queues();
    let stall = types::Timespec::new().sec(length.patience_s());
    queues.push(&opcode::Timeout::new(&stall).build().user_data(STALL))?;
    let mut window = Window::new(length, watched, count)?;
    let slot = |_| Slot { socket: None, answer: Box::leak(Box::new([0; 64])), begun_ns: 0 };
    let mut slots: Vec<Slot> = (0..count).map(slot).collect();
    for (index, slot) in slots.iter_mut().enumerate() {
        slot.begin(&mut queues, &address, index)?;
    }
    let (mut answered, mut busy, mut ending) = (0, count, false);
    let mut latencies_ns = None;
    while busy > 0 {
        queues.turn()?;
        let now_ns = monotonic_ns();
        while let Some(completion) = queues.next() {
            if completion.user_data == STALL {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the server stalled"));
            }
            let slot = &mut slots[completion.user_data as usize];
            slot.end(completion.result)?;
            answered += 1;
            if let Some(latencies_ns) = &mut latencies_ns {
                hdrhistogram::Histogram::saturating_record(latencies_ns, now_ns - slot.begun_ns);
            }
            match ending {
                true => busy -= 1,
                false => slot.begin(&mut queues, &address, completion.user_data as usize)?,
            }
        }
        match window.look(now_ns, answered) {
            Phase::Same => {}
            Phase::Begin => latencies_ns = Some(histogram()),
            Phase::End => {
                window.keep(latencies_ns.take());
                ending = true;
            }
        }
    }
    window.measured()
}

impl Slot {
    fn begin(
        &mut self,
        queues: &mut Queues<'_>,
        address: &SockAddr,
        index: usize,
    ) -> io::Result<()> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_linger(Some(Duration::ZERO))?;
        socket.set_tcp_nodelay(true)?;
        let fd = types::Fd(socket.as_raw_fd());
        let chained = Flags::IO_LINK | Flags::SKIP_SUCCESS;
        let connect = opcode::Connect::new(fd, address.as_ptr().cast(), address.len()).build();
        let send = opcode::Send::new(fd, MESSAGE.as_ptr(), MESSAGE.len() as u32)
            .flags(libc::MSG_WAITALL | libc::MSG_NOSIGNAL)
            .build();
        let receive = opcode::Recv::new(fd, self.answer.as_mut_ptr(), self.answer.len() as u32)
            .flags(libc::MSG_WAITALL)
            .build();
        self.begun_ns = monotonic_ns();
        self.socket = Some(socket);
        queues.push(&connect.flags(chained).user_data(index as u64))?;
        queues.push(&send.flags(chained).user_data(index as u64))?;
        queues.push(&receive.user_data(index as u64))
    }

    /// Takes the answer, or the error of whichever step failed, and resets the connection.
    fn end(&mut self, result: i32) -> io::Result<()> {
        self.socket = None;
        match result {
            64 if *self.answer == MESSAGE => Ok(()),
            0.. => Err(io::Error::other("the server closed a connection or sent something else")),
            _ => Err(io::Error::from_raw_os_error(-result)),
        }
    }
}
