//! The servers on a bare ring.
//!
//! A multishot receive takes a buffer of the pool, and the datagram is sent from where it lies to where it came from;
//! the buffer goes back when that is done. Or each is answered by a system call, before the next is looked at.

#![allow(unsafe_code, reason = "a bare ring is unsafe by nature")]

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

use io_uring::{cqueue, opcode, types};

use super::floor_streams::{connections, lines, proxy, sink};
use super::load::Load;
use crate::contest::{Run, Sample, Stopwatch};
use crate::uring::buffers::{Buffers, GROUP};
use crate::uring::{Queues, Uring};

pub(super) static CELLS: &[(&str, Run)] = &[
    ("udp_echo", |operations| or_panic(udp_echo(operations, Answer::ByTheRing))),
    ("udp_echo_apart", |operations| or_panic(udp_echo(operations, Answer::ByTheRing))),
    ("udp_echo_single", |operations| or_panic(udp_echo(operations, Answer::ByTheRing))),
    ("udp_echo_calls", |operations| or_panic(udp_echo(operations, Answer::ByACall))),
    ("connections", |operations| or_panic(connections(operations))),
    ("proxy_16K", |operations| or_panic(proxy("messages", operations))),
    ("proxy_bulk", |operations| or_panic(proxy("bulk", operations))),
    ("sink", |operations| or_panic(sink(operations))),
    ("sink_owned", |operations| or_panic(sink(operations))),
    ("lines", |operations| or_panic(lines(operations))),
    ("lines_string", |operations| or_panic(lines(operations))),
];

/// `struct io_uring_recvmsg_out` and, after it, an IPv4 address.
const HEADER: usize = 16;
const NAME: u32 = 16;
const RECEIVE: u64 = 1 << 32;

fn or_panic(sample: io::Result<Sample>) -> Sample {
    sample.unwrap_or_else(|error| panic!("floor: {error}"))
}

/// How a datagram is answered.
#[derive(Clone, Copy)]
enum Answer {
    ByTheRing,
    ByACall,
}

fn udp_echo(operations: u64, answer: Answer) -> io::Result<Sample> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let mut load = Load::start("udp", socket.local_addr()?, operations)?;
    echo_by(answer, &socket, operations, || load.begin())
}

/// Echoes so many datagrams from when `begin` was called.
#[allow(dead_code, reason = "of those who measure the ring beside others")]
pub(crate) fn echo(
    socket: &UdpSocket,
    operations: u64,
    begin: impl FnOnce() -> io::Result<()>,
) -> io::Result<Sample> {
    echo_by(Answer::ByTheRing, socket, operations, begin)
}

fn echo_by(
    answer: Answer,
    socket: &UdpSocket,
    operations: u64,
    begin: impl FnOnce() -> io::Result<()>,
) -> io::Result<Sample> {
    let mut buffers = Buffers::new(128, 4096)?;
    // SAFETY: a header of zeroes is valid.
    let mut header: libc::msghdr = unsafe { std::mem::MaybeUninit::zeroed().assume_init() };
    header.msg_namelen = NAME;
    let mut ring = Uring::new(256)?;
    buffers.register(&ring.submitter())?;
    let mut queues = ring.queues();
    let fd = types::Fd(socket.as_raw_fd());
    let receive = opcode::RecvMsgMulti::new(fd, &raw const header, GROUP).build();
    let receive = receive.user_data(RECEIVE);
    queues.push(&receive)?;
    let watch = Stopwatch::start();
    begin()?;
    let mut echoed = 0;
    while echoed < operations {
        queues.turn()?;
        while let Some(completion) = queues.next() {
            if completion.user_data != RECEIVE {
                buffers.give_back(completion.user_data as u16);
                echoed += 1;
                continue;
            }
            if let Some(id) = cqueue::buffer_select(completion.flags) {
                buffers.take();
                let len = completion.result as u32;
                match answer {
                    Answer::ByTheRing => send(&mut queues, &buffers, fd, id, len)?,
                    Answer::ByACall => {
                        send_now(&buffers, fd, id, len)?;
                        buffers.give_back(id);
                        echoed += 1;
                    }
                }
            }
            if !cqueue::more(completion.flags) {
                queues.push(&receive)?;
            }
        }
        buffers.publish();
    }
    Ok(watch.stop(operations))
}

/// Where the address and the payload of a datagram lie in its buffer.
fn parts(buffers: &Buffers, id: u16) -> (*mut u8, *mut u8) {
    // SAFETY: the kernel wrote header, address and payload into it.
    unsafe {
        let name = buffers.address(id).add(HEADER);
        (name, name.add(NAME as usize))
    }
}

/// Sends the datagram in a buffer to the address before it, by a system call.
fn send_now(buffers: &Buffers, fd: types::Fd, id: u16, len: u32) -> io::Result<()> {
    let ((name, payload), size) = (parts(buffers, id), len as usize - HEADER - NAME as usize);
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: the kernel wrote `len` bytes into the buffer.
    let sent = unsafe { libc::sendto(fd.0, payload.cast(), size, flags, name.cast(), NAME) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Sends the datagram in a buffer to the address before it.
fn send(
    queues: &mut Queues<'_>,
    buffers: &Buffers,
    fd: types::Fd,
    id: u16,
    len: u32,
) -> io::Result<()> {
    let (name, payload) = parts(buffers, id);
    let send = opcode::Send::new(fd, payload, len - HEADER as u32 - NAME)
        .flags(libc::MSG_NOSIGNAL)
        .dest_addr(name.cast())
        .dest_addr_len(NAME)
        .build();
    queues.push(&send.user_data(u64::from(id)))
}
