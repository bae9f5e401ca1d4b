//! The load generator: one thread, one ring, a closed loop or an open one.
//!
//! In a closed loop every connection keeps `depth` messages on the way; each answer that is complete is checked and
//! paid for with the next message. In an open one messages are issued at a rate, and the thread does not sleep.
//! It uses the same bare ring as the hand-written server, so that the server, whichever it is, runs out of processor
//! first.

#![allow(unsafe_code, reason = "reads memory that the kernel wrote")]

mod connection;
mod pace;
mod syscalls;
mod thread;
mod window;

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

use hdrhistogram::Histogram;
use io_uring::squeue::Flags;
use io_uring::{cqueue, opcode, types};

use crate::support::cpu::monotonic_ns;
use crate::uring::buffers::{Buffers, GROUP};
use crate::uring::{Completion, Queues, Uring};
pub(crate) use connection::{Connection, Messages};
use pace::Pace;
pub(crate) use thread::Thread;
pub(crate) use window::{Length, Measured, Phase, Watched, Window, histogram};

const RECEIVE: u64 = 0 << 32;
const SEND: u64 = 1 << 32;
const CANCEL: u64 = 2 << 32;
const STALL: u64 = 3 << 32;

/// How many connections, how large a message, and how many of them on the way on each connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    pub(crate) connections: usize,
    pub(crate) size: usize,
    pub(crate) depth: usize,
    /// Messages a second, over all connections; none where each answer is paid for.
    pub(crate) rate_per_s: Option<u64>,
}

struct Client<'ring> {
    cell: Cell,
    queues: Queues<'ring>,
    buffers: &'ring mut Buffers,
    connections: Vec<Connection>,
    messages: &'ring Messages,
    /// When each message on the way was issued: `depth` places per connection, used in turn.
    issued_at_ns: Vec<u64>,
    /// The time of the turn: read once, after the wait.
    now_ns: u64,
    issued: u64,
    answered: u64,
    /// Messages beyond this number are not issued.
    limit: u64,
    armed: usize,
    starved: Vec<usize>,
    latencies_ns: Option<Histogram<u64>>,
    pace: Option<Pace>,
}

/// Loads the server at `address` from the calling thread and returns what was measured.
pub(crate) fn run(
    address: SocketAddr,
    cell: Cell,
    length: Length,
    watched: Watched,
) -> io::Result<Measured> {
    let messages = Messages::new(cell);
    let buffer_size = (cell.size * cell.depth).next_power_of_two().clamp(4096, 64 * 1024);
    let mut buffers = Buffers::new(128, buffer_size)?;
    let mut ring = Uring::new(4096)?;
    buffers.register(&ring.submitter())?;
    let connections = (0..cell.connections)
        .map(|_| Connection::open(address))
        .collect::<io::Result<Vec<Connection>>>()?;
    let mut client = Client {
        cell,
        queues: ring.queues(),
        buffers: &mut buffers,
        connections,
        messages: &messages,
        issued_at_ns: vec![0; cell.connections * cell.depth],
        now_ns: monotonic_ns(),
        issued: 0,
        answered: 0,
        limit: length.limit(),
        armed: 0,
        starved: Vec::new(),
        latencies_ns: None,
        pace: cell.rate_per_s.map(|rate_per_s| Pace::new(rate_per_s, monotonic_ns())),
    };
    let stall = types::Timespec::new().sec(length.patience_s());
    client.queues.push(&opcode::Timeout::new(&stall).build().user_data(STALL))?;
    let measured = client.measure(Window::new(length, watched, cell.connections)?);
    // Also after an error: the kernel holds pointers into this frame until every receive has ended.
    client.cancel()?;
    measured
}

impl Client<'_> {
    fn measure(&mut self, mut window: Window) -> io::Result<Measured> {
        for index in 0..self.connections.len() {
            self.receive(index)?;
            if self.pace.is_none() {
                self.issue(index, self.cell.depth, self.now_ns)?;
            }
        }
        while self.answered < self.issued || self.issued < self.limit {
            match self.pace {
                None => self.queues.turn()?,
                Some(_) => self.queues.look()?,
            }
            self.now_ns = monotonic_ns();
            while let Some(completion) = self.queues.next() {
                self.complete(completion)?;
            }
            self.buffers.publish();
            for _ in 0..self.starved.len().min(self.buffers.available()) {
                let index = self.starved.pop().unwrap_or_default();
                self.receive(index)?;
            }
            self.issue_due()?;
            match window.look(self.now_ns, self.answered) {
                Phase::Same => {}
                Phase::Begin => self.latencies_ns = Some(histogram()),
                Phase::End => {
                    self.count_waiting();
                    window.keep(self.latencies_ns.take());
                    self.limit = self.issued;
                }
            }
        }
        window.measured()
    }

    #[inline]
    fn complete(&mut self, completion: Completion) -> io::Result<()> {
        let index = completion.user_data as u32 as usize;
        match completion.user_data & !0xffff_ffff {
            RECEIVE => self.received(index, completion),
            SEND => self.sent(index, completion.result),
            STALL => Err(io::Error::new(io::ErrorKind::TimedOut, "the server stalled")),
            _ => Ok(()),
        }
    }

    fn receive(&mut self, index: usize) -> io::Result<()> {
        let fd = types::Fd(self.connections[index].stream.as_raw_fd());
        let entry = opcode::RecvMulti::new(fd, GROUP).build();
        self.armed += 1;
        self.queues.push(&entry.user_data(RECEIVE | index as u64))
    }

    #[inline]
    fn received(&mut self, index: usize, completion: Completion) -> io::Result<()> {
        let Completion { result, flags, .. } = completion;
        let more = cqueue::more(flags);
        self.armed -= usize::from(!more);
        if result == -libc::ENOBUFS {
            self.starved.push(index);
            return Ok(());
        }
        let buffer = match (result, cqueue::buffer_select(flags)) {
            (1.., Some(buffer)) => buffer,
            (0.., _) => return Err(io::Error::other("the server closed a connection")),
            _ => return Err(io::Error::from_raw_os_error(-result)),
        };
        self.buffers.take();
        // SAFETY: the kernel wrote `result` bytes there and does not touch the buffer until it is given back.
        let bytes =
            unsafe { std::slice::from_raw_parts(self.buffers.address(buffer), result as usize) };
        let stamp = self.messages.stamp(index);
        let complete = self.connections[index].check(bytes, self.cell.size, stamp)?;
        self.buffers.give_back(buffer);
        if !more {
            self.receive(index)?;
        }
        self.count(index, complete);
        let issue = (complete as u64).min(self.limit - self.issued) as usize;
        match issue > 0 && self.pace.is_none() {
            true => self.issue(index, issue, self.now_ns),
            false => Ok(()),
        }
    }

    /// Counts the answers and how long each was on its way.
    #[inline]
    fn count(&mut self, index: usize, complete: usize) {
        let depth = self.cell.depth;
        self.answered += complete as u64;
        let connection = &mut self.connections[index];
        let first = connection.answered;
        connection.answered += complete;
        if let Some(latencies_ns) = &mut self.latencies_ns {
            for message in first..first + complete {
                let issued_at_ns = self.issued_at_ns[index * depth + message % depth];
                latencies_ns.saturating_record(self.now_ns - issued_at_ns);
            }
        }
    }

    /// Counts what an open loop still waits for with the time that it has waited, less than it would have taken: left
    /// out, the messages that a stall held up at the end would make it look shorter.
    fn count_waiting(&mut self) {
        let (Some(pace), Some(latencies_ns)) = (&mut self.pace, &mut self.latencies_ns) else {
            return;
        };
        let depth = self.cell.depth;
        for (index, connection) in self.connections.iter().enumerate() {
            for message in connection.answered..connection.issued {
                let issued_at_ns = self.issued_at_ns[index * depth + message % depth];
                latencies_ns.saturating_record(self.now_ns - issued_at_ns);
            }
        }
        while let Some((_, due_ns)) = pace.due(self.now_ns) {
            latencies_ns.saturating_record(self.now_ns - due_ns);
            pace.issued();
        }
    }

    /// Issues what is due in an open loop; what finds its connection full stays due.
    fn issue_due(&mut self) -> io::Result<()> {
        while let Some((number, due_ns)) = self.pace.as_ref().and_then(|pace| pace.due(self.now_ns))
        {
            let index = number as usize % self.connections.len();
            let connection = &self.connections[index];
            if connection.issued - connection.answered >= self.cell.depth
                || self.issued >= self.limit
            {
                break;
            }
            self.issue(index, 1, due_ns)?;
            self.pace.iter_mut().for_each(Pace::issued);
        }
        Ok(())
    }

    /// Sends `count` further messages, or owes them until the send in flight is done.
    #[inline]
    fn issue(&mut self, index: usize, count: usize, at_ns: u64) -> io::Result<()> {
        let depth = self.cell.depth;
        let count = count.min((self.limit - self.issued) as usize);
        let connection = &mut self.connections[index];
        for message in connection.issued..connection.issued + count {
            self.issued_at_ns[index * depth + message % depth] = at_ns;
        }
        connection.issued += count;
        self.issued += count as u64;
        if connection.sending {
            connection.owed += count;
            return Ok(());
        }
        self.send(index, count)
    }

    #[inline]
    fn send(&mut self, index: usize, count: usize) -> io::Result<()> {
        let connection = &mut self.connections[index];
        let fd = types::Fd(connection.stream.as_raw_fd());
        let length = (count * self.cell.size) as u32;
        let entry = opcode::Send::new(fd, self.messages.bytes(index).as_ptr(), length)
            .flags(libc::MSG_WAITALL | libc::MSG_NOSIGNAL)
            .build()
            .user_data(SEND | index as u64);
        // With one message on the way its answer proves that its send is done: no completion is needed.
        let answer_proves = self.cell.depth == 1;
        connection.sending = !answer_proves;
        let flags = if answer_proves { Flags::SKIP_SUCCESS } else { Flags::empty() };
        self.queues.push(&entry.flags(flags))
    }

    #[inline]
    fn sent(&mut self, index: usize, result: i32) -> io::Result<()> {
        if result < 0 {
            return Err(io::Error::from_raw_os_error(-result));
        }
        let connection = &mut self.connections[index];
        connection.sending = false;
        match std::mem::take(&mut connection.owed) {
            0 => Ok(()),
            owed => self.send(index, owed),
        }
    }

    /// Ends every receive, and waits until it has ended.
    fn cancel(&mut self) -> io::Result<()> {
        let everything = types::CancelBuilder::any();
        self.queues.push(&opcode::AsyncCancel2::new(everything).build().user_data(CANCEL))?;
        while self.armed > 0 {
            self.queues.turn()?;
            while let Some(completion) = self.queues.next() {
                let receive = completion.user_data & !0xffff_ffff == RECEIVE;
                self.armed -= usize::from(receive && !cqueue::more(completion.flags));
            }
        }
        Ok(())
    }
}
