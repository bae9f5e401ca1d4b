//! Accepts and receives that lose a race in a select loop, for a second each: no connection and no byte is lost.
//!
//! As many rounds as the time allows, so that the machine's speed decides nothing; `races` has the long forms.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream as StdStream};
use std::time::{Duration, Instant};

use annulus::net::{TcpListener, TcpStream};
use annulus::task::yield_now;
use annulus::time::{sleep, timeout};
use socket2::SockRef;

use crate::support::settled::{Either, assert_content, byte, content, pair, run, select, turn};

const TIME: Duration = Duration::from_millis(700);

/// Connects, asks and is answered until the time is over; says how often, and how often the connection was lost.
fn ask_until(end: Instant, address: SocketAddr) -> (usize, usize) {
    let (mut asked, mut lost) = (0, 0);
    while Instant::now() < end {
        let mut client = StdStream::connect(address).expect("the backlog has room");
        let number = (asked as u32).to_be_bytes();
        let mut answer = [0; 4];
        let answered = client.write_all(&number).and_then(|()| client.read_exact(&mut answer));
        match answered {
            Ok(()) => assert_eq!(answer, number),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
                lost += 1;
            }
        }
        asked += 1;
        // A reset leaves no port in TIME_WAIT.
        SockRef::from(&client).set_linger(Some(Duration::ZERO)).expect("an open socket");
    }
    (asked, lost)
}

/// What an accept races against: nothing, a turn of the loop, or a little time.
async fn rival(round: usize) {
    match byte(1, round) % 3 {
        0 => yield_now().await,
        1 => turn().await,
        _ => sleep(Duration::from_micros(20)).await,
    }
}

async fn answer(stream: TcpStream) {
    let mut number = [0; 4];
    stream.read_exact(&mut number).await.expect("the client asks");
    stream.write_all(&number).await.expect("the client waits");
    // Until the client is gone; it goes with a reset.
    let _ = stream.read(&mut number).await;
}

#[test]
fn an_accept_in_a_select_loop_loses_no_connection() {
    run(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let end = Instant::now() + TIME;
        let clients: Vec<_> =
            (0..3).map(|_| std::thread::spawn(move || ask_until(end, address))).collect();
        let (mut taken, mut dropped) = (0, 0);
        while clients.iter().any(|client| !client.is_finished()) {
            match select(listener.accept_stream(), rival(taken + dropped)).await {
                Either::First(stream) => {
                    annulus::spawn(answer(stream.expect("the listener is whole")));
                    taken += 1;
                }
                Either::Second(()) => dropped += 1,
            }
        }
        let ends = clients.into_iter().map(|client| client.join().expect("no panic"));
        let (asked, lost) = ends.fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1));
        assert_eq!((taken, lost), (asked, 0));
        assert!(taken > 0 && dropped > 0, "a race needs both outcomes: {taken}, {dropped}");
    });
}

/// Sends pieces of all sizes up to 2000 bytes, with pauses, until the time is over; says how many bytes.
fn send_until(end: Instant, mut socket: StdStream) -> usize {
    socket.set_nonblocking(false).expect("an open socket");
    let (mut sent, mut piece) = (0, 0);
    while Instant::now() < end {
        let size = 1 + usize::from(byte(2, piece)) * 8;
        socket.write_all(&content(0, sent, size)).expect("somebody reads");
        (sent, piece) = (sent + size, piece + 1);
        if byte(3, piece).is_multiple_of(3) {
            std::thread::sleep(Duration::from_micros(30));
        }
    }
    sent
}

#[test]
fn a_receive_against_a_timeout_loses_no_byte() {
    run(async || {
        let (near, far) = pair();
        let end = Instant::now() + TIME;
        let sender = std::thread::spawn(move || send_until(end, far));
        let (mut received, mut dropped, mut rounds) = (0, 0, 0);
        loop {
            rounds += 1;
            let patience = Duration::from_micros(u64::from(byte(4, rounds) % 80));
            let Ok(chunk) = timeout(patience, near.recv()).await else {
                dropped += 1;
                continue;
            };
            let Some(chunk) = chunk.expect("the peer is there") else { break };
            assert_content(0, received, &chunk);
            received += chunk.len();
        }
        assert_eq!(received, sender.join().expect("no panic"));
        assert!(received > 0 && dropped > 0, "a race needs both outcomes: {received}, {dropped}");
    });
}
