//! Faults of the environment, of the peer and of the program, and what the user sees of them.
//!
//! Each test makes the fault happen on the real kernel. What would disturb the tests that run beside it (limits of the
//! process, signals, users) happens in a child, and what belongs to a thread (filters, namespaces) in a thread.

mod blocking;
mod buffers;
mod children;
mod cores;
mod disks;
mod ends;
mod exhaustion;
mod fuse;
mod futures;
mod names;
mod networks;
mod peers;
mod processes;
mod ring;
mod selects;
mod signals;
pub(crate) mod start;
mod storms;
mod timers;

use crate::support::settled::{content, stream_pair};

/// Sends messages round and round between two streams until it is `over`.
async fn echo_until(over: impl Fn() -> bool) {
    let (near, far) = stream_pair();
    let server = annulus::spawn(async move {
        while let Some(chunk) = far.recv().await.unwrap() {
            far.send_all(chunk).await.unwrap();
        }
    });
    let mut round = 0;
    while !over() {
        let message = content(0, round, 1000);
        near.write_all(&message).await.unwrap();
        let mut back = vec![0; 1000];
        near.read_exact(&mut back).await.unwrap();
        assert_eq!(back, message);
        round += 1;
    }
    drop(near);
    server.await.unwrap();
}
