//! The operations of files: on pipes where they have to wait.

use std::cell::RefCell;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::rc::Rc;

use annulus::fs::{Dir, File, OpenOptions};

use super::{Drained, Fate, Future, PIPE, Scene, TEXT, pipe};
use crate::support::files::{Folder, make_fifo, nameless_file};
use crate::support::settled::{Drops, until};

/// A read of a pipe into one buffer or several, which waits until something is written.
pub(super) fn read(wins: bool, parts: usize) -> Scene {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let writer = Rc::new(writer);
    let file = Rc::new(File::from_std(std::fs::File::from(OwnedFd::from(reader))));
    let drops = Drops::default();
    let mut bufs: Vec<_> = (0..parts).map(|_| drops.buffer(vec![0; 4096])).collect();
    let same = Rc::clone(&file);
    let future: Future = match parts {
        1 => {
            let buf = bufs.remove(0);
            Box::pin(async move { _ = same.read_at(buf, 0).await })
        }
        _ => Box::pin(async move { _ = same.read_vectored_at(bufs, 0).await }),
    };
    let mut written = false;
    let provoking = Rc::clone(&writer);
    Scene::plain(future)
        .with_buffers(drops, parts)
        .provoked(wins, move || {
            if !std::mem::replace(&mut written, true) {
                (&*provoking).write_all(TEXT).expect("the pipe has room");
            }
        })
        .then(|_| async move { drop((file, writer)) })
}

/// A write of one buffer or several to a full pipe, which waits until something is read.
pub(super) fn write(wins: bool, parts: usize) -> Scene {
    let (reader, mut writer) = pipe();
    writer.write_all(&[0; PIPE]).expect("as much as a pipe takes");
    let file = Rc::new(File::from_std(std::fs::File::from(OwnedFd::from(writer))));
    let drops = Drops::default();
    let mut bufs: Vec<_> = (0..parts).map(|_| drops.buffer(TEXT.to_vec())).collect();
    let same = Rc::clone(&file);
    let future: Future = match parts {
        1 => {
            let buf = bufs.remove(0);
            Box::pin(async move { _ = same.write_at(buf, 0).await })
        }
        _ => Box::pin(async move { _ = same.write_vectored_at(bufs, 0).await }),
    };
    let read = Rc::new(Drained::new(reader));
    let provoked = Rc::clone(&read);
    Scene::plain(future)
        .with_buffers(drops, parts)
        .provoked(wins, move || _ = provoked.drain())
        .then(move |fate| async move {
            drop(file);
            let written = if fate == Fate::Undone { Vec::new() } else { TEXT.repeat(parts) };
            // A leaked future keeps the pipe open.
            let len = PIPE + written.len();
            until(|| read.drain() || fate == Fate::Leaked && read.len() == len).await;
            assert_eq!(&read.bytes.borrow()[PIPE..], written);
        })
}

/// An open of a named pipe for writing, which waits until it is opened for reading.
pub(super) fn open(wins: bool) -> Scene {
    let folder = Folder::new();
    let path = folder.join("pipe");
    make_fifo(&path);
    let same = path.clone();
    // With a file to be made the kernel's own thread opens it, and waits.
    let future = Box::pin(async move {
        _ = OpenOptions::new().write(true).create(true).open(same).await;
    });
    let reader = Rc::new(RefCell::new(None));
    let provoked = Rc::clone(&reader);
    Scene::plain(future)
        .provoked(wins, move || {
            let open = || {
                let mut options = std::fs::OpenOptions::new();
                options.read(true).custom_flags(libc::O_NONBLOCK).open(&path).expect("a pipe")
            };
            provoked.borrow_mut().get_or_insert_with(open);
        })
        .then(move |fate| async move {
            // What nobody took was closed: the pipe has no writer any more.
            if let Some(mut reader) = reader.take().filter(|_| fate != Fate::Leaked) {
                until(|| matches!(reader.read(&mut [0]), Ok(0))).await;
            }
            drop(folder);
        })
}

/// A close, which happens whether or not anybody waits for it.
pub(super) fn close() -> Scene {
    let file = File::from_std(nameless_file());
    Scene::plain(Box::pin(async move { _ = file.close().await }))
}

/// An operation on a file that takes no buffer and always ends by itself.
pub(super) fn unbuffered<F: std::future::Future<Output = ()> + 'static>(
    operation: fn(Rc<File>) -> F,
) -> Scene {
    let file = Rc::new(File::from_std(nameless_file()));
    Scene::plain(Box::pin(operation(file)))
}

/// A change of the names in a directory, which happens whole or not at all.
pub(super) fn naming<F>(operation: fn(Rc<Dir>) -> F) -> Scene
where
    F: std::future::Future<Output = std::io::Result<()>> + 'static,
{
    let folder = Folder::new();
    folder.file("file", "");
    let plain = std::fs::File::open(folder.path()).expect("it was just made");
    let dir = Rc::new(Dir::from_owned_fd(plain.into()));
    let operation = operation(dir);
    let future = Box::pin(async move { _ = operation.await });
    Scene::plain(future).then(move |fate| async move {
        let is_changed =
            || folder.join("new").symlink_metadata().is_ok() || !folder.join("file").exists();
        match fate {
            Fate::Undone => assert!(!is_changed()),
            Fate::Done | Fate::Leaked => until(is_changed).await,
        }
        drop(folder);
    })
}
