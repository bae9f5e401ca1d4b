//! Peers and networks that refuse, reset, hang, or are not there, and what a caller passes that cannot be.
#![allow(
    unsafe_code,
    reason = "namespaces and signals are set by system calls, a huge buffer is mapped"
)]

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener as StdListener, TcpStream as StdStream};
use std::process::Command;
use std::ptr::NonNull;
use std::time::Duration;

use annulus::Builder;
use annulus::buf::{IoBuf, IoBufMut};
use annulus::fs::File;
use annulus::net::{TcpListener, TcpSocket, TcpStream};
use annulus::time::timeout;
use socket2::SockRef;

use crate::support::child::{assert_passed, in_child};
use crate::support::files::Folder;
use crate::support::settled::{
    content, narrow_pair, pair, poll_once, read_len, run, run_with, turn, until, write_now,
};
use crate::support::skip::skip;

#[test]
fn a_refused_connect_leaves_nothing_and_its_port_can_be_used() {
    run(async || {
        let closed = StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let own = socket.local_addr().unwrap();
        let error = socket.connect(closed).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        turn().await;
        turn().await;
        until(|| StdListener::bind(own).is_ok()).await;
    });
}

/// What connecting to networks that are not there gives, in a network namespace of this thread's own.
fn unreachable() -> io::Result<()> {
    // SAFETY: no memory is passed; the namespace is this thread's own.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let ip = |args: &[&str]| Command::new("ip").args(args).status();
    let is_up = ip(&["link", "set", "lo", "up"])?.success()
        && ip(&["route", "add", "unreachable", "10.1.0.0/16"])?.success()
        && ip(&["route", "add", "prohibit", "10.2.0.0/16"])?.success();
    if !is_up {
        return Err(io::Error::other("ip cannot set up routes"));
    }
    run(async || {
        let kind = async |address: &str| {
            let error = TcpStream::connect(address).await.unwrap_err();
            assert!(error.to_string().contains(address), "{error}");
            error.kind()
        };
        assert_eq!(kind("10.1.0.1:80").await, ErrorKind::HostUnreachable);
        assert_eq!(kind("10.2.0.1:80").await, ErrorKind::PermissionDenied);
        assert_eq!(kind("10.3.0.1:80").await, ErrorKind::NetworkUnreachable);
    });
    Ok(())
}

#[test]
fn an_unreachable_network_is_a_plain_error() {
    match std::thread::spawn(unreachable).join().unwrap() {
        Ok(()) => {}
        Err(error) => skip!("no network namespace: {error}"),
    }
}

/// A listener whose backlog is full: the next connect hangs. With what keeps it full.
fn full_listener() -> (socket2::Socket, SocketAddr, Vec<StdStream>) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let wait = Duration::from_millis(100);
    let clients = std::iter::from_fn(|| StdStream::connect_timeout(&address, wait).ok());
    let clients = clients.take(20).collect();
    (socket, address, clients)
}

#[test]
fn a_connect_that_hangs_is_given_up_with_its_socket() {
    run(async || {
        let (_full, address, clients) = full_listener();
        if clients.len() == 20 {
            skip!("the backlog of this kernel is never full");
        }
        for _ in 0..5 {
            let connect = timeout(Duration::from_millis(20), TcpStream::connect(address));
            assert!(connect.await.is_err(), "the backlog is full");
        }
        let mut connect = Box::pin(TcpStream::connect(address));
        assert!(poll_once(&mut connect).await.is_pending());
        drop(connect);
    });
}

#[test]
fn a_reset_ends_a_send_and_a_receive_that_wait() {
    run(async || {
        let (near, far) = narrow_pair();
        let near = std::rc::Rc::new(near);
        let (sending, receiving) = (near.clone(), near.clone());
        let sender = annulus::spawn(async move { sending.send_all(vec![0; 4 << 20]).await });
        let receiver = annulus::spawn(async move { receiving.recv().await });
        for _ in 0..5 {
            turn().await;
        }
        SockRef::from(&far).set_linger(Some(Duration::ZERO)).unwrap();
        drop(far);
        let failed = sender.await.unwrap().unwrap_err();
        let gone = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
        assert!(gone.contains(&failed.error.kind()), "{}", failed.error);
        assert_eq!(failed.buf.len(), 4 << 20);
        // The socket has one error to give; who comes second sees the end.
        match receiver.await.unwrap() {
            Ok(end) => assert!(end.is_none()),
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
        near.write(b"x").await.unwrap_err();
        assert!(near.recv().await.unwrap().is_none());
    });
}

#[test]
fn no_write_to_a_gone_peer_raises_a_signal() {
    let Some(output) = in_child!(|| {
        // SAFETY: back to what a program has that is not a test harness.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        run(async || {
            let (near, far) = pair();
            SockRef::from(&far).set_linger(Some(Duration::ZERO)).unwrap();
            drop(far);
            until(|| near.try_write(b"x").is_err()).await;
            for _ in 0..2 {
                near.try_write(b"x").unwrap_err();
                near.write(b"x").await.unwrap_err();
                near.write_all(b"x").await.unwrap_err();
                near.send(b"x".to_vec()).await.unwrap_err();
                near.send_all("x").await.unwrap_err();
                near.send_all_vectored(vec!["x", "y"]).await.unwrap_err();
            }
        });
    }) else {
        return;
    };
    assert_passed(&output);
}

#[test]
fn bytes_before_a_reset_are_delivered_before_it() {
    run(async || {
        let (near, far) = pair();
        write_now(&far, b"before");
        near.readable().await.unwrap();
        SockRef::from(&far).set_linger(Some(Duration::ZERO)).unwrap();
        drop(far);
        until(|| near.peer_addr().is_err()).await;
        assert_eq!(&*near.recv().await.unwrap().unwrap(), b"before");
        assert_eq!(near.recv().await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert!(near.recv().await.unwrap().is_none());
    });
}

#[test]
fn every_short_read_and_write_is_made_up_for() {
    run_with(Builder::new().small_buffers(7, 64).large_buffers(13, 64), async || {
        let (near, far) = pair();
        for len in (0..70).chain([255, 256, 1000, 4095]) {
            let message = content(len, 0, len);
            near.write_all(&message).await.unwrap();
            assert_eq!(read_len(&far, len).await, message);
            write_now(&far, &message);
            let mut buf = vec![0; len];
            near.read_exact(&mut buf).await.unwrap();
            assert_eq!(buf, message);
        }
    });
}

/// More than the kernel takes in one operation; little of it is ever touched.
struct Huge {
    start: NonNull<u8>,
    size: usize,
}

impl Huge {
    fn new(size: usize) -> Option<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let none = std::ptr::null_mut();
        // SAFETY: a new mapping at a place of the kernel's choice.
        let start =
            unsafe { libc::mmap(none, size, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
        let start = (start != libc::MAP_FAILED).then_some(start)?;
        NonNull::new(start.cast()).map(|start| Self { start, size })
    }
}

impl Drop for Huge {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this size, unmapped once.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.size) };
    }
}

// SAFETY: the mapping stays in place until the value is dropped, and holds numbers from the begin.
unsafe impl IoBuf for Huge {
    fn buf_ptr(&self) -> *const u8 {
        self.start.as_ptr()
    }

    fn buf_len(&self) -> usize {
        self.size
    }
}

// SAFETY: all of the mapping can be written; it holds numbers from the begin.
unsafe impl IoBufMut for Huge {
    fn buf_mut_ptr(&mut self) -> *mut u8 {
        self.start.as_ptr()
    }

    fn buf_capacity(&self) -> usize {
        self.size
    }

    unsafe fn set_buf_len(&mut self, _len: usize) {}
}

#[test]
fn a_buffer_beyond_the_kernels_bound_is_read_into_as_far_as_there_is_something() {
    run(async || {
        let folder = Folder::new();
        let file = File::open(folder.file("file", content(1, 0, 100))).await.unwrap();
        for size in [1 << 31, (1 << 32) + 10, 5 << 32] {
            let Some(huge) = Huge::new(size) else {
                skip!("no {size} bytes of address space");
            };
            let (count, huge) = file.read_at(huge, 0).await.ok().expect("it is only less");
            assert_eq!((count, huge.size), (100, size));
            let failed = file.read_exact_at(huge, 0).await.err().expect("there is no more");
            let kind = (failed.error.kind(), failed.transferred);
            assert_eq!(kind, (ErrorKind::UnexpectedEof, 100));
        }
    });
}

#[test]
fn a_buffer_beyond_the_kernels_bound_is_written_in_part() {
    run(async || {
        let options = std::fs::OpenOptions::new().write(true).open("/dev/null");
        let file = File::from_std(options.unwrap());
        for size in [1 << 31, (1 << 32) + 4096, 5 << 32] {
            let Some(huge) = Huge::new(size) else {
                skip!("no {size} bytes of address space");
            };
            let (count, huge) = file.write_at(huge, 0).await.ok().expect("it is only less");
            assert_eq!((count, huge.size), (0x7fff_f000, size));
            let all = file.write_all_at(huge, 0).await.ok().expect("part by part");
            assert_eq!(all.size, size);
        }
    });
}

#[test]
fn addresses_that_are_none_are_refused_by_name() {
    run(async || {
        for text in ["", ":80", "localhost", "127.0.0.1", "127.0.0.1:65536", "[::1:80"] {
            for error in [
                TcpListener::bind(text).await.map(drop).unwrap_err(),
                TcpStream::connect(text).await.map(drop).unwrap_err(),
            ] {
                assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text:?}");
                assert!(error.to_string().contains(&format!("{text:?}")), "{error}");
            }
        }
        let foreign = "192.0.2.1:0";
        let error = TcpListener::bind(foreign).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
        assert!(error.to_string().contains(foreign), "{error}");
        let socket = TcpSocket::new_v4().unwrap();
        let error = socket.connect("[::1]:80".parse().unwrap()).await.unwrap_err();
        assert!(error.to_string().contains("[::1]:80"), "{error}");
    });
}
