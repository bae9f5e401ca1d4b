//! What listeners of signals are told, each test in a process of its own.
//!
//! # Safety rules
//!
//! 1. A signal is sent to this process or thread only, and has a handler, or the process is to end of it.
//! 2. Structures passed to the kernel are locals that live across the call.
//! 3. A handler of the test's own adds to an atomic and does nothing else.
#![allow(unsafe_code, reason = "signals are sent and handled by system calls")]

use std::io::ErrorKind;
use std::mem::MaybeUninit;
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use annulus::signal::{Signal, SignalKind, ctrl_c, signal, termination};
use annulus::time::timeout;
use annulus::{Builder, Runtime, spawn};

use crate::support::child::{assert_passed, describe, in_child, run_alone};
use crate::support::settled::{
    PATIENCE, joined, poll_and_drop, poll_flagged, select, settle, turn, until,
};

/// Sends the process a signal, which whichever thread the kernel picks handles.
pub(crate) fn send(kind: SignalKind) {
    // SAFETY: rule 1.
    assert_eq!(unsafe { libc::kill(libc::getpid(), kind.as_raw_value()) }, 0);
}

/// Sends this thread a signal, which it has handled when this returns.
pub(crate) fn raise(kind: SignalKind) {
    // SAFETY: rule 1.
    assert_eq!(unsafe { libc::raise(kind.as_raw_value()) }, 0);
}

/// Installs an action, as a library of someone else would.
pub(crate) fn install(kind: SignalKind, handler: usize, flags: libc::c_int) {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: rules 2 and 3; all zeroes is an empty mask and no flag.
    let result = unsafe {
        action.assume_init_mut().sa_sigaction = handler;
        action.assume_init_mut().sa_flags = flags;
        libc::sigaction(kind.as_raw_value(), action.as_ptr(), std::ptr::null_mut())
    };
    assert_eq!(result, 0);
}

const KINDS: [SignalKind; 8] = [
    SignalKind::hangup(),
    SignalKind::interrupt(),
    SignalKind::terminate(),
    SignalKind::user_defined1(),
    SignalKind::user_defined2(),
    SignalKind::window_change(),
    SignalKind::child(),
    SignalKind::pipe(),
];

#[test]
fn each_kind_is_told_to_its_listeners_alone() {
    let child = in_child!(|| run_alone(Builder::new(), async || {
        let mut listeners: Vec<[Signal; 2]> =
            KINDS.iter().map(|kind| [signal(*kind).unwrap(), signal(*kind).unwrap()]).collect();
        for (nth, kind) in KINDS.into_iter().enumerate() {
            send(kind);
            for listener in &mut listeners[nth] {
                assert_eq!(listener.recv().await, Some(()));
            }
            turn().await;
            for listener in listeners.iter_mut().flatten() {
                assert_eq!(poll_and_drop(listener.recv()).await, None);
            }
        }
    }));
    child.iter().for_each(assert_passed);
}

#[test]
fn listeners_on_many_runtimes_are_all_told() {
    const RUNTIMES: usize = 5;
    let child = in_child!(|| {
        let (ready, is_ready) = mpsc::channel();
        let threads: Vec<_> = (0..RUNTIMES)
            .map(|_| {
                let ready = ready.clone();
                std::thread::spawn(move || {
                    let runtime = Runtime::new().unwrap();
                    runtime.block_on(async {
                        let mut listener = signal(SignalKind::terminate()).unwrap();
                        for _ in 0..20 {
                            ready.send(()).unwrap();
                            assert_eq!(listener.recv().await, Some(()));
                        }
                    });
                })
            })
            .collect();
        for _ in 0..20 {
            for _ in 0..RUNTIMES {
                is_ready.recv_timeout(PATIENCE).unwrap();
            }
            send(SignalKind::terminate());
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
    child.iter().for_each(assert_passed);
}

#[test]
fn a_dropped_recv_loses_nothing() {
    let child = in_child!(|| run_alone(Builder::new(), async || {
        let kind = SignalKind::user_defined1();
        let mut listener = signal(kind).unwrap();
        for round in 0..300 {
            let mut is_told = false;
            if round % 3 == 0 {
                raise(kind);
            }
            is_told |= poll_and_drop(listener.recv()).await.is_some();
            if round % 3 == 1 {
                raise(kind);
            }
            turn().await;
            is_told |= timeout(Duration::from_micros(round), listener.recv()).await.is_ok();
            if round % 3 == 2 {
                raise(kind);
            }
            if !is_told {
                assert_eq!(listener.recv().await, Some(()), "round {round}");
            }
        }
    }));
    child.iter().for_each(assert_passed);
}

/// Where and by what a listener that was polled, or its future, ends.
#[test]
fn a_listener_may_end_anywhere() {
    let child = in_child!(|| {
        let kind = SignalKind::user_defined1();
        for case in 0..18 {
            let (is_told, turns, cause) = (case % 2 == 0, case / 2 % 3, case / 6);
            let runtime = Runtime::new().unwrap();
            let kept = std::rc::Rc::new(std::cell::RefCell::new(None));
            let dropped = catch_unwind(AssertUnwindSafe(|| {
                runtime.block_on(async {
                    let mut listener = Box::pin(async move { signal(kind).unwrap().recv().await });
                    assert!(poll_flagged(&mut listener).0.is_pending());
                    for _ in 0..turns {
                        turn().await;
                    }
                    if is_told {
                        raise(kind);
                    }
                    match cause {
                        0 => drop(listener),
                        1 => drop(spawn(listener)),
                        _ if turns == 0 => _ = kept.replace(Some(listener)),
                        _ => resume_unwind(Box::new("unwinding")),
                    }
                });
            }));
            assert_eq!(dropped.is_err(), cause == 2 && turns > 0);
            if cause == 0 {
                settle(&runtime);
            }
            assert_eq!(runtime.shutdown(PATIENCE), Ok(()), "case {case}");
            drop(kept.take());
        }
    });
    child.iter().for_each(assert_passed);
}

#[test]
fn what_cannot_be_handled_is_refused() {
    let child = in_child!(|| run_alone(Builder::new(), async || {
        let fatal = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE];
        let refused = [libc::SIGKILL, libc::SIGSTOP, 0, -1, 32, 65, 1000, i32::MAX, i32::MIN];
        for number in fatal.into_iter().chain(refused) {
            let error = signal(SignalKind::from_raw(number)).expect_err("no such listener");
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{number}");
            assert!(error.to_string().contains(&number.to_string()), "{error}");
        }
        let realtime = SignalKind::from_raw(libc::SIGRTMAX());
        let mut listener = signal(realtime).expect("the highest of all");
        raise(realtime);
        assert_eq!(listener.recv().await, Some(()));
    }));
    child.iter().for_each(assert_passed);
}

/// How often each of the handlers of before was called.
static PLAIN: AtomicUsize = AtomicUsize::new(0);
static WITH_INFO: AtomicUsize = AtomicUsize::new(0);

extern "C" fn plain(signal: libc::c_int) {
    assert_eq!(signal, libc::SIGUSR1);
    PLAIN.fetch_add(1, Ordering::SeqCst);
}

extern "C" fn with_info(
    signal: libc::c_int,
    info: *const libc::siginfo_t,
    context: *const libc::c_void,
) {
    // SAFETY: the kernel fills it in for a handler that asks for it.
    assert_eq!((signal, unsafe { (*info).si_signo }), (libc::SIGUSR2, libc::SIGUSR2));
    assert!(!context.is_null());
    WITH_INFO.fetch_add(1, Ordering::SeqCst);
}

#[test]
fn the_handler_of_before_is_called_as_well() {
    let child = in_child!(|| {
        install(SignalKind::user_defined1(), plain as extern "C" fn(_) as usize, 0);
        let handler = with_info as extern "C" fn(_, _, _) as usize;
        install(SignalKind::user_defined2(), handler, libc::SA_SIGINFO);
        install(SignalKind::pipe(), libc::SIG_IGN, 0);
        run_alone(Builder::new(), async || {
            let kinds =
                [SignalKind::user_defined1(), SignalKind::user_defined2(), SignalKind::pipe()];
            for kind in kinds {
                let mut listener = signal(kind).unwrap();
                raise(kind);
                assert_eq!(listener.recv().await, Some(()));
            }
        });
        raise(SignalKind::user_defined1());
        assert_eq!(PLAIN.load(Ordering::SeqCst), 2, "also when nobody listens any more");
        assert_eq!(WITH_INFO.load(Ordering::SeqCst), 1);
    });
    child.iter().for_each(assert_passed);
}

#[test]
fn the_handler_stays_when_the_listeners_are_gone() {
    let child = in_child!(|| {
        run_alone(Builder::new(), async || drop(signal(SignalKind::terminate()).unwrap()));
        raise(SignalKind::terminate());
        run_alone(Builder::new(), async || {
            let mut listener = signal(SignalKind::terminate()).unwrap();
            assert_eq!(poll_and_drop(listener.recv()).await, None, "that was before");
            send(SignalKind::terminate());
            assert_eq!(listener.recv().await, Some(()));
        });
    });
    child.iter().for_each(assert_passed);
}

#[test]
fn what_nobody_listens_to_does_what_it_always_did() {
    let child = in_child!(|| {
        run_alone(Builder::new(), async || drop(signal(SignalKind::hangup()).unwrap()));
        send(SignalKind::terminate());
        std::thread::sleep(PATIENCE);
    });
    if let Some(child) = child {
        assert_eq!(child.status.signal(), Some(libc::SIGTERM), "{}", describe(&child));
    }
}

#[test]
fn ctrl_c_ends_a_wait() {
    let child = in_child!(|| run_alone(Builder::new(), async || {
        let waiting: Vec<_> = (0..3).map(|_| spawn(ctrl_c())).collect();
        turn().await;
        turn().await;
        send(SignalKind::interrupt());
        for result in joined(waiting).await {
            result.expect("the runtime is there");
        }
        assert!(poll_and_drop(ctrl_c()).await.is_none(), "from now on");
    }));
    child.iter().for_each(assert_passed);
}

#[test]
fn a_service_is_asked_to_end_by_two_signals() {
    let child = in_child!(|| run_alone(Builder::new(), async || {
        let mut termination = termination().unwrap();
        assert_eq!(poll_and_drop(termination.recv()).await, None);
        for kind in [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::terminate()] {
            send(kind);
            assert_eq!(termination.recv().await, Some(kind));
        }
        // A dropped wait loses neither.
        assert_eq!(poll_and_drop(termination.recv()).await, None);
        send(SignalKind::interrupt());
        send(SignalKind::terminate());
        let mut told = [termination.recv().await, termination.recv().await];
        told.sort_by_key(|kind| kind.map(|kind| kind.as_raw_value()));
        assert_eq!(told, [Some(SignalKind::interrupt()), Some(SignalKind::terminate())]);
        assert_eq!(poll_and_drop(termination.recv()).await, None);
    }));
    child.iter().for_each(assert_passed);
}

#[test]
fn a_listener_that_is_always_told_lets_others_run() {
    let child = in_child!(|| run_alone(Builder::new(), async || {
        let kind = SignalKind::user_defined1();
        let mut listener = signal(kind).unwrap();
        let hog = async {
            loop {
                raise(kind);
                assert_eq!(listener.recv().await, Some(()));
            }
        };
        let mut turns = 0;
        let others = until(|| {
            turns += 1;
            turns > 3
        });
        _ = select(hog, others).await;
    }));
    child.iter().for_each(assert_passed);
}
