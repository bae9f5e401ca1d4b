//! `AsyncFd` around what the ring has no type for: readiness, its clearing, and many that wait.
//!
//! # Safety rules
//!
//! 1. Calls get descriptors that are open; what they return is checked.
#![allow(unsafe_code, reason = "an eventfd is made by a system call")]

use std::cell::Cell;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{BorrowedFd, FromRawFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use annulus::io::{AsyncFd, Interest, Ready};
use annulus::spawn;
use annulus::time::timeout;
use inotify::{Inotify, WatchMask};

use crate::support::settled::{
    content, joined, poll_and_drop, poll_flagged, rounds, run, select, turn, until,
};

fn pair() -> (AsyncFd<UnixStream>, UnixStream) {
    let (near, far) = UnixStream::pair().expect("a pair");
    near.set_nonblocking(true).expect("a socket");
    far.set_nonblocking(true).expect("a socket");
    (AsyncFd::new(near).expect("a runtime"), far)
}

/// A counter that writes add to and a read takes.
fn eventfd() -> File {
    // SAFETY: rule 1.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
    assert!(fd >= 0, "{}", io::Error::last_os_error());
    // SAFETY: it was just made, and nobody else has it.
    unsafe { File::from_raw_fd(fd) }
}

async fn take(counter: &AsyncFd<File>) -> u64 {
    let mut bytes = [0; 8];
    counter
        .async_io(Interest::READABLE, |mut file| file.read_exact(&mut bytes))
        .await
        .expect("a counter");
    u64::from_ne_bytes(bytes)
}

#[test]
fn an_eventfd_is_awaited() {
    run(async || {
        let counter = AsyncFd::with_interest(eventfd(), Interest::READABLE).unwrap();
        let add = |number: u64| counter.get_ref().write_all(&number.to_ne_bytes()).unwrap();
        assert!(timeout(Duration::from_millis(1), take(&counter)).await.is_err());
        add(3);
        add(4);
        assert_eq!(take(&counter).await, 7);
        let twin = counter.get_ref().try_clone().unwrap();
        let ringer = std::thread::spawn(move || {
            for _ in 0..100 {
                (&twin).write_all(&1u64.to_ne_bytes()).unwrap();
                std::thread::sleep(Duration::from_micros(50));
            }
        });
        let mut sum = 0;
        while sum < 100 {
            sum += take(&counter).await;
        }
        assert_eq!(sum, 100);
        ringer.join().unwrap();
    });
}

#[test]
fn inotify_is_awaited() {
    run(async || {
        let path = std::env::temp_dir().join(format!("annulus-inotify-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        let inotify = Inotify::init().unwrap();
        inotify.watches().add(&path, WatchMask::CREATE | WatchMask::DELETE).unwrap();
        let mut inotify = AsyncFd::new(inotify).unwrap();
        let mut names = Vec::new();
        for name in ["one", "two"] {
            File::create(path.join(name)).unwrap();
            let mut buf = [0; 1024];
            let mut guard = inotify.readable_mut().await.unwrap();
            let events = guard.try_io(|fd| fd.get_mut().read_events(&mut buf));
            names.extend(events.unwrap().unwrap().map(|event| event.name.map(OsStr::to_owned)));
        }
        assert_eq!(names, ["one", "two"].map(|name| Some(OsStr::new(name).to_owned())));
        assert!(poll_and_drop(inotify.readable()).await.is_none());
        drop(inotify);
        std::fs::remove_dir_all(&path).unwrap();
    });
}

#[test]
fn bytes_go_through_in_both_directions() {
    run(async || {
        const LEN: usize = 1 << 20;
        let (near, far) = pair();
        let far = AsyncFd::new(far).unwrap();
        let sending = spawn(async move {
            let bytes = content(0, 0, LEN);
            let mut sent = 0;
            while sent < LEN {
                sent += near
                    .async_io(Interest::WRITABLE, |mut socket| socket.write(&bytes[sent..]))
                    .await
                    .unwrap();
            }
        });
        let mut bytes = Vec::new();
        loop {
            let mut buf = [0; 10_000];
            let mut guard = far.readable().await.unwrap();
            match guard.try_io(|far| far.get_ref().read(&mut buf)) {
                Ok(Ok(0)) => break,
                Ok(count) => bytes.extend_from_slice(&buf[..count.unwrap()]),
                Err(_) => assert!(guard.ready().is_empty()),
            }
        }
        assert_eq!(bytes, content(0, 0, LEN));
        sending.await.unwrap();
    });
}

#[test]
fn dropped_waits_lose_no_wake_up() {
    run(async || {
        let (near, far) = pair();
        let count = rounds(2000, 100_000);
        let near = Rc::new(near);
        let taken = Rc::new(Cell::new(0));
        let readers = (0..4)
            .map(|nth| {
                let (near, taken) = (Rc::clone(&near), Rc::clone(&taken));
                spawn(async move {
                    let mut round = nth;
                    while taken.get() < count {
                        round += 1;
                        if round % 3 == 0 {
                            _ = select(near.readable(), turn()).await;
                            continue;
                        }
                        let wait = timeout(Duration::from_millis(5), near.readable());
                        let Ok(guard) = wait.await else { continue };
                        let mut byte = [0];
                        match guard.unwrap().try_io(|near| near.get_ref().read(&mut byte)) {
                            Ok(read) => taken.set(taken.get() + read.unwrap()),
                            Err(error) => assert!(error.to_string().contains("blocked")),
                        }
                    }
                })
            })
            .collect();
        let mut sent = 0;
        while sent < count {
            sent += (&far).write(&vec![0; (count - sent).min(7)]).unwrap_or(0);
            turn().await;
        }
        joined(readers).await;
        assert_eq!(taken.get(), count);
    });
}

#[test]
fn what_was_found_says_what_it_is() {
    run(async || {
        let (near, far) = pair();
        let ready = near.writable().await.unwrap().ready();
        assert!(ready.is_writable() && !ready.is_readable() && !ready.is_write_closed());
        assert_eq!(format!("{ready:?}"), "WRITABLE");
        assert_eq!(format!("{:?}", Ready::EMPTY), "EMPTY");
        far.shutdown(std::net::Shutdown::Write).unwrap();
        let ready = near.readable().await.unwrap().ready();
        assert!(ready.is_readable() && ready.is_read_closed() && !ready.is_write_closed());
        drop(far);
        near.writable().await.unwrap().clear_ready();
        let ready = near.writable().await.unwrap().ready();
        assert!(ready.is_writable() && ready.is_write_closed());
        let both = near.ready(Interest::READABLE | Interest::WRITABLE).await.unwrap().ready();
        assert!(both.is_read_closed() && both.is_writable());
    });
}

#[test]
fn a_closure_that_would_block_clears_what_was_known() {
    run(async || {
        let (near, far) = pair();
        let read = |near: &UnixStream| (&mut &*near).read(&mut [0]);
        let error = near.try_io(Interest::READABLE, read).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock, "nothing is known");
        (&far).write_all(b"x").unwrap();
        near.readable().await.unwrap().retain_ready();
        assert_eq!(near.try_io(Interest::READABLE, read).unwrap(), 1);
        assert!(poll_and_drop(near.readable()).await.is_some(), "it counts as ready");
        let error = near.try_io(Interest::READABLE, read).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        assert!(poll_and_drop(near.readable()).await.is_none());
    });
}

#[test]
fn a_poll_by_hand_wakes_the_last_task() {
    run(async || {
        let (near, far) = pair();
        let polling = || std::future::poll_fn(|cx| near.poll_read_ready(cx).map(|_| ()));
        let (mut first, mut second) = (polling(), polling());
        let (poll, first_flag) = poll_flagged(&mut first);
        assert!(poll.is_pending());
        let (poll, second_flag) = poll_flagged(&mut second);
        assert!(poll.is_pending());
        (&far).write_all(b"x").unwrap();
        until(|| second_flag.is_set()).await;
        assert!(!first_flag.is_set());
        std::future::poll_fn(|cx| near.poll_write_ready(cx).map(|_| ())).await;
    });
}

#[test]
fn a_file_is_always_ready_and_a_bare_number_may_be_borrowed() {
    run(async || {
        let file = File::open("/proc/self/stat").unwrap();
        let file = AsyncFd::with_interest(file, Interest::READABLE).unwrap();
        for _ in 0..3 {
            file.readable().await.unwrap().clear_ready();
        }
        // SAFETY: standard input stays open.
        let input = unsafe { BorrowedFd::borrow_raw(0) };
        drop(AsyncFd::new(input).unwrap());
    });
}

#[test]
#[should_panic(expected = "made to wait for READABLE, not for WRITABLE")]
fn to_wait_for_what_was_not_asked_for_is_a_mistake() {
    run(async || {
        let fd = AsyncFd::with_interest(eventfd(), Interest::READABLE).unwrap();
        _ = fd.writable().await;
    });
}

#[test]
fn a_runtime_that_ended_says_so() {
    let runtime = annulus::Runtime::new().expect("this machine has io_uring");
    let (near, _far) = runtime.block_on(async { pair() });
    let mut wait = Box::pin(near.readable());
    let (poll, flag) = runtime.block_on(async { poll_flagged(&mut wait) });
    assert!(poll.is_pending());
    drop(runtime);
    assert!(flag.is_set());
    let runtime = annulus::Runtime::new().expect("this machine has io_uring");
    runtime.block_on(async {
        assert!(wait.await.unwrap_err().to_string().contains("shut down"));
    });
}
