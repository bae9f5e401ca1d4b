//! READ of a pipe into buffers of the pool, armed once for many messages and once for each.

use std::fs::File;
use std::io::{PipeWriter, Write};
use std::os::fd::OwnedFd;

use annulus::Builder;
use annulus::io::pipe::Receiver;
use annulus::runtime::{Feature, metrics};
use socket2::SockRef;

use crate::support::settled::{
    assert_content, content, is_switched_off, poll_and_drop, run_with, turn, until,
};
use crate::support::skip::skip;

fn both_forms() -> [Builder; 2] {
    [Builder::new(), Builder::new().disable(Feature::MultishotRead)]
}

/// A pipe that is read by us and written by std.
fn pipe() -> (Receiver, PipeWriter) {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    (Receiver::from_owned_fd(reader.into()).expect("a pipe"), writer)
}

/// As [`pipe`], with an end that does not block, as somebody else may have left it.
fn pipe_that_does_not_block() -> (Receiver, PipeWriter) {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    SockRef::from(&reader).set_nonblocking(true).expect("a descriptor");
    (Receiver::from_owned_fd(reader.into()).expect("a pipe"), writer)
}

#[test]
fn messages_come_in_order_each_in_a_buffer_of_the_pool() {
    for builder in both_forms() {
        for make in [pipe, pipe_that_does_not_block] {
            run_with(builder_like(&builder), async || {
                let (near, mut far) = make();
                for round in 0..100 {
                    far.write_all(&content(0, round * 10, 10)).unwrap();
                    let chunk = near.recv().await.unwrap().expect("the pipe is open");
                    assert!(chunk.is_pooled());
                    assert_eq!(chunk.len(), 10);
                    assert_content(0, round * 10, &chunk);
                }
                assert_eq!(metrics().lent_buffers, 0);
                drop(far);
                assert!(near.recv().await.unwrap().is_none());
                assert!(near.recv().await.unwrap().is_none(), "it stays at its end");
            });
        }
    }
}

/// The builder of a form again; it cannot be cloned.
fn builder_like(builder: &Builder) -> Builder {
    match format!("{builder:?}").contains("multishot_read: false") {
        true => Builder::new().disable(Feature::MultishotRead),
        false => Builder::new(),
    }
}

#[test]
fn a_read_that_waits_is_ended_by_what_comes() {
    for make in [pipe, pipe_that_does_not_block] {
        for builder in both_forms() {
            run_with(builder, async || {
                let (near, mut far) = make();
                for round in 0..20 {
                    let reading = async { near.recv().await.unwrap().expect("the pipe is open") };
                    let writing = async {
                        turn().await;
                        turn().await;
                        far.write_all(&content(0, round, 1)).unwrap();
                    };
                    let (chunk, ()) = annulus::join!(reading, writing);
                    assert_content(0, round, &chunk);
                }
            });
        }
    }
}

#[test]
fn one_read_is_enough_for_many_messages() {
    if is_switched_off(Feature::MultishotRead) {
        skip!("the feature is switched off");
    }
    run_with(Builder::new(), async || {
        let (near, mut far) = pipe();
        assert!(poll_and_drop(near.recv()).await.is_none());
        turn().await;
        let armed = metrics().live_operations;
        for round in 0..50 {
            far.write_all(&content(0, round, 1)).unwrap();
            assert_content(0, round, &near.recv().await.unwrap().expect("the pipe is open"));
            if metrics().live_operations < armed {
                skip!("this kernel reads once at a time");
            }
        }
    });
}

#[test]
fn an_idle_pipe_holds_no_buffer() {
    for builder in both_forms() {
        run_with(builder, async || {
            let mut pipes: Vec<_> = (0..100).map(|_| pipe()).collect();
            for (near, far) in &mut pipes {
                far.write_all(b"x").unwrap();
                drop(near.recv().await.unwrap());
                assert!(poll_and_drop(near.recv()).await.is_none());
            }
            turn().await;
            assert_eq!(metrics().lent_buffers, 0);
        });
    }
}

#[test]
fn undelivered_bytes_are_bounded_and_none_is_lost() {
    for builder in both_forms() {
        run_with(builder.undelivered_max(64 * 1024), async || {
            const LEN: usize = 4 << 20;
            let (near, mut far) = pipe();
            let writer = std::thread::spawn(move || far.write_all(&content(0, 0, LEN)).unwrap());
            let first = near.recv().await.unwrap().expect("the pipe is open");
            assert_content(0, 0, &first);
            let mut at = first.len();
            let mut steps = 0;
            until(|| {
                steps += 1;
                steps == 100
            })
            .await;
            assert!(!writer.is_finished(), "4 MiB went into buffers that nobody reads");
            while let Some(chunk) = near.recv().await.unwrap() {
                assert_content(0, at, &chunk);
                at += chunk.len();
            }
            assert_eq!(at, LEN);
            writer.join().unwrap();
        });
    }
}

#[test]
fn what_is_no_pipe_is_refused() {
    run_with(Builder::new(), async || {
        let null = OwnedFd::from(File::open("/dev/null").unwrap());
        let error = Receiver::from_owned_fd(null).expect_err("no pipe");
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    });
}
