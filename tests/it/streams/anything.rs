//! The traits: the same code over every stream of the crate, by value, by reference and as an object.

use std::io::{self, ErrorKind};
use std::task::Poll;

use annulus::buf::Chunk;
use annulus::io::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, duplex, pipe, simplex,
};
use annulus::net::UnixStream;
use annulus::process::{Command, Stdio};
use annulus::spawn;

use crate::support::settled::{
    assert_content, content, joined, narrow_pair, pair, poll_and_drop, poll_flagged, read_len,
    read_to_end, run, stream_pair, turn, until, until_operations, write_now,
};

const LEN: usize = 300_000;

/// Writes by every method, so that all of it is `content(1, 0, LEN)`.
async fn write_all_ways(writer: &mut dyn AsyncWrite) -> io::Result<()> {
    let bytes = content(1, 0, LEN);
    let mut at = writer.write(&bytes[..1000]).await?;
    assert!(at > 0);
    writer.write_all(&bytes[at..100_000]).await?;
    at = 100_000;
    writer.send(bytes[at..at + 70_000].to_vec()).await?;
    writer.send(Vec::new()).await?;
    at += 70_000;
    writer.send(Chunk::from(Box::from(&bytes[at..at + 10]))).await?;
    writer.flush().await?;
    assert_eq!(writer.write(&[]).await?, 0);
    writer.write_all(&bytes[at + 10..]).await?;
    writer.shutdown().await
}

/// Reads by every method what `write_all_ways` wrote.
async fn read_all_ways(reader: &mut dyn AsyncRead) -> io::Result<()> {
    assert_eq!(reader.read(&mut []).await?, 0);
    let mut bytes = vec![0; 10];
    let mut at = reader.read(&mut bytes).await?;
    assert_content(1, 0, &bytes[..at]);
    let chunk = reader.recv().await?.expect("more comes");
    assert_content(1, at, &chunk);
    at += chunk.len();
    bytes.resize(50_000, 0);
    reader.read_exact(&mut bytes).await?;
    assert_content(1, at, &bytes);
    at += bytes.len();
    let mut rest = Vec::new();
    assert_eq!(reader.read_to_end(&mut rest).await?, LEN - at);
    assert_content(1, at, &rest);
    assert!(reader.recv().await?.is_none());
    assert_eq!(reader.read(&mut bytes).await?, 0);
    assert_eq!(reader.read_exact(&mut bytes).await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
    Ok(())
}

/// Both at once, by boxes, in tasks of their own; a pipe is ended by the drop of its sender.
async fn both(reader: impl AsyncRead + 'static, writer: impl AsyncWrite + 'static) {
    let (mut reader, mut writer): (Box<dyn AsyncRead>, Box<dyn AsyncWrite>) =
        (Box::new(reader), Box::new(writer));
    let writing = spawn(async move { write_all_ways(&mut writer).await });
    let reading = spawn(async move { read_all_ways(&mut reader).await });
    for ended in joined(vec![writing, reading]).await {
        ended.unwrap();
    }
}

#[test]
fn tcp_streams_and_their_halves() {
    run(async || {
        let (near, far) = stream_pair();
        both(near, far).await;
        let (near, far) = stream_pair();
        let ((reader, to_far), (to_near, writer)) = (near.into_split(), far.into_split());
        both(reader, writer).await;
        drop((to_far, to_near));
    });
}

#[test]
fn unix_streams_and_their_halves() {
    run(async || {
        let (near, far) = UnixStream::pair().unwrap();
        both(near, far).await;
        let (near, far) = UnixStream::pair().unwrap();
        let ((reader, _), (_, writer)) = (near.into_split(), far.into_split());
        both(reader, writer).await;
    });
}

#[test]
fn pipes_also_those_that_take_a_part() {
    run(async || {
        let (sender, receiver) = pipe().unwrap();
        both(receiver, sender).await;
        // A file that somebody made one that does not block: the kernel does not wait for those.
        let (reader, writer) = io::pipe().unwrap();
        for fd in [
            std::os::fd::OwnedFd::from(reader.try_clone().unwrap()),
            writer.try_clone().unwrap().into(),
        ] {
            socket2::SockRef::from(&fd).set_nonblocking(true).unwrap();
        }
        let receiver = pipe::Receiver::from_owned_fd(reader.into()).unwrap();
        let sender = pipe::Sender::from_owned_fd(writer.into()).unwrap();
        both(receiver, sender).await;
    });
}

#[test]
fn the_streams_of_a_child() {
    run(async || {
        let mut child = Command::new("cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("there is a cat");
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        both(output, input).await;
        child.wait().await.unwrap();
    });
}

#[test]
fn streams_within_the_core() {
    run(async || {
        for max in [1, 1000, 1 << 20] {
            let (near, far) = duplex(max);
            both(near, far).await;
            let (reader, writer) = simplex(max);
            both(BufReader::new(reader), writer).await;
        }
    });
}

#[test]
fn one_stream_is_read_and_written_by_references() {
    run(async || {
        let (near, far) = stream_pair();
        let echo = spawn(async move {
            let (mut reader, mut writer) = (&far, &far);
            while let Some(chunk) = AsyncReadExt::recv(&mut reader).await? {
                AsyncWriteExt::send(&mut writer, chunk).await?;
            }
            AsyncWriteExt::shutdown(&mut writer).await
        });
        let (mut reader, mut writer) = (&near, &near);
        let (wrote, read) = annulus::join!(write_all_ways(&mut writer), read_all_ways(&mut reader));
        wrote.unwrap();
        read.unwrap();
        echo.await.unwrap().unwrap();
    });
}

#[test]
fn what_was_accepted_leaves_without_another_poll() {
    run(async || {
        let (mut near, far) = narrow_pair();
        let bytes = content(2, 0, 60_000);
        let accepted = poll_and_drop(AsyncWriteExt::write(&mut near, &bytes)).await;
        assert_eq!(accepted.expect("there is room").unwrap(), bytes.len());
        assert_content(2, 0, &read_len(&far, bytes.len()).await);

        let (mut sender, receiver) = pipe().unwrap();
        let bytes = content(3, 0, 200_000);
        let mut chunk = Some(Chunk::from(bytes));
        std::future::poll_fn(|cx| sender.poll_send(cx, &mut chunk)).await.unwrap();
        assert!(chunk.is_none());
        drop(sender);
        let mut all = Vec::new();
        receiver.read_to_end(&mut all).await.unwrap();
        assert_content(3, 0, &all);
        assert_eq!(all.len(), 200_000);
    });
}

#[test]
fn a_pending_writer_has_accepted_nothing() {
    run(async || {
        let (mut near, far) = narrow_pair();
        let (mut accepted, mut refused) = (0, 0);
        // As much as the kernel takes, and one write behind that.
        while refused < 50 {
            let bytes = content(4, accepted, 60_000);
            match poll_and_drop(AsyncWriteExt::write(&mut near, &bytes)).await {
                Some(count) => {
                    accepted += count.unwrap();
                    refused = 0;
                }
                None => {
                    refused += 1;
                    turn().await;
                }
            }
        }
        let ending = spawn(async move { AsyncWriteExt::shutdown(&mut near).await });
        let all = read_to_end(&far).await.unwrap();
        assert_eq!(all.len(), accepted);
        assert_content(4, 0, &all);
        ending.await.unwrap().unwrap();
    });
}

/// Writes and flushes until that fails; the write alone is accepted first.
async fn until_refused(mut writer: impl AsyncWrite) -> ErrorKind {
    for _ in 0..1000 {
        let written = writer.write_all(b"to nobody").await;
        if let Err(error) = written.and(writer.flush().await) {
            return error.kind();
        }
        turn().await;
    }
    panic!("nobody reads, and nobody says so");
}

#[test]
fn the_error_of_what_was_accepted_is_told_by_the_flush() {
    run(async || {
        let (mut sender, receiver) = pipe().unwrap();
        drop(receiver);
        assert_eq!(until_refused(&mut sender).await, ErrorKind::BrokenPipe);
        AsyncWriteExt::write_all(&mut sender, b"accepted all the same").await.unwrap();
        let told = AsyncWriteExt::write_all(&mut sender, b"no more").await.unwrap_err();
        assert_eq!(told.kind(), ErrorKind::BrokenPipe);

        let (near, far) = pair();
        drop(far);
        let kind = until_refused(near).await;
        assert!([ErrorKind::BrokenPipe, ErrorKind::ConnectionReset].contains(&kind), "{kind}");
        let (near, far) = duplex(10);
        drop(far);
        assert_eq!(until_refused(near).await, ErrorKind::BrokenPipe);
    });
}

#[test]
fn a_writer_that_is_dropped_with_accepted_bytes_lingers() {
    run(async || {
        let (mut near, far) = narrow_pair();
        let bytes = content(5, 0, 700_000);
        AsyncWriteExt::send(&mut near, bytes).await.unwrap();
        turn().await;
        drop(near);
        assert_content(5, 0, &read_to_end(&far).await.unwrap());

        let (mut sender, receiver) = pipe().unwrap();
        AsyncWriteExt::send(&mut sender, vec![7; 300_000]).await.unwrap();
        turn().await;
        drop(sender);
        let mut all = Vec::new();
        assert_eq!(receiver.read_to_end(&mut all).await.unwrap(), 300_000);
    });
}

#[test]
fn a_sender_that_nobody_reads_lingers_for_its_time_only() {
    let linger = std::time::Duration::from_millis(5);
    crate::support::settled::run_with(annulus::Builder::new().linger(linger), async || {
        for nonblocking in [false, true] {
            let (reader, writer) = io::pipe().unwrap();
            let writer = std::os::fd::OwnedFd::from(writer);
            socket2::SockRef::from(&writer).set_nonblocking(nonblocking).unwrap();
            let mut sender = pipe::Sender::from_owned_fd(writer).unwrap();
            AsyncWriteExt::send(&mut sender, vec![7; 300_000]).await.unwrap();
            turn().await;
            drop(sender);
            until(|| annulus::runtime::metrics().lingering_streams == 0).await;
            until_operations(0).await;
            drop(reader);
        }
    });
}

#[test]
fn a_poll_that_was_given_up_holds_no_place() {
    run(async || {
        let (near, far) = pair();
        let mut reader = BufReader::new(&near);
        // Of another task, as it were, which does not come back.
        let mut line = Box::pin(reader.line());
        let (poll, flag) = poll_flagged(&mut line);
        assert!(poll.is_pending());
        drop(line);
        write_now(&far, b"x");
        assert_eq!(&*near.recv().await.unwrap().unwrap(), b"x");
        // One that waits by polls and one that waits by a future: the later has the place, the other is told.
        let mut line = Box::pin(reader.line());
        let (poll, flag_2) = poll_flagged(&mut line);
        assert!(poll.is_pending() && (flag.is_set() || !flag_2.is_set()));
        let mut receiving = Box::pin(near.recv());
        assert!(
            std::future::poll_fn(|cx| Poll::Ready(receiving.as_mut().poll(cx))).await.is_pending()
        );
        assert!(flag_2.is_set());
        let (poll, _) = poll_flagged(&mut line);
        let Poll::Ready(Err(error)) = poll else { panic!("{poll:?}") };
        assert_eq!(error.kind(), ErrorKind::ResourceBusy);
        drop((line, receiving));
        write_now(&far, b"y\n");
        assert_eq!(reader.line().await.unwrap(), Some(&b"y"[..]));
    });
}
