//! Timers at the ends of time, in crowds, and under another clock than the kernel's own.
#![allow(unsafe_code, reason = "a time namespace is made by a system call")]

use std::future::pending;
use std::io;
use std::pin::pin;
use std::process::{Command, Stdio};
use std::task::Poll;
use std::time::{Duration, Instant};

use annulus::Builder;
use annulus::runtime::metrics;
use annulus::time::{self, sleep, sleep_until, timeout};

use crate::support::child::{assert_passed, in_child};
use crate::support::settled::{PATIENCE, poll_once, run, run_with, turn};
use crate::support::skip::skip;

#[test]
fn no_time_and_time_that_has_passed_are_over_at_once() {
    run(async || {
        let start = time::Instant::now();
        turn().await;
        for over in [sleep(Duration::ZERO), sleep_until(start), timeout_of_nothing()] {
            assert_eq!(poll_once(&mut pin!(over)).await, Poll::Ready(()));
        }
        let late = timeout(Duration::ZERO, pending::<()>()).await;
        assert_eq!(late.unwrap_err().to_string(), "deadline has elapsed");
        assert_eq!(metrics().live_timers, 0);
    });
}

/// The deadline of a timeout that was over before it began.
fn timeout_of_nothing() -> time::Sleep {
    sleep_until(time::Instant::now() - Duration::from_secs(1))
}

#[test]
fn times_that_never_come_keep_nobody_else_waiting() {
    run(async || {
        let far =
            [Duration::MAX, Duration::from_secs(u64::MAX / 10), Duration::from_nanos(u64::MAX)];
        let mut never = far.map(|time| Box::pin(sleep(time)));
        let mut hundred_years = pin!(sleep(Duration::from_secs(100 * 365 * 86_400)));
        let before = metrics().enters;
        for _ in 0..5 {
            for never in &mut never {
                assert_eq!(poll_once(never).await, Poll::Pending);
            }
            assert_eq!(poll_once(&mut hundred_years).await, Poll::Pending);
            let start = Instant::now();
            sleep(Duration::from_millis(5)).await;
            assert!(start.elapsed() >= Duration::from_millis(5), "{:?}", start.elapsed());
        }
        let enters = metrics().enters - before;
        assert!(enters < 60, "{enters} calls for five sleeps");
        assert!(timeout(Duration::from_millis(1), pending::<()>()).await.is_err());
    });
}

/// The process's resident memory in bytes.
fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("statm");
    let pages = statm.split(' ').nth(1).and_then(|word| word.parse::<usize>().ok());
    pages.expect("a number of pages") * 4096
}

#[test]
fn a_crowd_of_cancelled_timers_gives_its_memory_back() {
    const CROWD: u64 = 200_000;
    let Some(output) = in_child!(|| run_with(Builder::new(), async || {
        let mut peaks = Vec::new();
        for _ in 0..10 {
            let hour = Duration::from_secs(3600);
            let hours = |n| Box::pin(sleep(hour + Duration::from_micros(n)));
            let mut sleeps: Vec<_> = (0..CROWD).map(hours).collect();
            for sleep in &mut sleeps {
                assert!(poll_once(sleep).await.is_pending());
            }
            assert_eq!(metrics().live_timers, CROWD as usize);
            peaks.push(resident_bytes());
            drop(sleeps);
            assert_eq!(metrics().live_timers, 0);
        }
        // A crowd takes 11 MB, and the guarding allocator keeps 64 MiB of what was freed.
        assert!(peaks[9] < peaks[7] + (6 << 20), "{peaks:?}");
        sleep(Duration::from_millis(1)).await;
    })) else {
        return;
    };
    assert_passed(&output);
}

const DAYS: &str = "monotonic 86400 0\nboottime 172800 0";

/// Has the processes that this thread starts read a monotonic clock that is a day ahead of the kernel's, and one that
/// also counts suspended time two days, as after a day of suspension.
fn shift_clock_of_children() -> io::Result<()> {
    // SAFETY: no memory is passed; the namespace is for what this thread starts.
    if unsafe { libc::unshare(libc::CLONE_NEWTIME) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a plain question. By its number, because among the threads of a process this file is not shown.
    let thread = unsafe { libc::gettid() };
    std::fs::write(format!("/proc/{thread}/timens_offsets"), DAYS)?;
    // Linux 6.1 does not let a child share memory with its parent across the namespaces, as it does until it is
    // another program.
    let list = Command::new(std::env::current_exe()?).arg("--list").stdout(Stdio::null()).status();
    list.map(drop)
}

/// True in a process whose clock is shifted.
fn is_shifted() -> bool {
    let offsets = std::fs::read_to_string("/proc/self/timens_offsets").unwrap_or_default();
    offsets.split_whitespace().any(|word| word == "86400")
}

#[test]
fn a_clock_that_is_not_the_kernels_moves_no_timer() {
    if !is_shifted()
        && let Err(error) = shift_clock_of_children()
    {
        skip!("no time namespace: {error}");
    }
    let Some(output) = in_child!(|| {
        assert!(is_shifted(), "the child has another clock");
        let play = async || {
            // Each in a turn of its own: the first is armed, the others move it.
            let start = Instant::now();
            let mut later = pin!(sleep(Duration::from_millis(60)));
            assert!(poll_once(&mut later).await.is_pending());
            turn().await;
            for _ in 0..5 {
                let before = (metrics().enters, Instant::now());
                sleep(Duration::from_millis(10)).await;
                assert!(before.1.elapsed() >= Duration::from_millis(10));
                assert!(metrics().enters - before.0 < 20, "it spins");
            }
            later.await;
            assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
        };
        run_with(Builder::new(), play);
        run_with(Builder::new().boottime(true), play);
    }) else {
        return;
    };
    assert_passed(&output);
}
