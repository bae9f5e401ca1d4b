//! Storms of signals: every kind reaches its listeners, and a server ends in good order in the midst of one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use annulus::net::{TcpListener, TcpStream};
use annulus::signal::{Signal, SignalKind, signal};
use annulus::task::{CancellationToken, JoinSet};
use annulus::time::{sleep, timeout};
use annulus::{Builder, spawn};
use std::time::Duration;

use crate::signals::send;
use crate::support::child::{assert_passed, in_child, run_alone};
use crate::support::settled::{PATIENCE, content, joined, rounds};

const KINDS: [SignalKind; 4] = [
    SignalKind::terminate(),
    SignalKind::interrupt(),
    SignalKind::child(),
    SignalKind::user_defined1(),
];

/// Sends `kinds` in turn without a pause until the flag is dropped with it; those that are to come once, at the end.
struct Storm {
    over: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Storm {
    fn of(kinds: &'static [SignalKind]) -> Self {
        let over = Arc::<AtomicBool>::default();
        let stop = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                kinds.iter().for_each(|kind| send(*kind));
                std::thread::yield_now();
            }
        });
        Self { over, thread: Some(thread) }
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("it only sends");
        }
    }
}

async fn told(listener: &mut Signal) {
    timeout(PATIENCE, listener.recv()).await.expect("a kind is lost").expect("the runtime runs");
}

/// Echoes messages over a connection while the storm goes on.
async fn echo(count: usize) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = spawn(TcpStream::connect(listener.local_addr().unwrap()));
    let server = listener.accept_stream().await.unwrap();
    let client = client.await.unwrap().unwrap();
    for round in 0..count {
        let message = content(0, round, 100);
        client.write_all(&message).await.unwrap();
        let mut bytes = [0; 100];
        server.read_exact(&mut bytes).await.unwrap();
        assert_eq!(bytes.as_slice(), message);
    }
}

#[test]
fn no_kind_is_lost_in_a_storm() {
    let child = in_child!(|| {
        // A completion queue that a storm fills.
        run_alone(Builder::new().ring_entries(8, 8), async || {
            let mut listeners: Vec<Signal> = KINDS
                .iter()
                .flat_map(|kind| [*kind; 3])
                .map(|kind| signal(kind).unwrap())
                .collect();
            let mut rare = signal(SignalKind::user_defined2()).unwrap();
            let storm = Storm::of(&KINDS);
            for _ in 0..rounds(50, 2000) {
                for listener in &mut listeners {
                    told(listener).await;
                }
                send(SignalKind::user_defined2());
                told(&mut rare).await;
            }
            echo(100).await;
            drop(storm);
            // What was sent last is told as well.
            for listener in &mut listeners {
                _ = timeout(Duration::ZERO, listener.recv()).await;
            }
            KINDS.iter().for_each(|kind| send(*kind));
            for listener in &mut listeners {
                told(listener).await;
            }
        });
    });
    child.iter().for_each(assert_passed);
}

/// The recipe of the documentation of `annulus::signal`.
async fn serve(stream: TcpStream, shutdown: CancellationToken) -> std::io::Result<()> {
    while let Some(Some(request)) = shutdown.run_until_cancelled(stream.recv()).await.transpose()? {
        stream.send_all(request).await?;
    }
    stream.shutdown().await
}

#[test]
fn a_server_ends_in_good_order_in_a_storm() {
    const CLIENTS: usize = 20;
    const STORM: [SignalKind; 2] = [SignalKind::child(), SignalKind::user_defined1()];
    let child = in_child!(|| run_alone(Builder::new(), async || {
        let _ignored = STORM.map(|kind| signal(kind).unwrap());
        let mut terminate = signal(SignalKind::terminate()).unwrap();
        let storm = Storm::of(&STORM);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let clients = (0..CLIENTS).map(|nth| {
            spawn(async move {
                let client = TcpStream::connect(address).await.unwrap();
                for round in 0.. {
                    let message = content(nth, round, 10);
                    if client.write_all(&message).await.is_err() {
                        break;
                    }
                    let mut bytes = [0; 10];
                    match client.read_exact(&mut bytes).await {
                        Ok(()) => assert_eq!(bytes.as_slice(), message),
                        Err(_) => break,
                    }
                }
            })
        });
        let clients: Vec<_> = clients.collect();
        spawn(async {
            sleep(Duration::from_millis(20)).await;
            send(SignalKind::terminate());
        });
        let shutdown = CancellationToken::new();
        let mut connections = JoinSet::new();
        loop {
            annulus::select! {
                accepted = listener.accept_stream() => {
                    connections.spawn(serve(accepted.unwrap(), shutdown.clone()));
                }
                Some(_ended) = connections.join_next() => {}
                _ = terminate.recv() => break,
            }
        }
        drop(listener);
        shutdown.cancel();
        let drained = async { while connections.join_next().await.is_some() {} };
        timeout(PATIENCE, drained).await.expect("each ends by itself");
        joined(clients).await;
        drop(storm);
    }));
    child.iter().for_each(assert_passed);
}
