//! The servers of streams on a bare ring: each receive into memory of the server's own, armed anew for each.

#![allow(unsafe_code, reason = "a bare ring is unsafe by nature")]

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, RawFd};

use io_uring::squeue::Flags;
use io_uring::{opcode, types};

use super::load::{Load, MESSAGE};
use crate::contest::{Sample, Stopwatch};
use crate::uring::{Queues, Uring};

const BUFFER: usize = 512 * 1024;
/// What a connection sends fits in it.
const ROOM: usize = 64;
const ACCEPT: u64 = 0;
const CLOSE: u64 = 1;
/// The kind of a connection's operation, above its descriptor.
const RECEIVE: u64 = 1 << 32;
const SEND: u64 = 2 << 32;

fn line_end(bytes: &[u8]) -> Option<usize> {
    // SAFETY: the slice is borrowed across the call.
    let found = unsafe { libc::memchr(bytes.as_ptr().cast(), i32::from(b'\n'), bytes.len()) };
    (!found.is_null()).then(|| found.addr() - bytes.as_ptr().addr())
}

fn receive(fd: RawFd, buf: &mut [u8]) -> io_uring::squeue::Entry {
    opcode::Recv::new(types::Fd(fd), buf.as_mut_ptr(), buf.len() as u32).build()
}

fn send(fd: RawFd, buf: &[u8]) -> io_uring::squeue::Entry {
    opcode::Send::new(types::Fd(fd), buf.as_ptr(), buf.len() as u32)
        .flags(libc::MSG_NOSIGNAL | libc::MSG_WAITALL)
        .build()
}

pub(super) fn lines(operations: u64) -> io::Result<Sample> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut load = Load::start("lines", listener.local_addr()?, operations)?;
    let mut ring = Uring::new(8)?;
    let mut queues = ring.queues();
    let watch = Stopwatch::start();
    load.begin()?;
    let (stream, _) = listener.accept()?;
    let mut buf = vec![0; BUFFER];
    // The bytes of a line that is not whole, at the buffer's front.
    let (mut kept, mut count, mut len) = (0, 0, 0);
    loop {
        queues.push(&receive(stream.as_raw_fd(), &mut buf[kept..]))?;
        let came = wait(&mut queues)?;
        if came == 0 {
            break;
        }
        let (filled, mut start) = (kept + came, 0);
        while let Some(at) = line_end(&buf[start..filled]) {
            len += at + 1;
            count += 1;
            start += at + 1;
        }
        buf.copy_within(start..filled, 0);
        kept = filled - start;
    }
    assert_eq!((count, len), (operations, 64 * operations as usize));
    Ok(watch.stop(operations))
}

pub(super) fn sink(operations: u64) -> io::Result<Sample> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut load = Load::start("sink", listener.local_addr()?, operations)?;
    let mut ring = Uring::new(8)?;
    let mut queues = ring.queues();
    let watch = Stopwatch::start();
    load.begin()?;
    let (stream, _) = listener.accept()?;
    let (mut buf, mut len) = (vec![0; 64 * 1024], 0);
    loop {
        queues.push(&receive(stream.as_raw_fd(), &mut buf))?;
        match wait(&mut queues)? {
            0 => break,
            came => len += came as u64,
        }
    }
    assert_eq!(len, MESSAGE as u64 * operations);
    Ok(watch.stop(operations))
}

/// The result of the one operation under way.
fn wait(queues: &mut Queues<'_>) -> io::Result<usize> {
    loop {
        queues.turn()?;
        if let Some(completion) = queues.next() {
            return bytes(completion.result);
        }
    }
}

fn bytes(result: i32) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result))
}

/// What goes from one side to the other: of its two buffers one is received into while the other is sent.
struct Flow {
    from: RawFd,
    to: RawFd,
    bufs: [Vec<u8>; 2],
    /// Bytes to send in the buffer that is not received into.
    due: usize,
    /// The buffer that is received into.
    current: usize,
    receiving: bool,
    sending: bool,
    ended: bool,
}

impl Flow {
    fn new(from: &TcpStream, to: &TcpStream) -> Self {
        let bufs = [vec![0; BUFFER], vec![0; BUFFER]];
        let (from, to) = (from.as_raw_fd(), to.as_raw_fd());
        Self { from, to, bufs, due: 0, current: 0, receiving: false, sending: false, ended: false }
    }

    /// Queues what can go on; `kind` marks its completions.
    fn go_on(&mut self, queues: &mut Queues<'_>, kind: u64) -> io::Result<()> {
        if self.due > 0 && !self.sending {
            let entry = send(self.to, &self.bufs[1 - self.current][..self.due]);
            queues.push(&entry.user_data(SEND | kind))?;
            self.sending = true;
        }
        if !self.receiving && !self.ended {
            let entry = receive(self.from, &mut self.bufs[self.current]);
            queues.push(&entry.user_data(RECEIVE | kind))?;
            self.receiving = true;
        }
        Ok(())
    }
}

pub(super) fn proxy(kind: &str, operations: u64) -> io::Result<Sample> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut load = Load::start(kind, listener.local_addr()?, operations)?;
    let mut ring = Uring::new(8)?;
    let mut queues = ring.queues();
    let watch = Stopwatch::start();
    load.begin()?;
    let (near, _) = listener.accept()?;
    let mut port = [0; 2];
    io::Read::read_exact(&mut &near, &mut port)?;
    let far = TcpStream::connect(("127.0.0.1", u16::from_be_bytes(port)))?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let mut flows = [Flow::new(&near, &far), Flow::new(&far, &near)];
    // Received, and waiting for the send before it.
    let mut waiting = [0; 2];
    let mut open = 2;
    while open > 0 {
        for (index, flow) in flows.iter_mut().enumerate() {
            if waiting[index] == 0 {
                flow.go_on(&mut queues, index as u64)?;
            }
        }
        queues.turn()?;
        while let Some(completion) = queues.next() {
            let index = (completion.user_data & 1) as usize;
            let flow = &mut flows[index];
            let count = bytes(completion.result)?;
            if completion.user_data & SEND != 0 {
                (flow.sending, flow.due) = (false, 0);
            } else if count == 0 {
                (flow.receiving, flow.ended) = (false, true);
            } else {
                flow.receiving = false;
                waiting[index] = count;
            }
            if waiting[index] > 0 && !flow.sending {
                flow.due = std::mem::take(&mut waiting[index]);
                flow.current = 1 - flow.current;
            }
            if flow.ended && !flow.sending && flow.due == 0 {
                let other = if index == 0 { &far } else { &near };
                other.shutdown(Shutdown::Write)?;
                open -= 1;
            }
        }
    }
    Ok(watch.stop(operations))
}

pub(super) fn connections(operations: u64) -> io::Result<Sample> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut load = Load::start("tcp", listener.local_addr()?, operations)?;
    let mut ring = Uring::new(64)?;
    let mut queues = ring.queues();
    let accept = opcode::AcceptMulti::new(types::Fd(listener.as_raw_fd()))
        .flags(libc::SOCK_CLOEXEC)
        .build()
        .user_data(ACCEPT);
    let mut rooms: Vec<Box<[u8; ROOM]>> = Vec::new();
    let watch = Stopwatch::start();
    load.begin()?;
    queues.push(&accept)?;
    let mut closed = 0;
    while closed < operations {
        queues.turn()?;
        while let Some(completion) = queues.next() {
            let fd = completion.user_data as u32 as RawFd;
            match completion.user_data {
                ACCEPT => {
                    let fd = bytes(completion.result)?;
                    while rooms.len() <= fd {
                        rooms.push(Box::new([0; ROOM]));
                    }
                    let entry = receive(fd as RawFd, &mut rooms[fd][..]);
                    queues.push(&entry.user_data(RECEIVE | fd as u64))?;
                }
                CLOSE => closed += 1,
                data if data & RECEIVE != 0 => {
                    let count = bytes(completion.result)?;
                    let entry = send(fd, &rooms[fd as usize][..count]).flags(Flags::IO_LINK);
                    queues.push(&entry.user_data(SEND | fd as u64))?;
                    let close = opcode::Close::new(types::Fd(fd)).build();
                    queues.push(&close.user_data(CLOSE))?;
                }
                _ => drop(bytes(completion.result)?),
            }
        }
    }
    Ok(watch.stop(operations))
}
