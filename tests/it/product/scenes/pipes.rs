//! Scenes of pipes of ours, and of a descriptor of somebody else's.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use annulus::io::AsyncFd;
use annulus::io::pipe::{Receiver, Sender};

use super::{Drained, Fate, PIPE, Scene, TEXT, pipe};
use crate::support::settled::{Drops, until};

/// A receive from a pipe of ours.
pub(super) fn recv(wins: bool) -> Scene {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let near = Rc::new(Receiver::from_owned_fd(reader.into()).expect("a pipe"));
    let (same, far) = (Rc::clone(&near), Rc::new(writer));
    let provoking = Rc::clone(&far);
    let mut written = false;
    Scene::plain(Box::pin(async move { _ = same.recv().await }))
        .provoked(wins, move || {
            if !std::mem::replace(&mut written, true) {
                (&*provoking).write_all(TEXT).expect("the pipe has room");
            }
        })
        .then(move |fate| async move {
            (&*far).write_all(b", and more").expect("the pipe has room");
            let expected = fate.and_more();
            let mut found = vec![0; expected.len()];
            near.read_exact(&mut found).await.expect("nothing is lost");
            assert_eq!(found, expected);
        })
}

/// A write to a full pipe of ours.
pub(super) fn write(wins: bool) -> Scene {
    let (reader, mut writer) = pipe();
    writer.write_all(&[0; PIPE]).expect("as much as a pipe takes");
    let near = Rc::new(Sender::from_owned_fd(writer.into()).expect("a pipe"));
    let drops = Drops::default();
    let (buf, same) = (drops.buffer(TEXT.to_vec()), Rc::clone(&near));
    let future = Box::pin(async move { _ = same.write_all_owned(buf).await });
    let read = Rc::new(Drained::new(reader));
    let provoked = Rc::clone(&read);
    Scene::plain(future).with_buffers(drops, 1).provoked(wins, move || _ = provoked.drain()).then(
        move |fate| async move {
            let written = if fate == Fate::Undone { &[] } else { TEXT };
            until(|| read.drain() || read.len() >= PIPE + written.len()).await;
            near.flush().await.expect("it was written");
            near.write_all(b"!").await.expect("the pipe has room");
            until(|| read.drain() || read.len() == PIPE + written.len() + 1).await;
            assert_eq!(&read.bytes.borrow()[PIPE..], [written, b"!"].concat());
        },
    )
}

/// A wait for a socket that somebody else reads.
pub(super) fn readable(wins: bool) -> Scene {
    let (near, far) = UnixStream::pair().expect("a pair");
    near.set_nonblocking(true).expect("a socket");
    let near = Rc::new(AsyncFd::new(near).expect("a runtime"));
    let (same, far) = (Rc::clone(&near), Rc::new(far));
    let provoking = Rc::clone(&far);
    let mut written = false;
    Scene::plain(Box::pin(async move { _ = same.readable().await }))
        .provoked(wins, move || {
            if !std::mem::replace(&mut written, true) {
                (&*provoking).write_all(TEXT).expect("the socket has room");
            }
        })
        .then(move |_| async move {
            (&*far).write_all(b"!").expect("the socket has room");
            near.readable().await.expect("a descriptor").clear_ready();
            near.readable().await.expect("a descriptor").retain_ready();
            let mut found = [0; 16];
            let count = near.get_ref().read(&mut found).expect("it is ready");
            assert!(found[..count].ends_with(b"!"));
        })
}
