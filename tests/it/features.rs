//! A representative set of what a runtime does, once with each optional kernel feature forced off, and once with
//! none of them: an old kernel behaves like a new one.

use std::time::{Duration, Instant};

use annulus::net::{TcpListener, TcpStream};
use annulus::runtime::Feature;
use annulus::time::{sleep, timeout};
use annulus::{Builder, spawn};

use crate::support::settled::{
    assert_content, content, joined, poll_and_drop, run_with, stream_pair, turn,
};

/// Everything, one part after the other, on one runtime.
fn all_parts(builder: Builder) {
    run_with(builder, async || {
        echoes().await;
        large_transfer().await;
        cancellation().await;
        accept_burst().await;
        timers().await;
        wakes_from_outside().await;
    });
}

/// Many connections that echo at once.
async fn echoes() {
    let mut tasks = Vec::new();
    for stream in 0..40 {
        let (near, far) = stream_pair();
        tasks.push(spawn(async move {
            while let Some(chunk) = far.recv().await.expect("the stream is whole") {
                far.send_all(chunk).await.expect("the peer is there");
            }
        }));
        tasks.push(spawn(async move {
            for round in 0..10 {
                near.write_all(&content(stream, round * 100, 100)).await.expect("it is there");
                let mut answer = [0; 100];
                near.read_exact(&mut answer).await.expect("the peer answers");
                assert_content(stream, round * 100, &answer);
            }
        }));
    }
    joined(tasks).await;
}

/// Both directions of one connection at once, each more than any buffer holds.
async fn large_transfer() {
    const LEN: usize = 1 << 20;
    let (near, far) = stream_pair();
    let tasks = [near, far].into_iter().enumerate().map(|(side, stream)| {
        spawn(async move {
            let (read, write) = stream.into_split();
            let sending = spawn(async move {
                write.send_all(content(side, 0, LEN)).await.expect("the peer reads");
            });
            let mut received = 0;
            while let Some(chunk) = read.recv().await.expect("the stream is whole") {
                assert_content(1 - side, received, &chunk);
                received += chunk.len();
            }
            sending.await.expect("all was sent");
            assert_eq!(received, LEN);
        })
    });
    joined(tasks.collect()).await;
}

/// Dropped receives, accepts and connects lose nothing.
async fn cancellation() {
    let (near, far) = stream_pair();
    for round in 0..50 {
        assert!(timeout(Duration::from_micros(round), near.recv()).await.is_err());
        let mut send = Box::pin(far.send_all(vec![round as u8; 3]));
        assert!(crate::support::settled::poll_once(&mut send).await.is_pending());
        turn().await;
        drop(send);
        let mut bytes = [0; 3];
        near.read_exact(&mut bytes).await.expect("nothing is lost");
        assert_eq!(bytes, [round as u8; 3]);
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("bound");
    for _ in 0..10 {
        assert!(poll_and_drop(TcpStream::connect(address)).await.is_none());
        assert!(poll_and_drop(listener.accept()).await.is_none());
        turn().await;
        let client = TcpStream::connect(address).await.expect("connect");
        let (_stream, peer) = listener.accept().await.expect("nothing is lost");
        assert_eq!(peer, client.local_addr().expect("connected"));
    }
}

/// Many connections at once.
async fn accept_burst() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("bound");
    let clients = (0..100)
        .map(|_| {
            spawn(async move {
                let client = TcpStream::connect(address).await.expect("connect");
                client.read_exact(&mut [0]).await.expect("a byte");
            })
        })
        .collect();
    for _ in 0..100 {
        let stream = listener.accept_stream().await.expect("accept");
        stream.write_all(b"!").await.expect("the client is there");
    }
    joined(clients).await;
    assert_eq!(listener.untaken(), 0);
}

/// Sleeps end no earlier than asked, the shorter ones first.
async fn timers() {
    let start = Instant::now();
    let sleeps = (0..20)
        .map(|nth| {
            spawn(async move {
                let time = Duration::from_micros(300 * (20 - nth));
                sleep(time).await;
                assert!(start.elapsed() >= time);
            })
        })
        .collect();
    joined(sleeps).await;
}

/// A waker that another thread calls ends the sleep of the core.
async fn wakes_from_outside() {
    for _ in 0..5 {
        let mut thread = None;
        std::future::poll_fn(|cx| {
            let Some(thread) = &thread else {
                let waker = cx.waker().clone();
                let wake = move || {
                    std::thread::sleep(Duration::from_micros(200));
                    waker.wake();
                };
                thread = Some(std::thread::spawn(wake));
                return std::task::Poll::Pending;
            };
            let _: &std::thread::JoinHandle<()> = thread;
            std::task::Poll::Ready(())
        })
        .await;
        thread.expect("it was started").join().expect("it woke us");
    }
}

#[test]
fn with_all_features() {
    all_parts(Builder::new());
}

#[test]
fn without_each_feature() {
    for feature in Feature::ALL {
        all_parts(Builder::new().disable(feature));
    }
}

#[test]
fn without_any_feature() {
    all_parts(Feature::ALL.into_iter().fold(Builder::new(), Builder::disable));
}
