//! One publisher, many subscribers, on the bare ring: a send for each from the buffer that the kernel received into.

use std::collections::HashMap;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, RawFd};

use io_uring::squeue::Entry;
use io_uring::{cqueue, opcode, types};

use crate::fan::GREETING;
use crate::uring::buffers::{Buffers, GROUP};
use crate::uring::{Completion, Uring};

const ACCEPT: u64 = 1 << 32;
const RECEIVE: u64 = 2 << 32;
const SEND: u64 = 3 << 32;
const GREET: u64 = 4 << 32;

pub(super) fn serve(listener: &TcpListener) -> io::Result<()> {
    let mut buffers = Buffers::new(512, 16 * 1024)?;
    let mut ring = Uring::new(1024)?;
    buffers.register(&ring.submitter())?;
    let mut queues = ring.queues();
    queues.push(&accept(listener.as_raw_fd()))?;
    let (mut publisher, mut subscribers): (Option<RawFd>, Vec<RawFd>) = (None, Vec::new());
    // How many sends still read a buffer.
    let mut readers: HashMap<u16, usize> = HashMap::new();
    loop {
        queues.turn()?;
        while let Some(Completion { user_data, result, flags }) = queues.next() {
            if result < 0 {
                return Err(io::Error::from_raw_os_error(-result));
            }
            match user_data & !0xffff_ffff {
                ACCEPT if publisher.is_none() => {
                    publisher = Some(result);
                    queues.push(&receive(result))?;
                }
                ACCEPT => {
                    subscribers.push(result);
                    queues.push(&send(result, GREETING.as_ptr(), GREETING.len(), GREET))?;
                }
                RECEIVE => {
                    let Some(buffer) = cqueue::buffer_select(flags) else { return Ok(()) };
                    buffers.take();
                    readers.insert(buffer, subscribers.len());
                    let (from, len) = (buffers.address(buffer), result as usize);
                    for subscriber in &subscribers {
                        let tag = SEND | u64::from(buffer);
                        queues.push(&send(*subscriber, from, len, tag))?;
                    }
                }
                SEND => {
                    let buffer = user_data as u16;
                    let left = readers.get_mut(&buffer).ok_or(io::Error::other("not sent"))?;
                    *left -= 1;
                    if *left == 0 {
                        buffers.give_back(buffer);
                    }
                }
                _ => {}
            }
            match (user_data & !0xffff_ffff, publisher) {
                (ACCEPT, _) if !cqueue::more(flags) => {
                    queues.push(&accept(listener.as_raw_fd()))?;
                }
                (RECEIVE, Some(fd)) if !cqueue::more(flags) => queues.push(&receive(fd))?,
                _ => {}
            }
        }
        buffers.publish();
    }
}

fn accept(listener: RawFd) -> Entry {
    let accept = opcode::AcceptMulti::new(types::Fd(listener)).flags(libc::SOCK_CLOEXEC);
    accept.build().user_data(ACCEPT)
}

fn receive(fd: RawFd) -> Entry {
    opcode::RecvMulti::new(types::Fd(fd), GROUP).build().user_data(RECEIVE)
}

fn send(fd: RawFd, from: *const u8, len: usize, tag: u64) -> Entry {
    opcode::Send::new(types::Fd(fd), from, len as u32)
        .flags(libc::MSG_WAITALL | libc::MSG_NOSIGNAL)
        .build()
        .user_data(tag)
}
