//! WRITE to a pipe, one at a time.

use std::io::{ErrorKind, PipeReader, Read};
use std::time::Duration;

use annulus::Builder;
use annulus::io::pipe::Sender;
use annulus::runtime::{Feature, metrics};
use annulus::time::timeout;
use socket2::SockRef;

use crate::support::settled::{
    Drops, assert_content, content, poll_once, run, run_with, turn, until,
};

/// What a pipe holds.
const PIPE: usize = 64 * 1024;

fn both_forms() -> [Builder; 2] {
    [Builder::new(), Builder::new().disable(Feature::MultishotRead)]
}

/// A pipe that is written by us and read by std, without waiting; which end blocks does not matter to us.
fn pipe(ours_blocks: bool) -> (Sender, PipeReader) {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    SockRef::from(&reader).set_nonblocking(true).expect("a descriptor");
    SockRef::from(&writer).set_nonblocking(!ours_blocks).expect("a descriptor");
    (Sender::from_owned_fd(writer.into()).expect("a pipe"), reader)
}

/// Appends what the pipe has; true at its end.
fn read_some(reader: &mut PipeReader, bytes: &mut Vec<u8>) -> bool {
    match reader.read_to_end(bytes) {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            false
        }
    }
}

#[test]
fn all_of_much_arrives_in_order() {
    for ours_blocks in [true, false] {
        for builder in both_forms() {
            run_with(builder, async || {
                const LEN: usize = 1 << 20;
                let (sender, mut reader) = pipe(ours_blocks);
                let writing = annulus::spawn(async move {
                    sender.write_all(&content(0, 0, LEN)).await.unwrap();
                    let buf = sender.write_all_owned(content(0, LEN, LEN)).await.unwrap();
                    assert_eq!(buf.len(), LEN);
                });
                let mut bytes = Vec::new();
                until(|| read_some(&mut reader, &mut bytes)).await;
                writing.await.unwrap();
                assert_eq!(bytes.len(), 2 * LEN);
                assert_content(0, 0, &bytes);
            });
        }
    }
}

#[test]
fn a_pipe_that_nobody_reads_is_broken() {
    run(async || {
        let (sender, reader) = pipe(true);
        drop(reader);
        assert_eq!(sender.write(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert_eq!(sender.write_all(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        assert_eq!(sender.write(b"").await.unwrap(), 0);
    });
}

#[test]
fn a_write_that_waits_ends_when_the_reader_goes() {
    for ours_blocks in [true, false] {
        run(async || {
            let (sender, reader) = pipe(ours_blocks);
            sender.write_all(&[0; PIPE]).await.unwrap();
            let drops = Drops::default();
            let mut writing = Box::pin(sender.write_all_owned(drops.buffer(vec![1; 10])));
            assert!(poll_once(&mut writing).await.is_pending());
            turn().await;
            drop(reader);
            let error = writing.await.unwrap_err().error;
            assert_eq!(error.kind(), ErrorKind::BrokenPipe);
            assert_eq!(drops.count(), 1);
        });
    }
}

#[test]
fn the_next_write_waits_for_a_dropped_one_and_reports_its_error() {
    run(async || {
        let (sender, mut reader) = pipe(true);
        sender.write_all(&[0; PIPE]).await.unwrap();
        let mut dropped = Box::pin(sender.write_all(b"dropped"));
        assert!(poll_once(&mut dropped).await.is_pending());
        turn().await;
        let second = sender.write(b"x").await.unwrap_err();
        assert_eq!(second.kind(), ErrorKind::ResourceBusy);
        drop(dropped);
        let mut bytes = Vec::new();
        let flushed = async {
            sender.flush().await.unwrap();
            sender.write_all(b", next").await.unwrap();
        };
        let reading = until(|| {
            read_some(&mut reader, &mut bytes);
            bytes.len() == PIPE + 13
        });
        annulus::join!(flushed, reading);
        assert_eq!(&bytes[PIPE..], b"dropped, next");
        sender.write_all(&[0; PIPE]).await.unwrap();
        let mut dropped = Box::pin(sender.write_all(b"dropped"));
        assert!(poll_once(&mut dropped).await.is_pending());
        turn().await;
        drop((dropped, reader));
        assert_eq!(sender.write(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn a_sender_that_is_dropped_while_writing_lingers_and_then_gives_up() {
    for builder in both_forms() {
        run_with(builder, async || {
            // The reader reads in time.
            let (sender, mut reader) = pipe(true);
            sender.write_all(&[0; PIPE]).await.unwrap();
            let mut writing = Box::pin(sender.write_all(b"the last"));
            assert!(poll_once(&mut writing).await.is_pending());
            turn().await;
            drop(writing);
            drop(sender);
            assert_eq!(metrics().lingering_streams, 1);
            let mut bytes = Vec::new();
            until(|| read_some(&mut reader, &mut bytes)).await;
            assert_eq!(&bytes[PIPE..], b"the last");
        });
    }
    for builder in both_forms() {
        run_with(builder.linger(Duration::from_millis(30)), async || {
            // It does not.
            let (sender, mut reader) = pipe(true);
            sender.write_all(&[0; PIPE]).await.unwrap();
            let late = timeout(Duration::from_millis(1), sender.write_all(b"never"));
            assert!(late.await.is_err());
            drop(sender);
            until(|| metrics().lingering_streams == 0 && metrics().live_tasks == 0).await;
            let mut bytes = Vec::new();
            until(|| read_some(&mut reader, &mut bytes)).await;
            assert_eq!(bytes.len(), PIPE);
        });
    }
}
