//! Descriptors are passed alike beside datagrams, packets and the bytes of a stream: the same file arrives, as many as
//! may be in a message and in order, and those that nobody takes are bounded.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;

use annulus::Builder;
use annulus::buf::{BufResult, IoBuf};
use annulus::net::unix::Message;
use annulus::net::{UnixDatagram, UnixSeqpacket, UnixStream};

use super::descriptors::{both_forms, count, null, number_of, numbered};
use crate::support::child::inherited_descriptors;
use crate::support::settled::{poll_and_drop, run_with, turn};

/// A socket that passes descriptors.
trait Passing: Sized + 'static {
    fn pair() -> io::Result<(Self, Self)>;
    fn set_passcred(&self, ask: bool) -> io::Result<()>;
    async fn send_with_fds<B: IoBuf>(
        &self,
        buf: B,
        fds: Vec<OwnedFd>,
    ) -> BufResult<usize, (B, Vec<OwnedFd>)>;
    async fn recv_with_fds(&self, buf: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)>;
    /// The next message; there is one.
    async fn recv_message(&self) -> Message;
}

/// Implements the trait for a socket whose message is taken out of its result by `$taken`.
macro_rules! passing {
    ($socket:ty, $taken:expr) => {
        impl Passing for $socket {
            fn pair() -> io::Result<(Self, Self)> {
                Self::pair()
            }

            fn set_passcred(&self, ask: bool) -> io::Result<()> {
                self.set_passcred(ask)
            }

            async fn send_with_fds<B: IoBuf>(
                &self,
                buf: B,
                fds: Vec<OwnedFd>,
            ) -> BufResult<usize, (B, Vec<OwnedFd>)> {
                self.send_with_fds(buf, fds).await
            }

            async fn recv_with_fds(&self, buf: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
                self.recv_with_fds(buf).await
            }

            async fn recv_message(&self) -> Message {
                $taken(self.recv_message().await.expect("the socket is whole"))
            }
        }
    };
}

passing!(UnixDatagram, std::convert::identity);
passing!(UnixSeqpacket, present);
passing!(UnixStream, present);

fn present(message: Option<Message>) -> Message {
    message.expect("the peer is there")
}

async fn the_same_file_arrives<S: Passing>() {
    let (near, far) = S::pair().unwrap();
    let (mut reader, writer) = io::pipe().unwrap();
    let (count, (text, own)) = near.send_with_fds("a pipe", vec![writer.into()]).await.unwrap();
    assert_eq!((count, text, own.len()), (6, "a pipe", 1));
    drop(own);
    let mut buf = [0; 16];
    let (count, fds) = far.recv_with_fds(&mut buf).await.unwrap();
    assert_eq!(&buf[..count], b"a pipe");
    let [writer] = <[OwnedFd; 1]>::try_from(fds).expect("one descriptor");
    assert_eq!(inherited_descriptors(), Vec::<String>::new(), "it closes on exec");
    let mut writer = File::from(writer);
    writer.write_all(b"through").unwrap();
    drop(writer);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "through");
}

#[test]
fn a_descriptor_arrives_and_is_the_same_file() {
    for builder in both_forms() {
        run_with(builder, async || {
            the_same_file_arrives::<UnixDatagram>().await;
            the_same_file_arrives::<UnixSeqpacket>().await;
            the_same_file_arrives::<UnixStream>().await;
        });
    }
}

async fn as_many_as_may_be<S: Passing>() {
    let (near, far) = S::pair().unwrap();
    far.set_passcred(true).unwrap();
    let fds = (0..253).map(numbered).collect();
    let (_, (_, mut own)) = near.send_with_fds("many", fds).await.unwrap();
    let mut message = far.recv_message().await;
    assert!(!message.is_control_truncated() && !message.is_truncated());
    assert_eq!(message.credentials().unwrap().pid(), Some(std::process::id() as i32));
    let numbers: Vec<u32> = message.take_fds().into_iter().map(number_of).collect();
    assert_eq!(numbers, (0..253).collect::<Vec<_>>());
    assert!(message.take_fds().is_empty(), "once");
    own.push(null());
    let refused = near.send_with_fds("x", own).await.unwrap_err();
    assert_eq!(refused.error.kind(), ErrorKind::InvalidInput);
    assert!(refused.error.to_string().contains("at most 253"), "{}", refused.error);
    assert_eq!((refused.buf.0, refused.buf.1.len()), ("x", 254), "all come back");
}

#[test]
fn as_many_as_the_kernel_takes_come_in_order_and_one_more_is_refused() {
    for builder in both_forms() {
        run_with(builder, async || {
            as_many_as_may_be::<UnixDatagram>().await;
            as_many_as_may_be::<UnixSeqpacket>().await;
            as_many_as_may_be::<UnixStream>().await;
        });
    }
}

async fn the_untaken_are_bounded<S: Passing>() {
    let (near, far) = S::pair().unwrap();
    assert!(poll_and_drop(far.recv_message()).await.is_none());
    turn().await;
    let before = count();
    let sending = annulus::spawn(async move {
        for number in 0..200 {
            drop(near.send_with_fds("x", vec![numbered(number)]).await.unwrap());
        }
    });
    for _ in 0..100 {
        turn().await;
    }
    let arrived = count() - before;
    assert!(arrived < 120, "{arrived} of 200 descriptors lie untaken");
    let mut numbers = Vec::new();
    while numbers.len() < 200 {
        numbers.extend(far.recv_message().await.take_fds().into_iter().map(number_of));
    }
    assert_eq!(numbers, (0..200).collect::<Vec<_>>());
    sending.await.unwrap();
}

#[test]
fn untaken_descriptors_are_bounded() {
    run_with(Builder::new().undelivered_max(64 * 1024), async || {
        the_untaken_are_bounded::<UnixDatagram>().await;
        the_untaken_are_bounded::<UnixSeqpacket>().await;
        the_untaken_are_bounded::<UnixStream>().await;
    });
}
