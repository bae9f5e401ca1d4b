//! One reader and one writer at a time: the second is refused, nothing is lost, and the forgotten hold nothing.

use std::io::ErrorKind;
use std::mem::ManuallyDrop;
use std::rc::Rc;

use crate::support::settled::{
    Flag, content, joined, narrow_pair, pair, poll_and_drop, poll_flagged, poll_once, read_len,
    read_to_end, run, turn, until, write_now,
};

#[test]
fn a_second_reader_is_refused_and_the_first_gets_everything() {
    run(async || {
        let (near, far) = pair();
        let near = Rc::new(near);
        let first = Rc::clone(&near);
        let reader = annulus::spawn(async move {
            let mut buf = [0; 10];
            first.read_exact(&mut buf).await.unwrap();
            buf
        });
        turn().await;
        for _ in 0..5 {
            let error = near.read(&mut [0; 4]).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ResourceBusy);
            // The refusal makes room for whoever comes next; let the first take its place again.
            turn().await;
            turn().await;
        }
        write_now(&far, b"0123456789");
        assert_eq!(&reader.await.unwrap(), b"0123456789");
    });
}

#[test]
fn readers_that_quarrel_lose_no_byte() {
    run(async || {
        const LEN: usize = 200_000;
        let (near, far) = pair();
        let near = Rc::new(near);
        let mut readers = Vec::new();
        for _ in 0..3 {
            let near = Rc::clone(&near);
            readers.push(annulus::spawn(async move {
                let mut bytes = 0;
                loop {
                    match near.recv().await {
                        Ok(Some(chunk)) => bytes += chunk.len(),
                        Ok(None) => return bytes,
                        Err(error) => {
                            assert_eq!(error.kind(), ErrorKind::ResourceBusy);
                            turn().await;
                        }
                    }
                }
            }));
        }
        let writer = std::thread::spawn(move || {
            far.set_nonblocking(false).unwrap();
            for part in content(0, 0, LEN).chunks(777) {
                write_now(&far, part);
            }
        });
        assert_eq!(joined(readers).await.iter().sum::<usize>(), LEN);
        writer.join().unwrap();
    });
}

#[test]
fn a_second_writer_is_refused_and_the_first_sends_everything() {
    run(async || {
        let (near, far) = narrow_pair();
        let near = Rc::new(near);
        let all = content(0, 0, 2 << 20);
        let (first, bytes) = (Rc::clone(&near), all.clone());
        let writer = annulus::spawn(async move { first.send_all(bytes).await.is_ok() });
        turn().await;
        turn().await;
        let error = near.write(b"x").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ResourceBusy);
        let failed = near.send_all(b"mine".to_vec()).await.unwrap_err();
        assert_eq!((failed.error.kind(), failed.buf), (ErrorKind::ResourceBusy, b"mine".to_vec()));
        let failed = near.send_all_vectored(vec!["mine"]).await.unwrap_err();
        assert_eq!((failed.error.kind(), failed.buf), (ErrorKind::ResourceBusy, vec!["mine"]));
        assert_eq!(near.shutdown().await.unwrap_err().kind(), ErrorKind::ResourceBusy);
        assert!(read_len(&far, all.len()).await == all);
        assert!(writer.await.unwrap());
        near.write_all(b"x").await.unwrap();
        assert_eq!(read_len(&far, 1).await, b"x");
    });
}

#[test]
fn one_task_reads_while_another_writes() {
    run(async || {
        let (near, far) = narrow_pair();
        let near = Rc::new(near);
        let writing = Rc::clone(&near);
        let all = content(0, 0, 1 << 20);
        let bytes = all.clone();
        let writer = annulus::spawn(async move { writing.send_all(bytes).await.is_ok() });
        turn().await;
        write_now(&far, b"meanwhile");
        assert_eq!(&*near.recv().await.unwrap().unwrap(), b"meanwhile");
        assert!(read_len(&far, all.len()).await == all);
        assert!(writer.await.unwrap());
    });
}

#[test]
fn a_dropped_reader_makes_room_at_once() {
    run(async || {
        let (near, far) = pair();
        let mut read = Box::pin(near.recv());
        let (polled, _flag) = poll_flagged(&mut read);
        assert!(polled.is_pending());
        drop(read);
        write_now(&far, b"x");
        assert_eq!(&*near.recv().await.unwrap().unwrap(), b"x");
    });
}

#[test]
fn a_forgotten_reader_holds_nothing() {
    run(async || {
        let (near, far) = pair();
        let mut read = ManuallyDrop::new(Box::pin(near.recv()));
        let (polled, flag) = poll_flagged(&mut *read);
        assert!(polled.is_pending());
        // It may cost one refusal, which wakes the forgotten one in vain.
        if let Some(refused) = poll_and_drop(near.recv()).await {
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::ResourceBusy);
            assert!(flag.is_set());
        }
        write_now(&far, b"x");
        assert_eq!(&*near.recv().await.unwrap().unwrap(), b"x");
        // It was forgotten so that no destructor helped; its memory is not what is tested.
        drop(ManuallyDrop::into_inner(read));
    });
}

#[test]
fn a_forgotten_writer_delays_nobody_when_the_kernel_is_done() {
    run(async || {
        let (near, far) = pair();
        let mut write = ManuallyDrop::new(Box::pin(near.write_all(b"forgotten")));
        let (polled, flag) = poll_flagged(&mut *write);
        assert!(polled.is_pending());
        until(|| flag.is_set()).await;
        near.write_all(b" and next").await.unwrap();
        assert_eq!(read_len(&far, 18).await, b"forgotten and next");
        drop(ManuallyDrop::into_inner(write));
    });
}

#[test]
fn a_dropped_write_goes_out_before_the_next() {
    run(async || {
        let (near, far) = narrow_pair();
        let mut first = Box::pin(near.send_all(content(0, 0, 1 << 20)));
        assert!(poll_once(&mut first).await.is_pending());
        turn().await;
        drop(first);
        let sender = annulus::spawn(async move {
            near.send_all(content(0, 1 << 20, 100_000)).await.unwrap();
            near.shutdown().await.unwrap();
            near
        });
        let bytes = read_to_end(&far).await.unwrap();
        assert!(bytes == content(0, 0, (1 << 20) + 100_000), "{} bytes", bytes.len());
        drop(sender.await.unwrap());
    });
}

#[test]
fn two_reads_of_one_task_lose_nothing() {
    run(async || {
        let (near, far) = pair();
        let (mut one, mut two) = (Box::pin(near.recv()), Box::pin(near.recv()));
        let (_flag, _waker) = Flag::new();
        assert!(poll_once(&mut one).await.is_pending());
        assert!(poll_once(&mut two).await.is_pending());
        write_now(&far, b"a");
        let first = one.await.unwrap().unwrap();
        write_now(&far, b"b");
        let second = two.await.unwrap().unwrap();
        assert_eq!((&*first, &*second), (b"a".as_slice(), b"b".as_slice()));
    });
}
