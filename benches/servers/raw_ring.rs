//! The echo server on a bare ring: the floor that a runtime on io_uring is measured against.
//!
//! A receive takes a buffer from the pool when data arrives, that very buffer is sent, and its send's
//! completion gives it back. One send is in flight per connection, which keeps the bytes in order. One
//! `io_uring_enter` a turn submits and waits.

#![allow(unsafe_code, reason = "closes raw fds")]

use std::collections::VecDeque;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, RawFd};

use io_uring::squeue::Flags;
use io_uring::{cqueue, opcode, types};

use crate::uring::buffers::{Buffers, GROUP};
use crate::uring::{Completion, Queues, Uring};

const RECVSEND_POLL_FIRST: u16 = 1 << 0;

pub(crate) struct Style {
    multishot: bool,
    buffer_count: u16,
    buffer_size: usize,
}

pub(crate) const MULTISHOT_64K: Style =
    Style { multishot: true, buffer_count: 128, buffer_size: 64 * 1024 };
pub(crate) const MULTISHOT_16K: Style =
    Style { multishot: true, buffer_count: 512, buffer_size: 16 * 1024 };
pub(crate) const ONE_SHOT_64K: Style =
    Style { multishot: false, buffer_count: 128, buffer_size: 64 * 1024 };

/// What a completion belongs to, in the top byte of its user data; below it the buffer, then the fd.
const ACCEPT: u8 = 0;
const CONTROL: u8 = 1;
const RECEIVE: u8 = 2;
const SEND: u8 = 3;

/// A connection, found by the number of its fd, which is closed only when nothing is in flight on it.
#[derive(Default)]
struct Connection {
    /// Received while a send was in flight: buffer and length.
    waiting: VecDeque<(u16, u32)>,
    /// The length of the send in flight; 0 when there is none.
    sending: u32,
    receiving: bool,
    ended: bool,
}

struct Loop<'ring> {
    queues: Queues<'ring>,
    buffers: &'ring mut Buffers,
    style: &'static Style,
    connections: Vec<Connection>,
    open: usize,
    /// Connections whose receive found the pool empty.
    starved: Vec<RawFd>,
    stopping: bool,
}

pub(crate) fn serve(
    listener: TcpListener,
    control: TcpStream,
    style: &'static Style,
) -> io::Result<()> {
    let mut stop_byte = [0_u8];
    let mut buffers = Buffers::new(style.buffer_count, style.buffer_size)?;
    let mut ring = Uring::new(1024)?;
    buffers.register(&ring.submitter())?;
    let mut server = Loop {
        queues: ring.queues(),
        buffers: &mut buffers,
        style,
        connections: Vec::new(),
        open: 0,
        starved: Vec::new(),
        stopping: false,
    };
    let read = opcode::Recv::new(types::Fd(control.as_raw_fd()), stop_byte.as_mut_ptr(), 1);
    server.queues.push(&read.build().user_data(tag(CONTROL, 0, 0)))?;
    server.accept(listener.as_raw_fd())?;
    while !(server.stopping && server.open == 0) {
        server.queues.turn()?;
        while let Some(completion) = server.queues.next() {
            server.complete(completion, listener.as_raw_fd())?;
        }
        server.buffers.publish();
        server.feed_starved()?;
    }
    Ok(())
}

impl Loop<'_> {
    #[inline]
    fn complete(&mut self, completion: Completion, listener: RawFd) -> io::Result<()> {
        let Completion { user_data, result, flags } = completion;
        let (fd, buffer) = (user_data as u32 as RawFd, (user_data >> 32) as u16);
        match (user_data >> 56) as u8 {
            RECEIVE => self.received(fd, result, flags),
            SEND => self.sent(fd, buffer, result),
            CONTROL => {
                self.stopping = true;
                Ok(())
            }
            _ => self.accepted(listener, result, flags),
        }
    }

    fn accept(&mut self, listener: RawFd) -> io::Result<()> {
        let accept = opcode::AcceptMulti::new(types::Fd(listener)).flags(libc::SOCK_CLOEXEC);
        self.queues.push(&accept.build().user_data(tag(ACCEPT, 0, 0)))
    }

    fn accepted(&mut self, listener: RawFd, result: i32, flags: u32) -> io::Result<()> {
        if result >= 0 {
            if self.connections.len() <= result as usize {
                self.connections.resize_with(result as usize + 1, Connection::default);
            }
            self.connections[result as usize] = Connection::default();
            self.open += 1;
            self.receive(result)?;
        }
        if !cqueue::more(flags) {
            self.accept(listener)?;
        }
        Ok(())
    }

    #[inline]
    fn receive(&mut self, fd: RawFd) -> io::Result<()> {
        self.connections[fd as usize].receiving = true;
        let entry = if self.style.multishot {
            opcode::RecvMulti::new(types::Fd(fd), GROUP).build()
        } else {
            opcode::Recv::new(types::Fd(fd), std::ptr::null_mut(), 0)
                .buf_group(GROUP)
                .ioprio(RECVSEND_POLL_FIRST)
                .build()
                .flags(Flags::BUFFER_SELECT)
        };
        self.queues.push(&entry.user_data(tag(RECEIVE, 0, fd)))
    }

    #[inline]
    fn received(&mut self, fd: RawFd, result: i32, flags: u32) -> io::Result<()> {
        let more = cqueue::more(flags);
        let connection = &mut self.connections[fd as usize];
        connection.receiving = more;
        if result == -libc::ENOBUFS {
            self.starved.push(fd);
            return Ok(());
        }
        if let Some(buffer) = cqueue::buffer_select(flags) {
            self.buffers.take();
            match result {
                1.. if connection.sending == 0 => self.send(fd, buffer, result as u32)?,
                1.. => connection.waiting.push_back((buffer, result as u32)),
                _ => self.buffers.give_back(buffer),
            }
        }
        if result <= 0 {
            self.connections[fd as usize].ended = true;
            self.close_if_idle(fd);
        } else if !more {
            self.receive(fd)?;
        }
        Ok(())
    }

    #[inline]
    fn send(&mut self, fd: RawFd, buffer: u16, length: u32) -> io::Result<()> {
        self.connections[fd as usize].sending = length;
        let entry = opcode::Send::new(types::Fd(fd), self.buffers.address(buffer), length)
            .flags(libc::MSG_WAITALL | libc::MSG_NOSIGNAL)
            .build();
        self.queues.push(&entry.user_data(tag(SEND, buffer, fd)))
    }

    #[inline]
    fn sent(&mut self, fd: RawFd, buffer: u16, result: i32) -> io::Result<()> {
        self.buffers.give_back(buffer);
        let connection = &mut self.connections[fd as usize];
        let short = result != connection.sending as i32;
        connection.sending = 0;
        if short {
            // Even with MSG_WAITALL: the peer is gone. The receive, if there is one, will say so too.
            for (buffer, _) in std::mem::take(&mut connection.waiting) {
                self.buffers.give_back(buffer);
            }
            self.connections[fd as usize].ended = true;
        } else if let Some((buffer, length)) = connection.waiting.pop_front() {
            return self.send(fd, buffer, length);
        }
        if self.connections[fd as usize].ended {
            self.close_if_idle(fd);
        }
        Ok(())
    }

    /// Arms starved receives again, at most as many as there are buffers, so that it cannot spin.
    fn feed_starved(&mut self) -> io::Result<()> {
        for _ in 0..self.starved.len().min(self.buffers.available()) {
            if let Some(fd) = self.starved.pop() {
                self.receive(fd)?;
            }
        }
        Ok(())
    }

    fn close_if_idle(&mut self, fd: RawFd) {
        let connection = &self.connections[fd as usize];
        if !connection.receiving && connection.sending == 0 && connection.waiting.is_empty() {
            self.starved.retain(|&starved| starved != fd);
            self.open -= 1;
            // SAFETY: the fd was accepted here, nothing is in flight on it, and it is closed once.
            unsafe { libc::close(fd) };
        }
    }
}

#[inline]
fn tag(kind: u8, buffer: u16, fd: RawFd) -> u64 {
    u64::from(kind) << 56 | u64::from(buffer) << 32 | u64::from(fd as u32)
}
