//! Tickets, grants and refusals, step by step, with threads that are told when to go on.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Poll, Waker};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::blocking::crew::{Crew, Settings};
use crate::blocking::future::{Wait, WhenDropped};

fn crew(threads_max: usize, queue_max: usize) -> Arc<Crew> {
    let idle_timeout = Duration::from_secs(60);
    let name = "test".to_owned();
    Crew::new(Settings { name, threads_max, queue_max, idle_timeout, stack_size: None })
}

/// A job that notes its number and goes on when it is told to.
fn job(crew: &Arc<Crew>, number: usize, log: &Sender<usize>) -> (Wait<usize>, Sender<()>) {
    let (go, told) = channel::<()>();
    let log = log.clone();
    let work = move || {
        log.send(number).expect("the test listens");
        let _gone = told.recv();
        number
    };
    (Wait::new(crew, work, WhenDropped::TakeBack), go)
}

fn poll(wait: &mut Wait<usize>) -> Poll<std::io::Result<usize>> {
    Pin::new(wait).poll(&mut Context::from_waker(Waker::noop()))
}

fn end(crew: &Crew) {
    crew.close();
    assert_eq!(crew.wait(Instant::now() + Duration::from_secs(30)), 0);
}

fn until(condition: impl Fn() -> bool) {
    while !condition() {
        sleep(Duration::from_micros(100));
    }
}

/// A pool of one thread and a queue of one, both taken, and two jobs that wait for room.
#[expect(clippy::type_complexity, reason = "a list of what a test needs")]
fn full() -> (Arc<Crew>, Receiver<usize>, Vec<(Wait<usize>, Sender<()>)>) {
    let crew = crew(1, 1);
    let (log, seen) = channel();
    let mut jobs: Vec<_> = (0..4).map(|number| job(&crew, number, &log)).collect();
    assert!(poll(&mut jobs[0].0).is_pending());
    until(|| crew.metrics().running == 1);
    for (wait, _) in &mut jobs[1..] {
        assert!(poll(wait).is_pending());
    }
    let metrics = crew.metrics();
    assert_eq!((metrics.threads, metrics.queued, metrics.waiting), (1, 1, 2));
    (crew, seen, jobs)
}

/// Lets a job end and waits for it.
fn finish(job: (Wait<usize>, Sender<()>)) -> usize {
    let (mut wait, go) = job;
    drop(go);
    loop {
        if let Poll::Ready(output) = poll(&mut wait) {
            return output.expect("it was run");
        }
        sleep(Duration::from_micros(100));
    }
}

#[test]
fn who_waited_longest_gets_the_room() {
    let (crew, seen, mut jobs) = full();
    for number in 0..4 {
        assert_eq!(seen.recv(), Ok(number));
        assert_eq!(finish(jobs.remove(0)), number);
        // The room is promised, so a newcomer waits behind those who wait already.
        until(|| crew.metrics().queued == 0);
        if number < 2 {
            let mut late = job(&crew, 9, &channel().0);
            assert!(poll(&mut late.0).is_pending());
            assert_eq!((crew.metrics().queued, crew.metrics().waiting), (0, 3 - number));
        }
        for (wait, _) in &mut jobs {
            assert!(poll(wait).is_pending());
        }
    }
    end(&crew);
}

#[test]
fn room_that_was_granted_to_a_dropped_future_goes_to_the_next() {
    let (crew, seen, mut jobs) = full();
    finish(jobs.remove(0));
    // The second is taken by the thread, so the third is granted room, which it does not use.
    until(|| crew.metrics().queued == 0);
    assert_eq!(crew.metrics().waiting, 2);
    drop(jobs.remove(1));
    assert_eq!(crew.metrics().waiting, 1);
    assert!(poll(&mut jobs[1].0).is_pending());
    assert_eq!((crew.metrics().queued, crew.metrics().waiting), (1, 0));
    jobs.into_iter().for_each(|job| _ = finish(job));
    assert_eq!(seen.try_iter().collect::<Vec<_>>(), [0, 1, 3]);
    end(&crew);
}

#[test]
fn a_job_that_is_taken_back_makes_room() {
    let (crew, seen, mut jobs) = full();
    drop(jobs.remove(1));
    assert_eq!((crew.metrics().queued, crew.metrics().waiting), (0, 2), "one was granted");
    for (wait, _) in &mut jobs[1..] {
        assert!(poll(wait).is_pending());
    }
    assert_eq!((crew.metrics().queued, crew.metrics().waiting), (1, 1));
    jobs.into_iter().for_each(|job| _ = finish(job));
    assert_eq!(seen.try_iter().collect::<Vec<_>>(), [0, 2, 3]);
    end(&crew);
}

#[test]
fn a_closed_pool_refuses_those_who_wait_and_those_who_come() {
    let (crew, seen, mut jobs) = full();
    crew.close();
    let late = job(&crew, 9, &channel().0);
    jobs.push(late);
    for (wait, _) in &mut jobs[1..] {
        let Poll::Ready(Err(error)) = poll(wait) else { panic!("it still waits") };
        assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    }
    assert_eq!(finish(jobs.remove(0)), 0, "it was under way");
    assert_eq!(seen.try_iter().collect::<Vec<_>>(), [0]);
    end(&crew);
}
