//! The operations past the page cache, on memory that the kernel knows: on pipes, where they have to wait.

use std::cell::RefCell;
use std::fs::File;
use std::io::{Read, Write};
use std::rc::Rc;

use annulus::fs::{DirectFile, RegisteredPool};
use socket2::SockRef;

use super::{Fate, Scene};
use crate::support::buffer::Counted;
use crate::support::files::packet_pipe;
use crate::support::settled::{Drops, assert_content, content, until};

/// A packet, and a buffer.
const PACKET: usize = 4096;
/// Packets that a pipe holds.
const PACKETS: usize = 16;

/// A buffer whose memory the kernel knows, with this content.
fn buffer(drops: &Drops, bytes: &[u8]) -> Counted {
    let pool = RegisteredPool::new(PACKET, 1).expect("memory");
    let mut buf = pool.get().expect("nobody has it");
    buf.extend_from_slice(bytes);
    drops.counted(buf)
}

/// A read of an empty pipe.
pub(super) async fn read(wins: bool) -> Scene {
    let (reader, writer) = packet_pipe();
    let file = Rc::new(DirectFile::from_std(reader).await.expect("a pipe"));
    let drops = Drops::default();
    let (buf, same) = (buffer(&drops, &[]), Rc::clone(&file));
    let (writer, mut written) = (Rc::new(writer), false);
    let provoking = Rc::clone(&writer);
    Scene::plain(Box::pin(async move { _ = same.read_at(buf, 0).await }))
        .with_buffers(drops, 1)
        .provoked(wins, move || {
            if !std::mem::replace(&mut written, true) {
                (&*provoking).write_all(&[7; PACKET]).expect("the pipe has room");
            }
        })
        .then(|_| async move { drop((file, writer)) })
}

/// Takes the packets that are there; true if there will be no more.
fn drain(read: &RefCell<(File, Vec<u8>)>) -> bool {
    let (reader, bytes) = &mut *read.borrow_mut();
    let mut packet = [0; PACKET];
    loop {
        match reader.read(&mut packet) {
            Ok(0) => return true,
            Ok(count) => bytes.extend_from_slice(&packet[..count]),
            Err(_would_block) => return false,
        }
    }
}

/// A write to a full pipe.
pub(super) async fn write(wins: bool) -> Scene {
    let (reader, mut writer) = packet_pipe();
    SockRef::from(&reader).set_nonblocking(true).expect("a descriptor");
    (0..PACKETS).for_each(|_| writer.write_all(&[0; PACKET]).expect("as much as a pipe takes"));
    let file = Rc::new(DirectFile::from_std(writer).await.expect("a pipe"));
    let drops = Drops::default();
    let (buf, same) = (buffer(&drops, &content(0, 0, PACKET)), Rc::clone(&file));
    let read = Rc::new(RefCell::new((reader, Vec::new())));
    let provoked = Rc::clone(&read);
    Scene::plain(Box::pin(async move { _ = same.write_durable_at(buf, 0).await }))
        .with_buffers(drops, 1)
        .provoked(wins, move || _ = drain(&provoked))
        .then(move |fate| async move {
            drop(file);
            let written = if fate == Fate::Undone { 0 } else { PACKET };
            // A leaked future keeps the pipe open.
            let len = PACKETS * PACKET + written;
            until(|| drain(&read) || fate == Fate::Leaked && read.borrow().1.len() == len).await;
            let bytes = &read.borrow().1;
            assert_eq!(bytes.len(), len);
            assert_content(0, 0, &bytes[PACKETS * PACKET..]);
        })
}
