//! Large transfers in both directions at once, each byte checked for its place.

use annulus::Builder;
use annulus::net::TcpStream;
use annulus::runtime::Feature;

use crate::support::settled::{assert_content, content, joined, run_with, stream_pair};

/// How a message is sent, how one is received.
#[derive(Clone, Copy, Debug)]
enum Form {
    Copied,
    Owned,
    Chunks,
}

async fn write(stream: &TcpStream, direction: usize, len: usize, message: usize, form: Form) {
    let mut at = 0;
    while at < len {
        let bytes = content(direction, at, message.min(len - at));
        at += bytes.len();
        match form {
            Form::Copied => stream.write_all(&bytes).await.unwrap(),
            Form::Owned => drop(stream.send_all(bytes).await.unwrap()),
            Form::Chunks => {
                let parts = bytes.chunks(bytes.len().div_ceil(3)).map(<[u8]>::to_vec).collect();
                drop(stream.send_all_vectored(parts).await.unwrap());
            }
        }
    }
    stream.shutdown().await.unwrap();
}

async fn read(stream: &TcpStream, direction: usize, len: usize, message: usize, form: Form) {
    let mut at = 0;
    let mut owned = Vec::with_capacity(message);
    let mut copied = vec![0; message];
    loop {
        let count = match form {
            Form::Copied => {
                let count = stream.read(&mut copied).await.unwrap();
                assert_content(direction, at, &copied[..count]);
                count
            }
            Form::Owned => {
                let (count, back) = stream.read_owned(owned).await.unwrap();
                assert_content(direction, at, &back);
                owned = back;
                count
            }
            Form::Chunks => {
                let chunk = stream.recv().await.unwrap();
                chunk.map_or(0, |chunk| {
                    assert_content(direction, at, &chunk);
                    chunk.len()
                })
            }
        };
        if count == 0 {
            break;
        }
        at += count;
    }
    assert_eq!(at, len);
}

/// Both ends write and read at the same time, `len` bytes in each direction.
async fn exchange(len: usize, message: usize, form: Form) {
    let (one, other) = stream_pair();
    let mut tasks = Vec::new();
    for (direction, stream) in [one, other].into_iter().enumerate() {
        let stream = std::rc::Rc::new(stream);
        let writer = std::rc::Rc::clone(&stream);
        tasks.push(annulus::spawn(async move {
            write(&writer, direction, len, message, form).await;
        }));
        tasks.push(annulus::spawn(async move {
            read(&stream, 1 - direction, len, message, form).await;
        }));
    }
    joined(tasks).await;
}

fn exchanges(builder: fn() -> Builder, form: Form) {
    let sizes = [(1, 3000), (7, 20_000), (100, 200_000), (4096, 1 << 20), (4097, 500_000)];
    for (message, len) in sizes.into_iter().chain([(65_537, 2 << 20), (1 << 20, 4 << 20)]) {
        run_with(builder(), async || exchange(len, message, form).await);
    }
}

#[test]
fn copies_arrive_whole() {
    exchanges(Builder::new, Form::Copied);
}

#[test]
fn owned_buffers_arrive_whole() {
    exchanges(Builder::new, Form::Owned);
}

#[test]
fn several_buffers_and_chunks_arrive_whole() {
    exchanges(Builder::new, Form::Chunks);
}

#[test]
fn one_shot_receives_bring_the_same() {
    let builder = || Builder::new().disable(Feature::MultishotReceive);
    exchanges(builder, Form::Copied);
}

#[test]
fn a_pool_of_few_small_buffers_brings_the_same() {
    let builder = || Builder::new().small_buffers(64, 4).large_buffers(100, 2).stream_share(2);
    exchanges(builder, Form::Chunks);
}

#[test]
fn every_feature_forced_off_brings_the_same() {
    for feature in Feature::ALL {
        let builder = Builder::new().disable(feature);
        run_with(builder, async || exchange(1 << 20, 10_000, Form::Chunks).await);
    }
    let none = Feature::ALL.into_iter().fold(Builder::new(), Builder::disable);
    run_with(none, async || exchange(1 << 20, 10_000, Form::Owned).await);
}
