//! Connections that come while the server ends: each is served whole or refused, none is lost, none leaks.
//!
//! The ordinary run is short; `ANNULUS_LONG=1` makes it long.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream as StdStream};
use std::os::unix::net::{SocketAddr as UnixAddr, UnixStream as StdUnix};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use annulus::Builder;
use annulus::net::{Limits, Served, TcpListener, TcpStream, UnixListener, UnixStream, serve};
use annulus::time::sleep;
use socket2::SockRef;

use crate::support::names::abstract_name;
use crate::support::settled::{PATIENCE, byte, rounds, run_with, turn, until};

/// Clients of each server; some come before it is asked to end, and some after.
const CLIENTS: usize = 10;

/// How many connections a race has.
fn count() -> usize {
    rounds(1_000, 100_000)
}

/// What became of the clients of one server.
#[derive(Debug, Default, PartialEq)]
struct Fates {
    served: u64,
    refused: u64,
}

/// Whether a client is served: it gets its answer, or a refusal, and neither a part nor nothing for ever.
fn is_served<S: Read + Write>(connected: io::Result<S>) -> bool {
    let refusals =
        [ErrorKind::ConnectionRefused, ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
    let refused = |error: io::Error| {
        assert!(refusals.contains(&error.kind()), "{error}");
        false
    };
    let mut client = match connected {
        Ok(client) => client,
        Err(error) => return refused(error),
    };
    if let Err(error) = client.write_all(b"?") {
        return refused(error);
    }
    let mut answer = [0; 2];
    match client.read(&mut answer) {
        Ok(0) => false,
        Ok(count) => {
            assert_eq!(&answer[..count], b"!");
            assert_eq!(client.read(&mut answer).unwrap_or(0), 0, "and the end");
            true
        }
        Err(error) => refused(error),
    }
}

/// Has a thread connect to each server that it is told of.
fn clients<A: Send + 'static, S: Read + Write>(
    connect: impl Fn(&A) -> io::Result<S> + Send + 'static,
) -> (Sender<A>, Receiver<Fates>) {
    let (sender, addresses) = channel();
    let (report, fates) = channel();
    thread::spawn(move || {
        for address in addresses {
            let served = (0..CLIENTS).filter(|_| is_served(connect(&address))).count();
            let refused = CLIENTS - served;
            let fates = Fates { served: served as u64, refused: refused as u64 };
            if report.send(fates).is_err() {
                return;
            }
        }
    });
    (sender, fates)
}

/// Lets a server run for one of several times.
async fn wait(round: usize) {
    match byte(round, 0) % 4 {
        0 => {}
        1 => {
            for _ in 0..byte(round, 1) % 8 {
                turn().await;
            }
        }
        2 => sleep(Duration::from_micros(u64::from(byte(round, 1)))).await,
        _ => sleep(Duration::from_micros(4 * u64::from(byte(round, 1)))).await,
    }
}

/// Runs servers until so many connections were made, each server asked to end while its clients come.
async fn race<A>(
    (addresses, fates): (Sender<A>, Receiver<Fates>),
    mut start: impl AsyncFnMut(&Sender<A>, usize) -> Served,
) {
    let mut all = Fates::default();
    for round in 0..count() / CLIENTS {
        let served = start(&addresses, round).await;
        // The loop has to turn for the listener to be closed, and so for who waits there to be refused.
        let mut told = None;
        until(|| {
            told = fates.try_recv().ok();
            told.is_some()
        })
        .await;
        let fates = told.expect("just told");
        assert_eq!(served.ended, fates.served, "{served:?}, {fates:?}");
        assert_eq!(served.panicked + served.aborted + served.late, 0, "{served:?}");
        all.served += fates.served;
        all.refused += fates.refused;
    }
    assert!(all.served > 0 && all.refused > 0, "a race needs both: {all:?}");
}

async fn answer_unix(stream: UnixStream) -> io::Result<()> {
    stream.read_exact(&mut [0; 1]).await?;
    stream.write_all(b"!").await
}

async fn answer_tcp(stream: TcpStream) -> io::Result<()> {
    stream.read_exact(&mut [0; 1]).await?;
    stream.write_all(b"!").await
}

fn race_unix(builder: Builder, limits: Limits) {
    run_with(builder, async || {
        let clients = clients(|address: &UnixAddr| {
            let client = StdUnix::connect_addr(address)?;
            client.set_read_timeout(Some(PATIENCE))?;
            Ok(client)
        });
        race(clients, async |told, round| {
            let listener = UnixListener::bind(abstract_name()).expect("bind");
            told.send(listener.local_addr().expect("bound")).expect("the clients are there");
            let server = serve(listener, limits.clone(), answer_unix);
            server.until(wait(round)).await.expect("the listener is whole")
        })
        .await;
    });
}

#[test]
fn unix_accepts_against_stops() {
    race_unix(Builder::new(), Limits::new().drain(PATIENCE));
}

#[test]
fn unix_accepts_against_stops_with_little_room() {
    let limits = Limits::new().connections(1).drain(PATIENCE);
    race_unix(Builder::new().untaken_max(2), limits);
}

#[test]
fn accepts_against_stops() {
    run_with(Builder::new(), async || {
        let clients = clients(|address: &SocketAddr| {
            let client = StdStream::connect(address)?;
            client.set_read_timeout(Some(PATIENCE))?;
            // No port stays in TIME_WAIT.
            SockRef::from(&client).set_linger(Some(Duration::ZERO))?;
            Ok(client)
        });
        race(clients, async |told, round| {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
            told.send(listener.local_addr().expect("bound")).expect("the clients are there");
            let server = serve(listener, Limits::new().drain(PATIENCE), answer_tcp);
            server.until(wait(round)).await.expect("the listener is whole")
        })
        .await;
    });
}
