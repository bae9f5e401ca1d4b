//! Deadlines of connections: the first byte, quiet, and the whole life; and what they do not end.

use std::future::pending;
use std::io;
use std::os::unix::net::UnixStream as StdUnix;
use std::time::Duration;

use annulus::io::{AsyncWriteExt, BufReader};
use annulus::net::{Limits, Served, UnixListener, UnixSeqpacket, UnixSeqpacketListener, serve};
use annulus::runtime::metrics;
use annulus::time::{Instant, sleep, timeout};
use socket2::SockRef;

use super::{client, echo, listener};
use crate::support::settled::{
    PATIENCE, read_len, read_some, read_to_end, run, turn, until, write_now,
};

/// A time that has to pass.
const SHORT: Duration = Duration::from_millis(40);
/// How long connections may be quiet where they move slowly.
const QUIET: Duration = Duration::from_millis(200);
const FLOOD: usize = 4 << 20;
const LONG: Duration = Duration::from_secs(3600);

#[test]
fn a_peer_that_says_nothing_is_ended_and_one_that_spoke_is_not() {
    run(async || {
        let (listener, address) = listener().await;
        let server = serve(listener, Limits::new().first_byte(SHORT), echo);
        let handle = server.handle();
        let server = annulus::spawn(server);
        let start = Instant::now();
        let (silent, speaking) = (client(address), client(address));
        write_now(&speaking, b"x");
        assert_eq!(read_to_end(&silent).await.unwrap(), b"");
        assert!(start.elapsed() >= SHORT);
        sleep(SHORT).await;
        write_now(&speaking, b"y");
        assert_eq!(read_len(&speaking, 2).await, b"xy");
        drop(speaking);
        until(|| handle.connections() == 0).await;
        handle.stop();
        let served = server.await.unwrap().unwrap();
        assert_eq!((served.late, served.ended, served.total()), (1, 1, 2));
    });
}

#[test]
fn a_byte_that_the_handler_does_not_read_yet_is_there() {
    run(async || {
        let (listener, address) = listener().await;
        let server = serve(listener, Limits::new().first_byte(SHORT), async |stream| {
            sleep(SHORT * 2).await;
            echo(stream).await
        });
        let handle = server.handle();
        let server = annulus::spawn(server);
        let client = client(address);
        write_now(&client, b"x");
        assert_eq!(read_len(&client, 1).await, b"x");
        drop(client);
        until(|| handle.connections() == 0).await;
        handle.stop();
        assert_eq!(server.await.unwrap().unwrap().late, 0);
    });
}

/// Of a whole header the time is the handler's to give.
#[test]
fn a_header_that_trickles_in_is_given_up_at_its_time_and_the_body_is_not() {
    run(async || {
        let (listener, address) = listener().await;
        let limits = Limits::new().first_byte(LONG).idle(LONG);
        let server = serve(listener, limits, async |stream| {
            let mut reader = BufReader::new(stream);
            let header = async {
                while let Some(line) = reader.line().await? {
                    if line.is_empty() {
                        return Ok(());
                    }
                }
                Err(io::Error::from(io::ErrorKind::UnexpectedEof))
            };
            timeout(QUIET, header).await??;
            reader.write_all(b"header").await?;
            assert_eq!(reader.line().await?, Some(&b"body"[..]));
            reader.write_all(b"body").await
        });
        let handle = server.handle();
        let (slow, quick) = (client(address), client(address));
        write_now(&quick, b"one: 1\ntwo: 2\n\n");
        let server = annulus::spawn(server);
        let start = Instant::now();
        // It is never idle: there is a byte each time, until nobody takes it.
        while io::Write::write(&mut &slow, b"x").is_ok() {
            assert!(start.elapsed() < PATIENCE, "it goes on for ever");
            sleep(QUIET / 20).await;
        }
        assert!(start.elapsed() >= QUIET);
        assert_eq!(read_len(&quick, 6).await, b"header");
        write_now(&quick, b"body\n");
        assert_eq!(read_to_end(&quick).await.unwrap(), b"body");
        until(|| handle.connections() == 0).await;
        handle.stop();
        let served = server.await.unwrap().unwrap();
        assert_eq!((served.failed, served.ended, served.total()), (1, 1, 2));
    });
}

/// What a peer did, and the longest time in which it did nothing. All is on one thread, so a machine that stalled shows
/// in it.
struct Peer<T> {
    paused: Duration,
    output: T,
}

/// Serves one connection that may be quiet for a while, and what its `peer` does; until the machine does not stall.
async fn quiet<T>(
    handler: impl AsyncFn(annulus::net::TcpStream) -> io::Result<()> + Clone + 'static,
    peer: impl AsyncFn(std::net::TcpStream) -> Peer<T>,
) -> (T, Served) {
    let start = Instant::now();
    loop {
        let (listener, address) = listener().await;
        let server = serve(listener, Limits::new().idle(QUIET), handler.clone());
        let handle = server.handle();
        let server = annulus::spawn(server);
        let Peer { paused, output } = peer(client(address)).await;
        until(|| handle.connections() == 0 && handle.served().total() == 1).await;
        handle.stop();
        let served = server.await.unwrap().unwrap();
        if paused < QUIET / 2 {
            return (output, served);
        }
        assert!(start.elapsed() < PATIENCE, "the machine stalls all the time");
    }
}

#[test]
fn a_quiet_connection_is_ended_and_a_slow_one_is_not() {
    const BYTES: usize = 20;
    run(async || {
        let ((count, took), served) = quiet(echo, async |client| {
            // Longer in all than it may be quiet.
            let (mut paused, mut last) = (Duration::ZERO, Instant::now());
            for _ in 0..BYTES {
                sleep(QUIET / 10).await;
                paused = paused.max(last.elapsed());
                last = Instant::now();
                let _ = io::Write::write(&mut &client, b"x");
            }
            let bytes = read_to_end(&client).await;
            Peer { paused, output: (bytes.map_or(0, |bytes| bytes.len()), last.elapsed()) }
        })
        .await;
        assert_eq!(count, BYTES);
        assert!(took >= QUIET, "it ended after {took:?}");
        assert_eq!((served.late, served.total()), (1, 1));
    });
}

/// Sends more than the kernel holds, in one send.
async fn flood(stream: annulus::net::TcpStream) -> io::Result<()> {
    SockRef::from(&stream).set_send_buffer_size(64 * 1024)?;
    stream.send_all(vec![7; FLOOD]).await?;
    Ok(())
}

#[test]
fn a_peer_that_takes_nothing_is_ended() {
    run(async || {
        let ((), served) = quiet(flood, async |client| {
            // The server, and the connection with it; then the server alone.
            until(|| metrics().live_tasks == 2).await;
            until(|| metrics().live_tasks == 1).await;
            drop(client);
            Peer { paused: Duration::ZERO, output: () }
        })
        .await;
        assert_eq!((served.late, served.total()), (1, 1));
    });
}

#[test]
fn a_peer_that_takes_the_bytes_of_one_send_slowly_is_not_ended() {
    run(async || {
        let (count, served) = quiet(flood, async |client| {
            let (mut paused, mut last) = (Duration::ZERO, Instant::now());
            let (mut count, mut buf) = (0, vec![0; FLOOD / 40]);
            while count < FLOOD {
                match io::Read::read(&mut &client, &mut buf) {
                    Ok(0) => break,
                    Ok(read) => {
                        count += read;
                        paused = paused.max(last.elapsed());
                        last = Instant::now();
                    }
                    Err(_) => {}
                }
                sleep(QUIET / 20).await;
            }
            Peer { paused, output: count }
        })
        .await;
        assert_eq!((served.ended, count), (1, FLOOD));
    });
}

#[test]
fn on_a_unix_socket_quiet_ends_and_a_send_under_way_does_not() {
    run(async || {
        let name = crate::support::names::abstract_name();
        let listener = UnixListener::bind(&name).unwrap();
        let address = listener.local_addr().unwrap();
        let server = serve(listener, Limits::new().idle(SHORT), async |stream| {
            if stream.recv().await?.is_some() {
                stream.send_all(vec![7; 4 << 20]).await?;
            }
            stream.recv().await?;
            io::Result::Ok(())
        });
        let handle = server.handle();
        let server = annulus::spawn(server);
        let quiet = StdUnix::connect_addr(&address).unwrap();
        let reading = StdUnix::connect_addr(&address).unwrap();
        io::Write::write_all(&mut &reading, b"x").unwrap();
        until(|| handle.served().late == 1).await;
        sleep(SHORT * 2).await;
        assert_eq!(handle.connections(), 1, "its send is under way");
        drop((quiet, reading));
        until(|| handle.connections() == 0).await;
        handle.stop();
        let served = server.await.unwrap().unwrap();
        assert_eq!((served.late, served.failed), (1, 1));
    });
}

#[test]
fn deadlines_hold_for_sequenced_packets() {
    run(async || {
        let name = crate::support::names::abstract_name();
        let listener = UnixSeqpacketListener::bind(&name).unwrap();
        let limits = Limits::new().first_byte(SHORT).idle(QUIET);
        let server = serve(listener, limits, async |connection: UnixSeqpacket| {
            while let Some(message) = connection.recv_message().await? {
                connection.send_owned(message.into_chunk()).await?;
            }
            io::Result::Ok(())
        });
        let handle = server.handle();
        let server = annulus::spawn(server);
        let start = Instant::now();
        let silent = UnixSeqpacket::connect(&name).await.unwrap();
        let speaking = UnixSeqpacket::connect(&name).await.unwrap();
        speaking.send(b"x").await.unwrap();
        assert!(silent.recv_message().await.unwrap().is_none());
        assert!(start.elapsed() >= SHORT);
        assert_eq!(speaking.recv(&mut [0; 4]).await.unwrap(), 1, "it had said something");
        assert!(speaking.recv_message().await.unwrap().is_none());
        assert!(start.elapsed() >= QUIET);
        until(|| handle.connections() == 0).await;
        handle.stop();
        assert_eq!(server.await.unwrap().unwrap().late, 2);
    });
}

#[test]
fn sends_alone_keep_a_connection_of_sequenced_packets_from_being_idle() {
    run(async || {
        let name = crate::support::names::abstract_name();
        let listener = UnixSeqpacketListener::bind(&name).unwrap();
        let server = serve(listener, Limits::new().idle(QUIET), async |connection| {
            for number in 0..20_u8 {
                sleep(QUIET / 10).await;
                UnixSeqpacket::send(&connection, &[number]).await?;
            }
            io::Result::Ok(())
        });
        let handle = server.handle();
        let server = annulus::spawn(server);
        let client = UnixSeqpacket::connect(&name).await.unwrap();
        let mut received = 0;
        while client.recv_message().await.unwrap().is_some() {
            received += 1;
        }
        until(|| handle.connections() == 0).await;
        handle.stop();
        let served = server.await.unwrap().unwrap();
        // A machine that stalls for the whole time makes it idle in truth.
        assert!(served.ended == 1 && received == 20 || served.late == 1, "{served:?}, {received}");
    });
}

#[test]
fn a_life_ends_whatever_the_connection_does() {
    run(async || {
        let (listener, address) = listener().await;
        let server = serve(listener, Limits::new().life(QUIET).idle(LONG), echo);
        let handle = server.handle();
        let server = annulus::spawn(server);
        let start = Instant::now();
        let client = client(address);
        let mut bytes = Vec::new();
        while handle.served().total() == 0 {
            let _ = io::Write::write(&mut &client, b"x");
            let _ = read_some(&client, &mut bytes);
            turn().await;
        }
        assert!(start.elapsed() >= QUIET);
        assert!(!bytes.is_empty());
        handle.stop();
        assert_eq!(server.await.unwrap().unwrap().late, 1);
    });
}

#[test]
fn deadlines_of_a_connection_are_one_timer_and_go_with_it() {
    run(async || {
        let (listener, address) = listener().await;
        let limits = Limits::new().first_byte(LONG).idle(LONG).life(LONG);
        let server = serve(listener, limits, echo);
        let handle = server.handle();
        let server = annulus::spawn(server);
        let idle = metrics().live_timers;
        let clients: Vec<_> = (0..10).map(|_| client(address)).collect();
        until(|| handle.connections() == 10).await;
        for client in &clients {
            write_now(client, b"x");
            assert_eq!(read_len(client, 1).await, b"x");
        }
        // The timer of the sleep in `until` has gone.
        assert_eq!(metrics().live_timers - idle, 10);
        drop(clients);
        until(|| handle.connections() == 0).await;
        assert_eq!(metrics().live_timers, idle);
        handle.stop();
        assert_eq!(server.await.unwrap().unwrap().ended, 10);
    });
}

#[test]
fn a_handler_that_gave_its_connection_away_is_not_idle() {
    run(async || {
        let (listener, address) = listener().await;
        let limits = Limits::new().first_byte(SHORT).idle(SHORT);
        let server = serve(listener, limits, async |stream| {
            drop(stream);
            sleep(SHORT * 3).await;
            io::Result::Ok(())
        });
        let handle = server.handle();
        let server = annulus::spawn(server);
        let client = client(address);
        assert_eq!(read_to_end(&client).await.unwrap(), b"");
        until(|| handle.served().total() == 1).await;
        handle.stop();
        assert_eq!(server.await.unwrap().unwrap().ended, 1);
    });
}

#[test]
fn a_deadline_beyond_the_clock_is_none() {
    run(async || {
        let (listener, address) = listener().await;
        let never = Duration::MAX;
        let limits = Limits::new().first_byte(never).idle(never).life(never).drain(Duration::ZERO);
        let server = serve(listener, limits, async |_stream| pending::<io::Result<()>>().await);
        let handle = server.handle();
        let server = annulus::spawn(server);
        let _client = client(address);
        until(|| handle.connections() == 1).await;
        assert_eq!(metrics().live_timers, 0);
        handle.stop();
        assert_eq!(server.await.unwrap().unwrap().aborted, 1);
    });
}
