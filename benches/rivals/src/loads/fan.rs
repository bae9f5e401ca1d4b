//! One publisher whose messages many subscribers get: the next goes out when the last one has reached all.

#![allow(unsafe_code, reason = "reads memory that the kernel wrote")]

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

use io_uring::{cqueue, opcode, types};
use socket2::SockRef;

use crate::fan::{GREETING, SIZE};
use crate::load::{Length, Measured, Phase, Watched, Window, histogram};
use crate::support::cpu::monotonic_ns;
use crate::uring::buffers::{Buffers, GROUP};
use crate::uring::{Queues, Uring};

const PATIENCE: Duration = Duration::from_secs(5);
const STALL: u64 = u64::MAX;

struct Client<'ring> {
    queues: Queues<'ring>,
    buffers: &'ring mut Buffers,
    subscribers: Vec<TcpStream>,
    starved: Vec<usize>,
}

pub(super) fn run(
    address: SocketAddr,
    count: usize,
    length: Length,
    watched: Watched,
) -> io::Result<Measured> {
    let mut publisher = connect(address)?;
    let subscribers: Vec<TcpStream> =
        (0..count).map(|_| connect(address)).collect::<io::Result<_>>()?;
    for mut subscriber in &subscribers {
        let mut greeting = [0; SIZE];
        subscriber.read_exact(&mut greeting)?;
        if greeting != GREETING {
            return Err(io::Error::other("not greeted"));
        }
    }
    // Never freed: the kernel may hold pointers into it after an error.
    let buffers = Box::leak(Box::new(Buffers::new(1024, 4096)?));
    let ring = Box::leak(Box::new(Uring::new(4096)?));
    buffers.register(&ring.submitter())?;
    let mut client = Client { queues: ring.queues(), buffers, subscribers, starved: Vec::new() };
    let stall = types::Timespec::new().sec(length.patience_s());
    client.queues.push(&opcode::Timeout::new(&stall).build().user_data(STALL))?;
    (0..count).try_for_each(|index| client.receive(index))?;
    let mut window = Window::new(length, watched, count)?;
    let (mut answered, mut latencies_ns) = (0, None);
    for number in 0_u64.. {
        let message = [number as u8 & 0x7f; SIZE];
        let sent_ns = monotonic_ns();
        publisher.write_all(&message)?;
        let mut missing = count * SIZE;
        while missing > 0 {
            client.queues.turn()?;
            let now_ns = monotonic_ns();
            let came = client.take(&message)?;
            missing = missing.checked_sub(came).ok_or(io::Error::other("more than was sent"))?;
            answered += (came / SIZE) as u64;
            if let Some(latencies_ns) = &mut latencies_ns {
                let deliveries = (came / SIZE) as u64;
                hdrhistogram::Histogram::saturating_record_n(
                    latencies_ns,
                    now_ns - sent_ns,
                    deliveries,
                );
            }
            client.feed_starved()?;
        }
        match window.look(monotonic_ns(), answered) {
            Phase::Same => {}
            Phase::Begin => latencies_ns = Some(histogram()),
            Phase::End => {
                window.keep(latencies_ns.take());
                break;
            }
        }
    }
    window.measured()
}

/// A connection that resets when it is closed: thousands in TIME_WAIT would slow what follows.
fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
    Ok(stream)
}

impl Client<'_> {
    fn receive(&mut self, index: usize) -> io::Result<()> {
        let fd = types::Fd(self.subscribers[index].as_raw_fd());
        self.queues.push(&opcode::RecvMulti::new(fd, GROUP).build().user_data(index as u64))
    }

    /// Takes what came and returns how many bytes; each must be a piece of this message.
    fn take(&mut self, message: &[u8; SIZE]) -> io::Result<usize> {
        let mut came = 0;
        while let Some(completion) = self.queues.next() {
            let index = completion.user_data;
            if index == STALL {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the server stalled"));
            }
            if completion.result == -libc::ENOBUFS {
                self.starved.push(index as usize);
                continue;
            }
            let buffer = match (completion.result, cqueue::buffer_select(completion.flags)) {
                (1.., Some(buffer)) => buffer,
                (0.., _) => return Err(io::Error::other("the server closed a connection")),
                (error, _) => return Err(io::Error::from_raw_os_error(-error)),
            };
            let count = completion.result as usize;
            self.buffers.take();
            // SAFETY: the kernel wrote `count` bytes there and does not touch the buffer until it is given back.
            let bytes = unsafe { std::slice::from_raw_parts(self.buffers.address(buffer), count) };
            if bytes[0] != message[0] || bytes[count - 1] != message[0] {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "another message came"));
            }
            came += count;
            self.buffers.give_back(buffer);
            if !cqueue::more(completion.flags) {
                self.receive(index as usize)?;
            }
        }
        self.buffers.publish();
        Ok(came)
    }

    fn feed_starved(&mut self) -> io::Result<()> {
        for _ in 0..self.starved.len().min(self.buffers.available()) {
            let index = self.starved.pop().unwrap_or_default();
            self.receive(index)?;
        }
        Ok(())
    }
}
