//! Deadlines of connections: the first byte, quiet, and the whole life; and what they do not end.

use std::future::pending;
use std::io;
use std::os::unix::net::UnixStream as StdUnix;
use std::time::Duration;

use annulus::net::{Limits, Served, UnixListener, serve};
use annulus::runtime::metrics;
use annulus::time::{Instant, sleep};
use socket2::SockRef;

use super::{client, echo, listener};
use crate::support::settled::{read_len, read_some, read_to_end, run, turn, until, write_now};

/// A time that has to pass.
const SHORT: Duration = Duration::from_millis(40);
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

/// Serves one connection with a deadline for quiet; what `peer` does meanwhile, and the counts.
async fn quiet<T>(
    handler: impl AsyncFn(annulus::net::TcpStream) -> io::Result<()> + 'static,
    peer: impl AsyncFnOnce(std::net::TcpStream) -> T,
) -> (T, Served) {
    let (listener, address) = listener().await;
    let server = serve(listener, Limits::new().idle(SHORT), handler);
    let handle = server.handle();
    let server = annulus::spawn(server);
    let output = peer(client(address)).await;
    until(|| handle.connections() == 0 && handle.served().total() == 1).await;
    handle.stop();
    (output, server.await.unwrap().unwrap())
}

#[test]
fn a_quiet_connection_is_ended_and_a_slow_one_is_not() {
    run(async || {
        let (took, served) = quiet(echo, async |client| {
            // Longer than it may be quiet, in all; a machine that stalls between two of them may cut it off all
            // the same, so what is asserted is the end.
            for _ in 0..20 {
                write_now(&client, b"x");
                sleep(SHORT / 10).await;
            }
            assert_eq!(read_len(&client, 20).await, [b'x'; 20]);
            let last = Instant::now();
            assert_eq!(read_to_end(&client).await.unwrap(), b"");
            last.elapsed()
        })
        .await;
        assert!(took >= SHORT / 2, "it ended after {took:?}");
        assert_eq!((served.late, served.total()), (1, 1));
    });
}

#[test]
fn a_peer_that_reads_nothing_is_ended_and_one_that_reads_slowly_is_not() {
    const SIZE: usize = 4 << 20;
    run(async || {
        let flood = async |stream: annulus::net::TcpStream| {
            SockRef::from(&stream).set_send_buffer_size(64 * 1024)?;
            stream.send_all(vec![7; SIZE]).await?;
            Ok(())
        };
        let ((), served) = quiet(flood, async |client| {
            // The server, and the connection with it; then the server alone.
            until(|| metrics().live_tasks == 2).await;
            until(|| metrics().live_tasks == 1).await;
            drop(client);
        })
        .await;
        assert_eq!((served.late, served.total()), (1, 1), "one send, of which nothing is taken");
        let (count, served) = quiet(flood, async |client| {
            let mut bytes = Vec::new();
            let mut buf = vec![0; 64 * 1024];
            while bytes.len() < SIZE {
                match io::Read::read(&mut &client, &mut buf) {
                    Ok(0) => break,
                    Ok(count) => bytes.extend_from_slice(&buf[..count]),
                    Err(_) => {}
                }
                sleep(SHORT / 20).await;
            }
            bytes.len()
        })
        .await;
        assert_eq!((served.ended, count), (1, SIZE), "one send, whose bytes are taken slowly");
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
fn a_life_ends_whatever_the_connection_does() {
    run(async || {
        let (listener, address) = listener().await;
        let server = serve(listener, Limits::new().life(SHORT).idle(LONG), echo);
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
        assert!(start.elapsed() >= SHORT);
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
