//! One operation each, ready to be polled, with what makes it complete and what must hold afterwards.
//!
//! With the cancel to win the operation cannot complete: an empty or full pipe, a silent peer, a full backlog.
//! Otherwise `provoke` lets it.

mod children;
mod direct;
mod files;
mod pipes;
mod unix;

use std::cell::RefCell;
use std::io::{ErrorKind, PipeReader, PipeWriter, Read};
use std::net::{
    SocketAddr, TcpListener as StdListener, TcpStream as StdStream, UdpSocket as StdUdp,
};
use std::os::unix::net::UnixDatagram as StdDatagram;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use annulus::fs::{Advice, Allocation};
use annulus::net::udp::{Ecn, Transmit};
use annulus::net::{TcpListener, TcpStream, UdpSocket, UnixDatagram};
use socket2::{Domain, SockRef, Socket, Type};

use super::{Operation, Race};
use crate::support::buffer::Counted;
use crate::support::settled::{
    Drops, assert_content, content, narrow_pair, pair, read_some, read_to_end, through_the_ring,
    until, write_now,
};

pub(super) type Future = Pin<Box<dyn std::future::Future<Output = ()>>>;

/// Checks what was not lost.
type After = Box<dyn FnOnce(Fate) -> Future>;

/// What became of the operation and its future.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It was taken back or cancelled.
    Undone,
    Done,
    /// It is done, and its future was leaked: what it owns stays.
    Leaked,
}

impl Fate {
    /// What a reader finds after a receive of `TEXT` when there came more.
    fn and_more(self) -> &'static [u8] {
        match self {
            Self::Undone => b", and more",
            Self::Done | Self::Leaked => b"salvage, and more",
        }
    }
}

pub(super) struct Scene {
    pub(super) future: Option<Future>,
    /// Lets the kernel complete the operation; may be called again and again.
    pub(super) provoke: Box<dyn FnMut()>,
    pub(super) after: Option<After>,
    pub(super) drops: Drops,
    pub(super) buffers: usize,
}

/// What operations carry and streams bring.
const TEXT: &[u8] = b"salvage";
/// More than a narrow connection holds.
const MUCH: usize = 768 * 1024;

impl Scene {
    /// Must be called inside a runtime.
    pub(super) async fn new(operation: Operation, race: Race) -> Self {
        let wins = race == Race::CancelWins;
        match operation {
            Operation::Nop => nop(),
            Operation::ReadAt => files::read(wins, 1),
            Operation::ReadDirect => direct::read(wins).await,
            Operation::WriteDirect => direct::write(wins).await,
            Operation::ReadVectored => files::read(wins, 3),
            Operation::WriteAt => files::write(wins, 1),
            Operation::WriteVectored => files::write(wins, 3),
            Operation::Open => files::open(wins),
            Operation::Close => files::close(),
            Operation::Statx => files::unbuffered(|file| async move { _ = file.metadata().await }),
            Operation::Fsync => files::unbuffered(|file| async move { _ = file.sync_all().await }),
            Operation::Fallocate => files::unbuffered(|file| async move {
                _ = file.allocate(0..4096, Allocation::Extend).await;
            }),
            Operation::Fadvise => files::unbuffered(|file| async move {
                _ = file.advise(0..4096, Advice::WillNeed).await;
            }),
            Operation::Unlink => files::naming(|dir| async move { dir.remove_file("file").await }),
            Operation::Mkdir => files::naming(|dir| async move { dir.create_dir("new").await }),
            Operation::Rename => {
                files::naming(|dir| async move { dir.rename("file", &dir, "new").await })
            }
            Operation::Link => {
                files::naming(|dir| async move { dir.hard_link("file", &dir, "new").await })
            }
            Operation::Symlink => {
                files::naming(|dir| async move { dir.symlink("file", "new").await })
            }
            Operation::Connect => connect(wins),
            Operation::Accept => accept(wins),
            Operation::Recv => recv(wins),
            Operation::ReadOwned => read_owned(wins),
            Operation::SendAll => send(wins, 1),
            Operation::SendAllVectored => send(wins, 3),
            Operation::ChildWait => children::wait(wins),
            Operation::PipeRecv => pipes::recv(wins),
            Operation::PipeWriteAll => pipes::write(wins),
            Operation::Readable => pipes::readable(wins),
            Operation::RecvDatagram => recv_datagram(wins),
            Operation::SendTo => send_datagram(false),
            Operation::SendMessage => send_datagram(true),
            Operation::SendWithFds => send_with_fds(wins),
            Operation::RecvMessage => unix::recv_message(wins),
            Operation::Serve => unix::server(wins),
            Operation::Sleep => sleep(wins),
        }
    }

    fn plain(future: Future) -> Self {
        Self {
            future: Some(future),
            provoke: Box::new(|| {}),
            after: Some(Box::new(|_| Box::pin(async {}))),
            drops: Drops::default(),
            buffers: 0,
        }
    }

    fn with_buffers(mut self, drops: Drops, buffers: usize) -> Self {
        (self.drops, self.buffers) = (drops, buffers);
        self
    }

    /// `provoke` is nothing if the cancel is to win.
    fn provoked(mut self, wins: bool, provoke: impl FnMut() + 'static) -> Self {
        if !wins {
            self.provoke = Box::new(provoke);
        }
        self
    }

    fn then<F: std::future::Future<Output = ()> + 'static>(
        mut self,
        after: impl FnOnce(Fate) -> F + 'static,
    ) -> Self {
        self.after = Some(Box::new(|fate| Box::pin(after(fate))));
        self
    }

    /// Drops the resources, which the closures hold.
    pub(super) fn close(&mut self) {
        self.provoke = Box::new(|| {});
        self.after = None;
    }
}

fn nop() -> Scene {
    Scene::plain(Box::pin(async { annulus::io::nop().await.expect("nop") }))
}

fn sleep(wins: bool) -> Scene {
    let time = Duration::from_secs(if wins { 3600 } else { 0 }) + Duration::from_millis(1);
    Scene::plain(Box::pin(annulus::time::sleep(time)))
}

/// A connect: to a listener whose backlog is full, or to one that takes it.
fn connect(wins: bool) -> Scene {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    socket.bind(&any.into()).expect("bind");
    socket.listen(if wins { 0 } else { 16 }).expect("listen");
    let listener = StdListener::from(socket);
    let address = listener.local_addr().expect("bound");
    let filling: Vec<Socket> = (0..if wins { 4 } else { 0 })
        .map(|_| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
            socket.set_nonblocking(true).expect("a socket");
            let _ = socket.connect(&address.into());
            socket
        })
        .collect();
    listener.set_nonblocking(true).expect("a socket");
    let future = Box::pin(async move { _ = TcpStream::connect(address).await });
    Scene::plain(future).then(move |fate| async move {
        drop(filling);
        if fate == Fate::Undone {
            let none = listener.accept().is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
            assert!(none || wins);
            return;
        }
        let peer = accepted(&listener).await;
        if fate == Fate::Done {
            // The connection that nobody took was closed.
            let bytes = read_to_end(&peer).await.expect("an orderly end");
            assert!(bytes.is_empty());
        }
    })
}

async fn accepted(listener: &StdListener) -> StdStream {
    let mut peer = None;
    until(|| {
        peer = listener.accept().ok();
        peer.is_some()
    })
    .await;
    let (peer, _) = peer.expect("just accepted");
    peer.set_nonblocking(true).expect("a socket");
    peer
}

fn accept(wins: bool) -> Scene {
    let listener = StdListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("bound");
    let listener = Rc::new(TcpListener::from_std(listener).expect("a listener"));
    let same = Rc::clone(&listener);
    let future = Box::pin(async move { _ = same.accept().await });
    let client = Rc::new(RefCell::new(None));
    let connected = Rc::clone(&client);
    Scene::plain(future)
        .provoked(wins, move || {
            let connect = || StdStream::connect(address).expect("the backlog has room");
            connected.borrow_mut().get_or_insert_with(connect);
        })
        .then(move |fate| async move {
            if fate != Fate::Undone {
                let (_stream, peer) = listener.accept().await.expect("nothing is lost");
                let client = client.take().expect("provoked");
                assert_eq!(peer, client.local_addr().expect("connected"));
            }
        })
}

fn recv(wins: bool) -> Scene {
    let (near, far) = pair();
    let near = Rc::new(near);
    let same = Rc::clone(&near);
    let future = Box::pin(async move { _ = same.recv().await });
    incoming(Scene::plain(future), wins, near, far)
}

fn read_owned(wins: bool) -> Scene {
    let (near, far) = pair();
    let near = Rc::new(near);
    let drops = Drops::default();
    let (buf, same) = (drops.buffer(vec![0; 3]), Rc::clone(&near));
    let future = Box::pin(async move { _ = same.read_owned(buf).await });
    incoming(Scene::plain(future).with_buffers(drops, 1), wins, near, far)
}

/// What a stream receives is there for the next read, in order.
fn incoming(scene: Scene, wins: bool, near: Rc<TcpStream>, far: StdStream) -> Scene {
    let far = Rc::new(far);
    let same = Rc::clone(&far);
    let mut sent = false;
    scene
        .provoked(wins, move || {
            if !std::mem::replace(&mut sent, true) {
                write_now(&same, TEXT);
            }
        })
        .then(move |fate| async move {
            write_now(&far, b", and more");
            let expected = fate.and_more();
            let mut found = vec![0; expected.len()];
            near.read_exact(&mut found).await.expect("nothing is lost");
            assert_eq!(found, expected);
        })
}

/// A UDP socket of ours, and a plain one that is connected to it and does not block.
fn udp_pair() -> (Rc<UdpSocket>, StdUdp) {
    let near = StdUdp::bind("127.0.0.1:0").expect("bind");
    let far = StdUdp::bind("127.0.0.1:0").expect("bind");
    far.connect(near.local_addr().expect("bound")).expect("connect");
    far.set_nonblocking(true).expect("a socket");
    (Rc::new(UdpSocket::from_std(near).expect("a socket")), far)
}

/// What a socket receives is there for the next read, whole and in order.
fn recv_datagram(wins: bool) -> Scene {
    let (near, far) = udp_pair();
    let (same, far) = (Rc::clone(&near), Rc::new(far));
    let sender = Rc::clone(&far);
    let mut sent = false;
    Scene::plain(Box::pin(async move { _ = same.recv_datagram().await }))
        .provoked(wins, move || {
            if !std::mem::replace(&mut sent, true) {
                sender.send(TEXT).expect("the kernel takes it");
            }
        })
        .then(move |fate| async move {
            far.send(b"more").expect("the kernel takes it");
            if fate != Fate::Undone {
                let datagram = near.recv_datagram().await.expect("nothing is lost");
                assert_eq!(&*datagram, TEXT);
            }
            assert_eq!(&*near.recv_datagram().await.expect("nothing is lost"), b"more");
        })
}

/// A datagram, with or without control data.
fn send_datagram(with_control: bool) -> Scene {
    let (near, far) = udp_pair();
    let target = far.local_addr().expect("bound");
    let drops = Drops::default();
    let (buf, same) = (drops.buffer(TEXT.to_vec()), Rc::clone(&near));
    let future: Future = match with_control {
        true => Box::pin(async move {
            _ = same.send_message(buf, &Transmit::to(target).ecn(Ecn::Ect0)).await;
        }),
        false => Box::pin(async move {
            _ = through_the_ring(&same, same.send_owned_to(buf, target)).await;
        }),
    };
    Scene::plain(future).with_buffers(drops, 1).then(move |fate| async move {
        let received = || {
            let mut bytes = [0; 64];
            far.recv(&mut bytes).ok().map(|count| bytes[..count].to_vec())
        };
        if fate != Fate::Undone {
            assert_eq!(received().as_deref(), Some(TEXT));
        }
        assert_eq!(received(), None);
        near.send_to(b"more", target).await.expect("the socket goes on");
        assert_eq!(received().as_deref(), Some(b"more".as_slice()));
    })
}

/// A pipe whose reading end does not block.
fn pipe() -> (PipeReader, PipeWriter) {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    // `fcntl`, which std offers for sockets only.
    SockRef::from(&reader).set_nonblocking(true).expect("a descriptor");
    (reader, writer)
}

/// What a pipe holds.
const PIPE: usize = 64 * 1024;

/// A pipe whose bytes are taken out for their writer to go on.
struct Drained {
    reader: PipeReader,
    bytes: RefCell<Vec<u8>>,
}

impl Drained {
    fn new(reader: PipeReader) -> Self {
        Self { reader, bytes: RefCell::default() }
    }

    /// Takes what is there; true at the end.
    fn drain(&self) -> bool {
        match (&self.reader).read_to_end(&mut self.bytes.borrow_mut()) {
            Ok(_) => true,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                false
            }
        }
    }

    fn len(&self) -> usize {
        self.bytes.borrow().len()
    }
}

/// A message with a pipe's writing end, to a peer whose queue is full; the reading end says when every copy is closed.
fn send_with_fds(wins: bool) -> Scene {
    let (near, far) = StdDatagram::pair().expect("a pair");
    far.set_nonblocking(true).expect("a socket");
    let near = Rc::new(UnixDatagram::from_std(near).expect("a socket"));
    let filled = (0..).take_while(|_| near.try_send(b"filling").is_ok()).count();
    let (mut reader, writer) = pipe();
    let drops = Drops::default();
    let (buf, same) = (drops.buffer(TEXT.to_vec()), Rc::clone(&near));
    let future = Box::pin(async move { _ = same.send_with_fds(buf, vec![writer.into()]).await });
    let received = Rc::new(RefCell::new(Vec::new()));
    let far = Rc::new(far);
    let drain = move |received: &RefCell<Vec<Vec<u8>>>| {
        let mut bytes = [0; 64];
        while let Ok(count) = far.recv(&mut bytes) {
            received.borrow_mut().push(bytes[..count].to_vec());
        }
    };
    let (provoked, provoking) = (Rc::clone(&received), drain.clone());
    Scene::plain(future).with_buffers(drops, 1).provoked(wins, move || provoking(&provoked)).then(
        move |fate| async move {
            let expected = filled + usize::from(fate != Fate::Undone);
            until(|| {
                drain(&received);
                received.borrow().len() >= expected
            })
            .await;
            near.send(b"more").await.expect("the socket goes on");
            drain(&received);
            let rest = received.borrow_mut().split_off(filled);
            let sent = if fate == Fate::Undone { vec![] } else { vec![TEXT.to_vec()] };
            assert_eq!(rest, [sent, vec![b"more".to_vec()]].concat());
            if fate != Fate::Leaked {
                until(|| matches!(reader.read(&mut [0]), Ok(0))).await;
            }
        },
    )
}

/// A send of more than the connection holds, of one buffer or of several.
fn send(wins: bool, parts: usize) -> Scene {
    let (near, far) = narrow_pair();
    let near = Rc::new(near);
    let drops = Drops::default();
    let part = MUCH / parts;
    let mut bufs: Vec<Counted> =
        (0..parts).map(|at| drops.buffer(content(0, at * part, part))).collect();
    let same = Rc::clone(&near);
    let future: Future = match parts {
        1 => {
            let buf = bufs.remove(0);
            Box::pin(async move { _ = same.send_all(buf).await })
        }
        _ => Box::pin(async move { _ = same.send_all_vectored(bufs).await }),
    };
    let received = Rc::new(RefCell::new(Vec::new()));
    let (far, len) = (Rc::new(far), part * parts);
    let (provoked, same) = (Rc::clone(&received), Rc::clone(&far));
    Scene::plain(future)
        .with_buffers(drops, parts)
        .provoked(wins, move || {
            assert!(!read_some(&same, &mut provoked.borrow_mut()).expect("a whole stream"));
        })
        .then(move |fate| async move {
            let len = if fate == Fate::Undone { 0 } else { len };
            let mut received = received.take();
            let drained = |received: &mut Vec<u8>, len: usize| {
                assert!(!read_some(&far, received).expect("a whole stream"));
                received.len() >= len
            };
            until(|| drained(&mut received, len)).await;
            // A send that was leaked is over as soon as the kernel is done with it.
            until(|| near.try_write(b"!").is_ok()).await;
            until(|| drained(&mut received, len + 1)).await;
            assert_content(0, 0, &received[..len]);
            assert_eq!(&received[len..], b"!");
        })
}
