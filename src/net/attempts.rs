//! Connecting to one of several addresses, as RFC 8305 ("Happy Eyeballs") has it.
//!
//! Its "Resolution Delay" (section 3) is for clients that ask for each family by themselves, and has no place here: the
//! system's resolver asks for both at once, and gives them together, sorted (section 4, RFC 6724).

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use crate::time::{Instant, Sleep, sleep};

/// How long an attempt goes on alone: the "Connection Attempt Delay" that section 5 of RFC 8305 recommends.
const DELAY: Duration = Duration::from_millis(250);

/// What the first attempt gives that succeeds; the error of the last to fail if none does.
///
/// The next address is tried when the attempts so far failed, or after [`DELAY`]; the addresses are taken from the two
/// families in turn, from that of the first (section 4). When one succeeds the others are dropped.
pub(super) async fn first_of<T, F: Future<Output = io::Result<T>>>(
    addresses: Vec<SocketAddr>,
    attempt: impl Fn(SocketAddr) -> F,
) -> io::Result<T> {
    if let [address] = addresses[..] {
        return attempt(address).await;
    }
    let mut waiting = interleaved(addresses).into_iter();
    let mut running: Vec<Pin<Box<F>>> = Vec::new();
    let mut delay = pin!(sleep(Duration::ZERO));
    let mut last = None;
    poll_fn(|cx| {
        loop {
            let before = running.len();
            if let Some(done) = poll_each(&mut running, &mut last, cx) {
                return Poll::Ready(Ok(done));
            }
            let failed = running.len() < before;
            if !failed && !running.is_empty() && delay.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            match waiting.next() {
                Some(address) => {
                    running.push(Box::pin(attempt(address)));
                    restart(delay.as_mut());
                }
                None if running.is_empty() => {
                    return Poll::Ready(Err(last.take().unwrap_or_else(none)));
                }
                None => return Poll::Pending,
            }
        }
    })
    .await
}

fn restart(delay: Pin<&mut Sleep>) {
    delay.reset(Instant::now() + DELAY);
}

fn none() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "there is no address to connect to")
}

/// Polls each attempt, the oldest first, and takes out those that failed.
fn poll_each<T, F: Future<Output = io::Result<T>>>(
    running: &mut Vec<Pin<Box<F>>>,
    last: &mut Option<io::Error>,
    cx: &mut Context<'_>,
) -> Option<T> {
    let mut index = 0;
    while let Some(attempt) = running.get_mut(index) {
        match attempt.as_mut().poll(cx) {
            Poll::Ready(Ok(done)) => return Some(done),
            Poll::Ready(Err(error)) => {
                *last = Some(error);
                drop(running.remove(index));
            }
            Poll::Pending => index += 1,
        }
    }
    None
}

/// The addresses of both families in turn, each family in its order, the first one's first.
fn interleaved(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut order = Vec::new();
    loop {
        let pair = [first.next(), second.next()];
        if pair == [None, None] {
            return order;
        }
        order.extend(pair.into_iter().flatten());
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns_and_keep_their_order() {
        let list = |texts: &[&str]| -> Vec<SocketAddr> {
            texts.iter().map(|text| text.parse().expect("a literal")).collect()
        };
        let given = list(&["[::1]:1", "[::1]:2", "[::1]:3", "1.1.1.1:1", "1.1.1.1:2"]);
        let order = list(&["[::1]:1", "1.1.1.1:1", "[::1]:2", "1.1.1.1:2", "[::1]:3"]);
        assert_eq!(interleaved(given), order);
        let given = list(&["1.1.1.1:1", "1.1.1.1:2", "[::1]:1"]);
        assert_eq!(interleaved(given), list(&["1.1.1.1:1", "[::1]:1", "1.1.1.1:2"]));
        assert_eq!(interleaved(Vec::new()), []);
    }
}
