//! The echo server on bare epoll: what a readiness loop costs with no runtime above it.
//!
//! Level-triggered, because one read per event is then enough: edge-triggered it would have to read until
//! EAGAIN, a second system call for every small message. Writes go out at once; EPOLLOUT is asked for only
//! after a short one.

#![allow(unsafe_code, reason = "bare system calls")]

use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

const EVENTS: usize = 1024;

/// A connection, found by the number of its fd.
struct Connection {
    fd: OwnedFd,
    /// What a short write left over; nothing is read while there is any.
    unsent: Vec<u8>,
}

struct Loop {
    epoll: OwnedFd,
    connections: Vec<Option<Connection>>,
    buffer: Vec<u8>,
}

pub(crate) fn serve(
    listener: &TcpListener,
    control: &TcpStream,
    buffer_size: usize,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    // SAFETY: the call takes no pointer, and the fd it returns is owned by nobody else.
    let epoll = unsafe { OwnedFd::from_raw_fd(check(libc::epoll_create1(libc::EPOLL_CLOEXEC))?) };
    let mut server = Loop { epoll, connections: Vec::new(), buffer: vec![0; buffer_size] };
    server.watch(libc::EPOLL_CTL_ADD, listener.as_raw_fd(), libc::EPOLLIN)?;
    server.watch(libc::EPOLL_CTL_ADD, control.as_raw_fd(), libc::EPOLLIN)?;

    let mut events = vec![libc::epoll_event { events: 0, u64: 0 }; EVENTS];
    loop {
        // SAFETY: the array is valid for writes of as many events as the call is told.
        let count = unsafe {
            let epoll = server.epoll.as_raw_fd();
            check(libc::epoll_wait(epoll, events.as_mut_ptr(), EVENTS as i32, -1))
        };
        let count = match count {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            count => count? as usize,
        };
        for event in &events[..count] {
            let fd = event.u64 as RawFd;
            if fd == control.as_raw_fd() {
                return Ok(());
            } else if fd == listener.as_raw_fd() {
                server.accept(fd)?;
            } else if server.echo(fd).is_err() {
                // The peer is gone; closing the fd also takes it out of the set.
                server.connections[fd as usize] = None;
            }
        }
    }
}

impl Loop {
    fn watch(&self, operation: i32, fd: RawFd, interest: i32) -> io::Result<()> {
        let mut event = libc::epoll_event { events: interest as u32, u64: fd as u64 };
        // SAFETY: the event is valid for reads; both fds are open.
        unsafe { check(libc::epoll_ctl(self.epoll.as_raw_fd(), operation, fd, &mut event)) }?;
        Ok(())
    }

    fn accept(&mut self, listener: RawFd) -> io::Result<()> {
        loop {
            let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
            let (none, no_length) = (std::ptr::null_mut(), std::ptr::null_mut());
            // SAFETY: null pointers say that the peer's address is not wanted.
            let fd = match check(unsafe { libc::accept4(listener, none, no_length, flags) }) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                fd => fd?,
            };
            if self.connections.len() <= fd as usize {
                self.connections.resize_with(fd as usize + 1, || None);
            }
            // SAFETY: the fd was just accepted and is owned by nobody else.
            let owned = unsafe { OwnedFd::from_raw_fd(fd) };
            self.connections[fd as usize] = Some(Connection { fd: owned, unsent: Vec::new() });
            self.watch(libc::EPOLL_CTL_ADD, fd, libc::EPOLLIN)?;
        }
    }

    /// One event of one connection; an error ends the connection.
    fn echo(&mut self, fd: RawFd) -> io::Result<()> {
        let Some(connection) = self.connections[fd as usize].as_mut() else { return Ok(()) };
        debug_assert_eq!(connection.fd.as_raw_fd(), fd);
        if !connection.unsent.is_empty() {
            let sent = send(fd, &connection.unsent)?;
            connection.unsent.drain(..sent);
            if connection.unsent.is_empty() {
                self.watch(libc::EPOLL_CTL_MOD, fd, libc::EPOLLIN)?;
            }
            return Ok(());
        }
        let (buffer, size) = (self.buffer.as_mut_ptr(), self.buffer.len());
        // SAFETY: the buffer is valid for writes of its length.
        let count = unsafe { libc::recv(fd, buffer.cast(), size, 0) };
        let count = match count {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            1.. => count as usize,
            _ => return again(io::Error::last_os_error()).map(drop),
        };
        let sent = send(fd, &self.buffer[..count])?;
        if sent < count {
            connection.unsent.extend_from_slice(&self.buffer[sent..count]);
            self.watch(libc::EPOLL_CTL_MOD, fd, libc::EPOLLOUT)?;
        }
        Ok(())
    }
}

/// Sends what the socket takes, which may be nothing.
fn send(fd: RawFd, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: the slice is valid for reads.
    match unsafe { libc::send(fd, bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL) } {
        sent @ 0.. => Ok(sent as usize),
        _ => again(io::Error::last_os_error()),
    }
}

fn again(error: io::Error) -> io::Result<usize> {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(0),
        _ => Err(error),
    }
}

fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
