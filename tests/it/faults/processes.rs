//! Children of the process while I/O is under way.
#![allow(unsafe_code, reason = "a fork without an exec")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use annulus::net::TcpListener;

use super::echo_until;
use crate::support::child::inherited_descriptors;
use crate::support::settled::{content, run, stream_pair, turn};

#[test]
fn children_started_while_io_runs_inherit_nothing() {
    run(async || {
        let over = Arc::<AtomicBool>::default();
        let stop = Arc::clone(&over);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepting = Arc::clone(&over);
        let acceptor = annulus::spawn(async move {
            while !accepting.load(Ordering::Relaxed) {
                drop(listener.accept().await.unwrap());
            }
        });
        let children = std::thread::spawn(move || {
            let mut found = Vec::new();
            for _ in 0..30 {
                let client = std::net::TcpStream::connect(address).expect("connect");
                found.extend(inherited_descriptors());
                drop(client);
            }
            stop.store(true, Ordering::Relaxed);
            drop(std::net::TcpStream::connect(address));
            found
        });
        echo_until(|| over.load(Ordering::Relaxed)).await;
        acceptor.await.unwrap();
        assert_eq!(children.join().unwrap(), Vec::<String>::new());
    });
}

#[test]
fn forks_without_an_exec_do_not_disturb_the_core() {
    run(async || {
        let (near, far) = stream_pair();
        let server = annulus::spawn(async move {
            while let Some(chunk) = far.recv().await.unwrap() {
                far.send_all(chunk).await.unwrap();
            }
        });
        for round in 0..50 {
            let message = content(0, round, 1000);
            near.write_all(&message).await.unwrap();
            // SAFETY: the child makes one call, which touches no memory, and is gone.
            let child = unsafe { libc::fork() };
            if child == 0 {
                // SAFETY: as above.
                unsafe { libc::_exit(0) };
            }
            assert!(child > 0, "fork: {}", std::io::Error::last_os_error());
            turn().await;
            let mut status = 0;
            // SAFETY: the status is ours; the child is our own.
            assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
            let mut back = vec![0; 1000];
            near.read_exact(&mut back).await.unwrap();
            assert_eq!(back, message);
        }
        drop(near);
        server.await.unwrap();
    });
}
