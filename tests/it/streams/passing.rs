//! What is built on the traits: writing in pieces, halves, copies both ways, and waits that end.

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use annulus::buf::Chunk;
use annulus::io::{
    AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, BufWriter, DuplexStream, Timeout, copy,
    copy_bidirectional, duplex, simplex, split,
};
use annulus::net::{TcpListener, TcpStream};
use annulus::spawn;
use annulus::time::{self, Instant};

use super::Pieces;
use crate::support::settled::{
    assert_content, content, pair, poll_and_drop, read_to_end, run, stream_pair, turn, write_now,
};

/// A writer that notes what it is given, and by which method, and is pending as often as it is told.
#[derive(Debug, Default)]
struct Noted {
    pieces: Vec<Vec<u8>>,
    sent: usize,
    flushed: usize,
    ended: bool,
    pending: Rc<Cell<usize>>,
}

impl Noted {
    fn poll_ready(&self) -> Poll<()> {
        match self.pending.get() {
            0 => Poll::Ready(()),
            left => {
                self.pending.set(left - 1);
                Poll::Pending
            }
        }
    }
}

impl AsyncWrite for Noted {
    fn poll_write(&mut self, _cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        std::task::ready!(self.poll_ready());
        self.pieces.push(bytes.to_vec());
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_send(
        &mut self,
        _cx: &mut Context<'_>,
        chunk: &mut Option<Chunk>,
    ) -> Poll<io::Result<()>> {
        std::task::ready!(self.poll_ready());
        self.pieces.extend(chunk.take().map(Chunk::into_bytes));
        self.sent += 1;
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.poll_ready());
        self.flushed += 1;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.ended = true;
        Poll::Ready(Ok(()))
    }
}

#[test]
fn small_writes_are_gathered_and_large_ones_go_past() {
    run(async || {
        let mut writer = BufWriter::with_capacity(10, Noted::default());
        writer.write_all(b"1234").await.unwrap();
        writer.write_all(b"567890").await.unwrap();
        assert!(writer.get_ref().pieces.is_empty());
        writer.write_all(b"a").await.unwrap();
        assert_eq!(writer.get_ref().pieces, [b"1234567890"]);
        writer.write_all(b"more than ten bytes").await.unwrap();
        assert_eq!(writer.get_ref().pieces[1..], [&b"a"[..], b"more than ten bytes"]);
        writer.write_all(b"b").await.unwrap();
        writer.send(b"a chunk".to_vec()).await.unwrap();
        writer.send(b"c".to_vec()).await.unwrap();
        assert_eq!(writer.get_ref().pieces[3..], [&b"b"[..], b"a chunk"]);
        writer.flush().await.unwrap();
        assert_eq!((writer.get_ref().pieces.len(), writer.get_ref().flushed), (6, 1));
        writer.write_all(b"d").await.unwrap();
        writer.shutdown().await.unwrap();
        assert!(writer.get_mut().ended);
        writer.write_all(b"left").await.unwrap();
        let (noted, rest) = writer.into_parts();
        assert_eq!(
            (noted.pieces.last().unwrap().as_slice(), rest.as_slice()),
            (&b"d"[..], &b"left"[..])
        );
        assert_eq!(noted.sent, 6, "memory that was gathered is handed on as it is");
    });
}

#[test]
fn a_buffered_write_that_is_dropped_has_accepted_nothing() {
    run(async || {
        let pending = Rc::new(Cell::new(0));
        let noted = Noted { pending: Rc::clone(&pending), ..Noted::default() };
        let mut writer = BufWriter::with_capacity(8, noted);
        let mut expected = Vec::new();
        for round in 0..200_u32 {
            pending.set(round as usize % 5);
            let bytes = content(round as usize, 0, round as usize % 13);
            while poll_and_drop(writer.write(&bytes)).await.is_none() {}
            expected.extend_from_slice(&bytes);
            if round.is_multiple_of(7) {
                while poll_and_drop(writer.flush()).await.is_none() {}
                assert_eq!(writer.get_ref().pieces.concat(), expected);
            }
        }
        let (noted, rest) = writer.into_parts();
        assert_eq!([noted.pieces.concat(), rest].concat(), expected);
    });
}

#[test]
fn halves_of_any_stream_go_to_two_tasks_and_come_together_again() {
    run(async || {
        let (near, far) = duplex(100);
        let ((mut reader, mut writer), (mut far_reader, mut far_writer)) =
            (split(near), split(far));
        let echo = spawn(async move {
            let count = copy(&mut far_reader, &mut far_writer).await?;
            far_writer.shutdown().await?;
            io::Result::Ok((count, far_reader, far_writer))
        });
        let bytes = content(1, 0, 5000);
        let writing = spawn(async move {
            writer.write_all(&bytes).await?;
            writer.shutdown().await?;
            io::Result::Ok(writer)
        });
        let mut back = Vec::new();
        reader.read_to_end(&mut back).await.unwrap();
        assert_content(1, 0, &back);
        let writer = writing.await.unwrap().unwrap();
        let (count, far_reader, far_writer) = echo.await.unwrap().unwrap();
        assert_eq!((count, back.len()), (5000, 5000));
        let (reader, far_writer) = reader.unsplit(far_writer).expect_err("of two streams");
        let _: DuplexStream = far_reader.unsplit(far_writer).expect("of one stream");
        let _: DuplexStream = reader.unsplit(writer).expect("of one stream");
    });
}

#[test]
fn a_copy_flushes_what_waits_and_counts() {
    run(async || {
        let mut writer = BufWriter::new(Noted::default());
        let mut pieces = Pieces::new(["ab", "", "c", "", "", "def"]);
        assert_eq!(copy(&mut pieces, &mut writer).await.unwrap(), 6);
        assert_eq!(writer.get_ref().pieces.concat(), b"abcdef");
        assert_eq!(
            writer.get_ref().flushed,
            3,
            "before each wait, if there was something, and in the end"
        );
        let (mut reader, mut far_writer) = simplex(3);
        let copying = spawn(async move {
            let mut pieces = Pieces::new(["abc", "def", "ghi"]);
            copy(&mut pieces, &mut far_writer).await
        });
        assert_eq!(&*reader.recv().await.unwrap().unwrap(), b"abc");
        turn().await;
        drop(reader);
        let failed = copying.await.unwrap().unwrap_err();
        assert_eq!((failed.error.kind(), failed.copied), (ErrorKind::BrokenPipe, 6));
        assert_eq!(io::Error::from(failed).kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn a_proxy_passes_both_ways_and_each_end_on_its_own() {
    run(async || {
        let ((client, near), (mut far, server)) = (stream_pair(), stream_pair());
        let mut near = near;
        let proxy = spawn(async move { copy_bidirectional(&mut near, &mut far).await });
        let server = spawn(async move {
            let mut all = Vec::new();
            let mut reader = &server;
            reader.read_to_end(&mut all).await?;
            // The client has ended its direction and still reads.
            server.write_all(&content(2, 0, 400_000)).await?;
            io::Result::Ok(all)
        });
        let bytes = content(1, 0, 700_000);
        client.write_all(&bytes).await.unwrap();
        client.shutdown().await.unwrap();
        let mut back = Vec::new();
        let mut reader = &client;
        reader.read_to_end(&mut back).await.unwrap();
        assert_content(2, 0, &back);
        let all = server.await.unwrap().unwrap();
        assert_content(1, 0, &all);
        assert_eq!((all.len(), back.len()), (700_000, 400_000));
        assert_eq!(proxy.await.unwrap().unwrap(), (700_000, 400_000));
    });
}

#[test]
fn a_proxy_that_fails_says_how_much_went_each_way() {
    run(async || {
        let (mut near, client) = pair();
        let (mut far, server) = pair();
        write_now(&client, b"12345");
        write_now(&server, b"678");
        let proxy = spawn(async move { copy_bidirectional(&mut near, &mut far).await });
        crate::support::settled::read_len(&server, 5).await;
        crate::support::settled::read_len(&client, 3).await;
        socket2::SockRef::from(&server).set_linger(Some(Duration::ZERO)).unwrap();
        drop(server);
        let failed = proxy.await.unwrap().unwrap_err();
        assert_eq!((failed.error.kind(), failed.copied), (ErrorKind::ConnectionReset, (5, 3)));
        // Both streams were dropped with the task.
        assert_eq!(read_to_end(&client).await.unwrap(), b"");
    });
}

#[test]
fn a_read_that_waits_too_long_loses_nothing() {
    run(async || {
        time::pause();
        let (near, mut far) = duplex(64);
        let mut reader = BufReader::new(Timeout::new(near).idle(Duration::from_secs(10)));
        let start = Instant::now();
        far.write_all(b"ab").await.unwrap();
        let error = reader.line().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(error.to_string().contains("idle"), "{error}");
        assert_eq!(Instant::now() - start, Duration::from_secs(10));
        // Each byte begins the time anew.
        let slow = spawn(async move {
            for byte in *b"c\nd\n" {
                time::sleep(Duration::from_secs(7)).await;
                far.write_all(&[byte]).await.unwrap();
            }
            far
        });
        assert_eq!(reader.line().await.unwrap(), Some(&b"abc"[..]));
        assert_eq!(reader.line().await.unwrap(), Some(&b"d"[..]));
        assert_eq!(Instant::now() - start, Duration::from_secs(10 + 28));
        let _far = slow.await.unwrap();
        assert_eq!(annulus::runtime::metrics().live_timers, 1, "one for all the reads");
    });
}

#[test]
fn a_deadline_is_for_all_waits_until_it_is_moved() {
    run(async || {
        time::pause();
        let (near, mut far) = duplex(4);
        let deadline = Instant::now() + Duration::from_secs(3);
        let mut stream = Timeout::new(near).deadline(deadline).idle(Duration::from_secs(100));
        stream.write_all(b"1234").await.unwrap();
        let error = stream.write_all(b"5").await.unwrap_err();
        assert_eq!(error.to_string(), "the deadline of the stream has passed");
        assert_eq!(Instant::now(), deadline);
        assert_eq!(stream.recv().await.unwrap_err().kind(), ErrorKind::TimedOut);
        // What is there is given all the same, and nothing of the write was accepted.
        far.write_all(b"abc").await.unwrap();
        assert_eq!(&*stream.recv().await.unwrap().unwrap(), b"abc");
        assert_eq!(&*far.recv().await.unwrap().unwrap(), b"1234");
        stream.write_all(b"6").await.unwrap();
        assert_eq!(&*far.recv().await.unwrap().unwrap(), b"6");
        stream.set_deadline(Some(Instant::now() + Duration::from_secs(5)));
        let late = Instant::now();
        assert!(stream.recv().await.is_err());
        assert_eq!(Instant::now() - late, Duration::from_secs(5));
        stream.set_deadline(None);
        stream.set_idle(None);
        assert!(time::timeout(Duration::from_secs(1000), stream.recv()).await.is_err());
        drop(far);
        assert!(stream.recv().await.unwrap().is_none());
    });
}

#[test]
fn what_moves_one_way_keeps_the_other_from_being_idle() {
    run(async || {
        time::pause();
        let (near, mut far) = duplex(64);
        let (mut reader, mut writer) = split(Timeout::new(near).idle(Duration::from_secs(10)));
        let start = Instant::now();
        let reading = spawn(async move {
            let error = reader.recv().await.unwrap_err();
            (error.kind(), Instant::now())
        });
        for _ in 0..5 {
            time::sleep(Duration::from_secs(6)).await;
            writer.write_all(b"x").await.unwrap();
            far.recv().await.unwrap();
        }
        let (kind, at) = reading.await.unwrap();
        assert_eq!((kind, at - start), (ErrorKind::TimedOut, Duration::from_secs(40)));
    });
}

#[test]
fn a_socket_is_usable_after_it_was_late() {
    run(async || {
        let (near, far) = pair();
        let mut stream = Timeout::new(near).idle(Duration::from_millis(2));
        for round in 0..5 {
            assert_eq!(stream.recv().await.unwrap_err().kind(), ErrorKind::TimedOut);
            stream.set_idle(Some(Duration::from_secs(30)));
            write_now(&far, &[round]);
            assert_eq!(&*stream.recv().await.unwrap().unwrap(), &[round]);
            stream.set_idle(Some(Duration::from_millis(2)));
        }
        stream.write_all(b"bye").await.unwrap();
        drop(stream.into_inner());
        assert_eq!(read_to_end(&far).await.unwrap(), b"bye");
    });
}

#[test]
fn a_connection_opens_as_a_reader_and_a_writer() {
    run(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = spawn(async move {
            let (stream, _): (TcpStream, _) = listener.accept().await?;
            let mut lines = BufReader::new(&stream);
            while let Some(line) = lines.line().await? {
                stream.write_all(&[b"> ", line, b"\n"].concat()).await?;
            }
            stream.shutdown().await
        });
        let (mut reader, mut writer) = annulus::net::open_connection(address).await.unwrap();
        assert_eq!(writer.get_ref().peer_addr().unwrap(), address);
        let local = writer.get_ref().local_addr().unwrap();
        assert_eq!(reader.get_ref().local_addr().unwrap(), local);
        for text in ["one", "two"] {
            writer.write_all(text.as_bytes()).await.unwrap();
            writer.write_all(b"\n").await.unwrap();
            writer.flush().await.unwrap();
            assert_eq!(reader.line().await.unwrap(), Some(format!("> {text}").as_bytes()));
        }
        writer.shutdown().await.unwrap();
        assert_eq!(reader.line().await.unwrap(), None);
        serving.await.unwrap().unwrap();
    });
}
