//! Interruptions and refusals of the one call that the loop makes, at a high rate while I/O of every kind runs.
//!
//! # Safety rules
//!
//! 1. The signal has a handler that does nothing, and nobody else here uses it.
//! 2. Structures passed to the kernel are locals that live across the call, zeroed where it asks for that.
//! 3. A thread that is signalled has joined the thread that signals it before it ends.
#![allow(unsafe_code, reason = "signals and filters are made by system calls")]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use annulus::Builder;
use annulus::fs::File;
use annulus::net::{TcpListener, TcpStream};
use annulus::time::sleep;

use crate::support::files::nameless_file;
use crate::support::settled::{PATIENCE, content, run_with, stream_pair};
use crate::support::skip::skip;

/// One of everything: a message there and back, a write and a read of a file, a connection, a sleep.
async fn some_of_all(round: usize, file: &File, streams: &(TcpStream, TcpStream)) {
    let message = content(0, round * 100, 100);
    streams.0.write_all(&message).await.unwrap();
    let mut back = vec![0; 100];
    streams.1.read_exact(&mut back).await.unwrap();
    assert_eq!(back, message);

    let (count, _) = file.write_at(message.clone(), round as u64 * 100).await.unwrap();
    assert_eq!(count, 100);
    let (count, read) = file.read_at(vec![0; 100], round as u64 * 100).await.unwrap();
    assert_eq!((count, &read), (100, &message));

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let far = listener.accept_stream().await.unwrap();
    near.write_all(b"hello").await.unwrap();
    far.read_exact(&mut back[..5]).await.unwrap();
    // A reset leaves no port in TIME_WAIT.
    far.abort();

    let start = Instant::now();
    sleep(Duration::from_micros(300)).await;
    assert!(start.elapsed() >= Duration::from_micros(300));
}

async fn work_until(is_over: impl Fn(usize) -> bool) {
    let file = File::from_std(nameless_file());
    let streams = stream_pair();
    let mut round = 0;
    while !is_over(round) {
        some_of_all(round, &file, &streams).await;
        round += 1;
    }
}

/// How often the handler ran.
static HANDLED: AtomicUsize = AtomicUsize::new(0);

extern "C" fn count_it(_signal: libc::c_int) {
    HANDLED.fetch_add(1, Ordering::Relaxed);
}

/// Signals this thread without a pause, from another one, while `work` runs; says how many signals were sent.
fn under_fire(work: impl FnOnce(&AtomicUsize)) -> usize {
    let handler = count_it as extern "C" fn(libc::c_int);
    // SAFETY: rules 1 and 2; the zeroed rest is an empty mask and no SA_RESTART, so calls end with EINTR.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as usize;
        assert_eq!(libc::sigaction(libc::SIGUSR2, &raw const action, std::ptr::null_mut()), 0);
    }
    // SAFETY: a plain question.
    let target = unsafe { libc::pthread_self() };
    let (sent, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                // SAFETY: rule 3.
                unsafe { libc::pthread_kill(target, libc::SIGUSR2) };
                sent.fetch_add(1, Ordering::Relaxed);
                std::thread::yield_now();
            }
        });
        // Also when the work panics, or the scope waits for ever.
        let _stop = StopWhenDropped(&over);
        work(&sent);
    });
    sent.into_inner()
}

struct StopWhenDropped<'a>(&'a AtomicBool);

impl Drop for StopWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_storm_of_signals_is_not_seen() {
    const SIGNALS: usize = 2000;
    let before = HANDLED.load(Ordering::Relaxed);
    let sent = under_fire(|sent| {
        run_with(Builder::new(), async || {
            work_until(|round| round >= 100 && sent.load(Ordering::Relaxed) >= SIGNALS).await;
        });
    });
    let handled = HANDLED.load(Ordering::Relaxed) - before;
    assert!(handled > 0 && handled <= sent, "{handled} of {sent}");
}

/// Has each `io_uring_enter` of this thread asked for at the descriptor that is returned.
fn ask_for_enter() -> io::Result<OwnedFd> {
    let statement = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let mut filter = [
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        statement(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            0,
            1,
            libc::SYS_io_uring_enter as u32,
        ),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_USER_NOTIF),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: rule 2; the program names the four statements above, and the kernel copies them.
    let fd = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        let (mode, flags) = (libc::SECCOMP_SET_MODE_FILTER, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER);
        libc::syscall(libc::SYS_seccomp, mode, flags, &raw const program)
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just gave us this descriptor and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// What the third call and each seventh after it is refused with, in turn.
const REFUSALS: [i32; 4] = [libc::EINTR, libc::EAGAIN, libc::EBUSY, libc::ENOMEM];

/// Answers for the kernel until the asking thread has ended; says how many calls it refused.
fn answer(asked: Receiver<OwnedFd>, refused: &AtomicUsize) {
    let Ok(listener) = asked.recv() else { return };
    for call in 0.. {
        let mut event = libc::pollfd { fd: listener.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: rule 2. Before Linux 6.11 the call below would wait on when nobody is left to ask.
        while unsafe { libc::poll(&raw mut event, 1, -1) } < 0 {}
        if event.revents & libc::POLLIN == 0 {
            return;
        }
        // SAFETY: rule 2.
        let mut question: libc::seccomp_notif = unsafe { std::mem::zeroed() };
        let request = libc::SECCOMP_IOCTL_NOTIF_RECV;
        // SAFETY: rule 2. It fails where who asked was interrupted meanwhile, and asks again.
        if unsafe { libc::ioctl(listener.as_raw_fd(), request, &raw mut question) } != 0 {
            continue;
        }
        let is_refused = call >= 3 && (call - 3) % 7 == 0;
        let mut reply = libc::seccomp_notif_resp { id: question.id, val: 0, error: 0, flags: 0 };
        if is_refused {
            reply.error = -REFUSALS[refused.fetch_add(1, Ordering::Relaxed) % REFUSALS.len()];
        } else {
            reply.flags = libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32;
        }
        // SAFETY: rule 2. The call may have been interrupted meanwhile; it is asked for again.
        unsafe {
            libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, &raw const reply)
        };
    }
}

#[test]
fn a_call_that_is_refused_for_a_moment_is_made_again() {
    let refused = Arc::new(AtomicUsize::new(0));
    let (give, asked) = mpsc::channel();
    let count = Arc::clone(&refused);
    // Started before the filter, which holds for the threads that come after it.
    let answers = std::thread::spawn(move || answer(asked, &count));
    let count = Arc::clone(&refused);
    let worker = std::thread::spawn(move || {
        give.send(ask_for_enter()?).expect("it waits");
        run_with(Builder::new(), async || {
            let start = Instant::now();
            work_until(|_| count.load(Ordering::Relaxed) >= 200 || start.elapsed() > PATIENCE)
                .await;
        });
        io::Result::Ok(())
    });
    if let Err(error) = worker.join().expect("nothing of it is seen") {
        skip!("no filters that ask: {error}");
    }
    answers.join().expect("no panic");
    assert!(refused.load(Ordering::Relaxed) >= 200, "{refused:?}");
}
