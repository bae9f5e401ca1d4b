//! asyncio's streams.

use std::io::{ErrorKind, Write};
use std::net::{TcpListener as StdListener, TcpStream as StdStream};

use annulus::io::{AsyncReadExt, AsyncWriteExt, BufReader, BufWriter, TooLong};
use annulus::net::{self, OwnedReadHalf, OwnedWriteHalf};

use crate::support::settled::{poll_and_drop, read_len, read_to_end, run as settled};

type Opened = (BufReader<OwnedReadHalf>, BufWriter<OwnedWriteHalf>, StdStream);

/// A connection, and its other side as a plain socket that does not block.
async fn opened() -> Opened {
    let listener = StdListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("bound");
    let (reader, writer) = net::open_connection(address).await.expect("it is listened to");
    let (far, _) = listener.accept().expect("accept");
    far.set_nonblocking(true).expect("a socket");
    (reader, writer, far)
}

#[test]
fn open_connection() {
    settled(async || {
        let (mut reader, mut writer, mut far) = opened().await;
        writer.write_all(b"hello\n").await.expect("it is gathered");
        writer.flush().await.expect("somebody reads");
        assert_eq!(read_len(&far, 6).await, b"hello\n");
        assert!(poll_and_drop(reader.line()).await.is_none());
        far.write_all(b"and back\n").expect("room");
        assert_eq!(reader.line().await.expect("a line"), Some(&b"and back"[..]));
    });
}

#[test]
fn stream_reader_read() {
    settled(async || {
        let (mut reader, _writer, mut far) = opened().await;
        far.write_all(b"hello").expect("room");
        let mut buf = [0; 100];
        let mut count = 0;
        while count < 5 {
            count += reader.read(&mut buf[count..]).await.expect("bytes");
        }
        assert_eq!(&buf[..5], b"hello");
        far.write_all(b" and all the rest").expect("room");
        drop(far);
        let mut rest = Vec::new();
        reader.read_to_end(&mut rest).await.expect("bytes");
        assert_eq!(rest, b" and all the rest");
    });
}

#[test]
fn stream_reader_readexactly() {
    settled(async || {
        let (mut reader, _writer, mut far) = opened().await;
        far.write_all(b"1234567").expect("room");
        drop(far);
        assert_eq!(reader.exact(4).await.expect("they are there"), b"1234");
        let error = reader.exact(4).await.expect_err("there are three");
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        assert_eq!(reader.buffer(), b"567");
    });
}

#[test]
fn stream_reader_readline() {
    settled(async || {
        let (mut reader, _writer, mut far) = opened().await;
        far.write_all(b"one\ntwo\nthree").expect("room");
        drop(far);
        assert_eq!(reader.line().await.expect("a line"), Some(&b"one"[..]));
        let mut line = String::new();
        assert_eq!(reader.read_line(&mut line).await.expect("a line"), 4);
        assert_eq!(line, "two\n");
        assert_eq!(reader.line().await.expect("a line"), Some(&b"three"[..]));
        assert_eq!(reader.line().await.expect("the end"), None);
    });
}

#[test]
fn stream_reader_readuntil() {
    settled(async || {
        let (mut reader, _writer, mut far) = opened().await;
        far.write_all(b"key=value;").expect("room");
        assert_eq!(reader.until(b'=').await.expect("bytes"), Some(&b"key="[..]));
        let mut value = Vec::new();
        reader.read_until(b';', &mut value).await.expect("bytes");
        assert_eq!(value, b"value;");
    });
}

#[test]
fn stream_reader_at_eof() {
    settled(async || {
        let (mut reader, _writer, mut far) = opened().await;
        far.write_all(b"x").expect("room");
        drop(far);
        assert!(!reader.fill_buf().await.expect("bytes").is_empty());
        reader.consume(1);
        assert!(reader.fill_buf().await.expect("the end").is_empty());
    });
}

#[test]
fn stream_writer_write() {
    settled(async || {
        let (_reader, mut writer, far) = opened().await;
        // Past what is gathered it goes out by itself.
        writer.write_all(&[b'x'; 5000]).await.expect("somebody reads");
        writer.write_all(&[b'x'; 5000]).await.expect("somebody reads");
        assert_eq!(read_len(&far, 5000).await, [b'x'; 5000]);
    });
}

#[test]
fn stream_writer_writelines() {
    settled(async || {
        let (_reader, writer, far) = opened().await;
        let lines = vec![b"one\n".to_vec(), b"two\n".to_vec()];
        writer.get_ref().send_all_vectored(lines).await.expect("somebody reads");
        assert_eq!(read_len(&far, 8).await, b"one\ntwo\n");
    });
}

#[test]
fn stream_writer_drain() {
    settled(async || {
        let (_reader, mut writer, far) = opened().await;
        writer.write_all(b"hello").await.expect("it is gathered");
        writer.flush().await.expect("somebody reads");
        assert_eq!(read_len(&far, 5).await, b"hello");
    });
}

#[test]
fn stream_writer_write_eof() {
    settled(async || {
        let (mut reader, mut writer, mut far) = opened().await;
        writer.write_all(b"question").await.expect("it is gathered");
        writer.shutdown().await.expect("somebody reads");
        assert_eq!(read_to_end(&far).await.expect("the end"), b"question");
        // The other direction is open.
        far.write_all(b"answer\n").expect("room");
        assert_eq!(reader.line().await.expect("a line"), Some(&b"answer"[..]));
    });
}

#[test]
fn stream_writer_close() {
    settled(async || {
        let (reader, writer, far) = opened().await;
        drop((reader, writer));
        assert_eq!(read_to_end(&far).await.expect("the end"), b"");
    });
}

#[test]
fn stream_writer_wait_closed() {
    settled(async || {
        let (reader, mut writer, far) = opened().await;
        writer.write_all(b"bye").await.expect("it is gathered");
        writer.shutdown().await.expect("somebody reads");
        drop((reader, writer));
        assert_eq!(read_to_end(&far).await.expect("the end"), b"bye");
    });
}

#[test]
fn stream_writer_get_extra_info() {
    settled(async || {
        let (_reader, writer, far) = opened().await;
        let writer = writer.get_ref();
        assert_eq!(writer.peer_addr().expect("connected"), far.local_addr().expect("connected"));
        assert_eq!(writer.local_addr().expect("connected"), far.peer_addr().expect("connected"));
    });
}

#[test]
fn incomplete_read_error() {
    settled(async || {
        let (mut reader, _writer, mut far) = opened().await;
        far.write_all(b"1234").expect("room");
        drop(far);
        let error = reader.exact(5).await.expect_err("there are four");
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
        assert_eq!(reader.buffer(), b"1234");
    });
}

#[test]
fn limit_overrun_error() {
    settled(async || {
        let (reader, _writer, mut far) = opened().await;
        far.write_all(b"a line of more\n").expect("room");
        let mut reader = BufReader::with_limit(4, reader);
        let error = reader.line().await.expect_err("it is longer");
        assert!(TooLong::is(&error), "{error}");
    });
}
