//! Pools of registered buffers: what they give, what they refuse, and whom they outlive.
#![allow(unsafe_code, reason = "limits and users are set by system calls")]

use std::io::ErrorKind;

use annulus::Builder;
use annulus::buf::AlignedBuf;
use annulus::fs::{DirectFile, RegisteredPool};

use crate::support::child::{assert_passed, in_child};
use crate::support::files::packet_pipe;
use crate::support::settled::{poll_once, run, run_with, turn};
use crate::support::skip::skip;

#[test]
fn every_buffer_is_its_own_and_goes_back_when_it_is_dropped() {
    run(async || {
        let pool = RegisteredPool::new(5000, 3).unwrap();
        assert_eq!((pool.buffer_size(), pool.available()), (8192, 3));
        let mut bufs: Vec<AlignedBuf> = (0..3).map(|_| pool.get().unwrap()).collect();
        assert!(pool.get().is_none());
        for (nth, buf) in bufs.iter_mut().enumerate() {
            assert_eq!((buf.len(), buf.capacity(), buf.as_ptr().addr() % 4096), (0, 8192, 0));
            buf.resize(8192, nth as u8);
        }
        for (nth, buf) in bufs.iter().enumerate() {
            assert!(buf.iter().all(|byte| *byte == nth as u8));
        }
        bufs.remove(1);
        let again = pool.clone().get().unwrap();
        assert!(again.is_empty(), "what it held before is not shown");
        drop((bufs, again));
        assert_eq!(pool.available(), 3);
    });
}

#[test]
fn a_pool_of_no_bytes_or_too_many_is_refused() {
    run(async || {
        for (size, count) in [(0, 1), (1, 0), (4096, 262_145), (usize::MAX, 1), (1 << 40, u32::MAX)]
        {
            let refused = RegisteredPool::new(size, count).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{refused}");
            assert!(refused.to_string().contains(&format!("{count} registered buffers of {size}")));
        }
    });
}

#[test]
fn only_so_many_pools_have_a_place_and_the_last_buffer_frees_it() {
    run_with(Builder::new().registered_pools(2), async || {
        let first = RegisteredPool::new(4096, 2).unwrap();
        let _second = RegisteredPool::new(4096, 2).unwrap();
        let refused = RegisteredPool::new(4096, 2).unwrap_err();
        assert!(refused.to_string().contains("Builder::registered_pools"), "{refused}");
        let mut buf = first.get().unwrap();
        drop(first);
        assert!(RegisteredPool::new(4096, 2).is_err(), "a buffer is in use");
        buf.resize(4096, 7);
        assert!(buf.iter().all(|byte| *byte == 7));
        drop(buf);
        for _ in 0..10 {
            let third = RegisteredPool::new(4096, 2).unwrap();
            let (file, plain) = reader().await;
            std::io::Write::write_all(&mut &plain, &[9; 4096]).unwrap();
            let (count, buf) = file.read_at(third.get().unwrap(), 0).await.unwrap();
            assert_eq!((count, buf[4095]), (4096, 9));
        }
    });
}

async fn reader() -> (DirectFile, std::fs::File) {
    let (reader, writer) = packet_pipe();
    (DirectFile::from_std(reader).await.unwrap(), writer)
}

#[test]
fn a_pool_outlives_its_runtime_and_its_buffers_serve_another() {
    let pool = run(async || RegisteredPool::new(4096, 2).unwrap());
    let mut buf = pool.get().unwrap();
    buf.extend_from_slice(b"still there");
    run(async || {
        // In this ring the first place is that of other memory.
        let own = RegisteredPool::new(4096, 1).unwrap();
        let (file, plain) = reader().await;
        std::io::Write::write_all(&mut &plain, &[9; 4096]).unwrap();
        assert_eq!(&*buf, b"still there");
        let (count, buf) = file.read_at(buf, 0).await.unwrap();
        assert_eq!((count, &*buf), (4096, [9; 4096].as_slice()));
        assert_eq!(own.available(), 1);
    });
    assert_eq!(pool.available(), 2);
}

/// What a child of this process sees at the address: true if there is memory.
fn child_has(address: *mut u8) -> bool {
    // SAFETY: the child calls nothing but `mincore` of an address that it may not have, and ends.
    unsafe {
        let child = libc::fork();
        assert!(child >= 0, "a child");
        if child == 0 {
            let mut resident = 0;
            let status = libc::mincore(address.cast(), 4096, &raw mut resident);
            libc::_exit(i32::from(status == 0));
        }
        let mut status = 0;
        assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
        assert!(libc::WIFEXITED(status));
        libc::WEXITSTATUS(status) == 1
    }
}

#[test]
fn a_child_has_no_part_in_memory_that_the_kernel_may_write() {
    run(async || {
        let pool = RegisteredPool::new(4096, 1).unwrap();
        let (file, plain) = reader().await;
        let mut buf = pool.get().unwrap();
        buf.resize(4096, 1);
        let mut own = Box::new([0_u8; 8192]);
        assert!(child_has(own.as_mut_ptr().map_addr(|address| address.next_multiple_of(4096))));
        let address = buf.as_mut_ptr();
        let mut read = Box::pin(file.read_at(buf, 0));
        assert!(poll_once(&mut read).await.is_pending());
        turn().await;
        // Under way: were the pages shared, the answer could go to a copy.
        assert!(!child_has(address), "the child shares them");
        std::io::Write::write_all(&mut &plain, &[9; 4096]).unwrap();
        let (count, buf) = read.await.unwrap();
        assert_eq!((count, &*buf), (4096, [9; 4096].as_slice()));
    });
}

#[test]
fn too_little_lockable_memory_is_named_with_what_is_needed() {
    /// A user whom nobody else here is, so that the rings of others do not count.
    const USER: libc::uid_t = 54_322;
    // SAFETY: a plain question.
    if unsafe { libc::getuid() } != 0 {
        skip!("becoming another user needs root");
    }
    let Some(output) = in_child!(|| {
        let limit = libc::rlimit { rlim_cur: 1 << 20, rlim_max: 1 << 20 };
        // SAFETY: no memory is passed but the limit; the user changes for the whole child. What the guard lists would
        // be hidden from the new user without the last call.
        unsafe {
            assert_eq!(libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit), 0);
            assert_eq!(libc::setuid(USER), 0);
            assert_eq!(libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0), 0);
        }
        run_with(Builder::new().ring_entries(8, 32), async || {
            let small = RegisteredPool::new(4096, 16).unwrap();
            let refused = RegisteredPool::new(65_536, 64).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::OutOfMemory);
            let text = refused.to_string();
            for part in ["4194304 bytes", "1048576 bytes", "ulimit -l", "LimitMEMLOCK"] {
                assert!(text.contains(part), "{part} is not in: {text}");
            }
            assert_eq!(small.available(), 16);
            assert!(RegisteredPool::new(4096, 16).is_ok(), "the refused one left its place");
        });
    }) else {
        return;
    };
    assert_passed(&output);
}
