//! How many system calls the loop makes for what happens at once.

use std::cell::Cell;
use std::rc::Rc;

use annulus::runtime::metrics;

use crate::support::settled::{content, pair, run, turn, until, write_now};

/// No more than one call brings, which are 20 completions.
const BATCH: usize = 16;

/// The bare ring takes two calls for a batch: one brings the requests, the next submits the answers, which the kernel
/// sends in that call, and brings word of that.
const BARE_RING: u64 = 2;

#[test]
fn a_batch_of_ready_connections_takes_one_call_more_than_the_bare_ring_at_most() {
    run(async || {
        let (streams, clients): (Vec<_>, Vec<_>) = (0..BATCH).map(|_| pair()).unzip();
        let served = Rc::new(Cell::new(0));
        for stream in streams {
            let served = Rc::clone(&served);
            drop(annulus::spawn(async move {
                // Until the client is gone.
                while let Ok(Some(chunk)) = stream.recv().await {
                    stream.send_all(chunk).await.expect("an answer");
                    served.set(served.get() + 1);
                }
            }));
        }
        let message = content(0, 0, 64);
        for round in 1..=20 {
            // Until every receive is armed, and nothing is under way.
            for _ in 0..4 {
                turn().await;
            }
            // All requests are in the sockets before the loop turns.
            clients.iter().for_each(|client| write_now(client, &message));
            let before = metrics().enters;
            for _ in 0..100 {
                turn().await;
            }
            assert_eq!(served.get(), round * BATCH, "round {round}");
            let enters = metrics().enters - before;
            assert!(enters <= BARE_RING + 1, "round {round}: {enters} calls for {BATCH} requests");
        }
        drop(clients);
        until(|| metrics().live_tasks == 0).await;
    });
}
