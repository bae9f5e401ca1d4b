//! The cells on the bare ring: a thread that sleeps in it, woken by another as directly as the kernel allows.
//!
//! `eventfd` writes to one that the other ring reads, `eventfd-poll` to one that it polls, and `eventfd-ring` has its
//! ring write to that, in the call that then sleeps. `msg-ring` sends its message in that call too; `msg-now` in one of
//! its own, as who does not know that it is about to sleep, and `send-msg` without a ring.

#![allow(unsafe_code, reason = "a bare ring is unsafe by nature")]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Barrier;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread;

use io_uring::opcode::{MsgRingData, PollAdd, Read, Write};
use io_uring::types::Fd;

use super::{Run, Sample, Stopwatch, pin};
use crate::uring::{Queues, Uring};

pub(super) static EVENTFD: &[(&str, Run)] = &[
    ("wake_asleep", by_eventfd),
    ("call_asleep", |operations| there_and_back(operations, by_eventfd)),
];
pub(super) static EVENTFD_POLL: &[(&str, Run)] = &[
    ("wake_asleep", by_polled_eventfd),
    ("call_asleep", |operations| there_and_back(operations, by_polled_eventfd)),
];
pub(super) static MSG_RING: &[(&str, Run)] = &[
    ("wake_asleep", |operations| by_message(operations, false)),
    ("call_asleep", |operations| there_and_back(operations, |wakes| by_message(wakes, false))),
];
pub(super) static MSG_NOW: &[(&str, Run)] =
    &[("wake_asleep", |operations| by_message(operations, true))];
pub(super) static SEND_MSG: &[(&str, Run)] = &[("wake_asleep", |operations| {
    pingpong(operations, |_, _, other| Box::new(SendMsg { other }))
})];
pub(super) static EVENTFD_RING: &[(&str, Run)] = &[
    ("wake_asleep", by_written_eventfd),
    ("call_asleep", |operations| there_and_back(operations, by_written_eventfd)),
];

fn by_eventfd(operations: u64) -> Sample {
    let descriptors = [eventfd(0), eventfd(0)];
    pingpong(operations, |player, _, _| {
        let (mine, other) = (descriptors[player].as_raw_fd(), descriptors[1 - player].as_raw_fd());
        Box::new(Eventfd { mine, other, count: Box::new(0) })
    })
}

fn by_polled_eventfd(operations: u64) -> Sample {
    polling(operations, false)
}

fn by_written_eventfd(operations: u64) -> Sample {
    polling(operations, true)
}

fn polling(operations: u64, by_ring: bool) -> Sample {
    let descriptors = [eventfd(libc::EFD_NONBLOCK), eventfd(libc::EFD_NONBLOCK)];
    pingpong(operations, |player, _, _| {
        let (mine, other) = (descriptors[player].as_raw_fd(), descriptors[1 - player].as_raw_fd());
        Box::new(EventfdPoll { mine, other, is_armed: false, by_ring })
    })
}

fn by_message(operations: u64, now: bool) -> Sample {
    pingpong(operations, |_, _, other| Box::new(MsgRing { other, now }))
}

/// A round trip is two wakes.
fn there_and_back(operations: u64, wakes: Run) -> Sample {
    Sample { operations, ..wakes(operations * 2) }
}

/// How a player wakes the other and waits for it.
trait Play {
    /// Before the first turn and after each.
    fn expect(&mut self, queues: &mut Queues<'_>) -> io::Result<()>;
    fn wake(&mut self, queues: &mut Queues<'_>) -> io::Result<()>;
}

struct Eventfd {
    mine: RawFd,
    other: RawFd,
    /// What the kernel reads into.
    count: Box<u64>,
}

impl Play for Eventfd {
    fn expect(&mut self, queues: &mut Queues<'_>) -> io::Result<()> {
        let count: *mut u64 = &mut *self.count;
        queues.push(&Read::new(Fd(self.mine), count.cast(), 8).build().user_data(1))
    }

    fn wake(&mut self, _: &mut Queues<'_>) -> io::Result<()> {
        ring_bell(self.other)
    }
}

/// Adds one to an eventfd.
fn ring_bell(eventfd: RawFd) -> io::Result<()> {
    let one = 1_u64.to_ne_bytes();
    // SAFETY: eight readable bytes.
    match unsafe { libc::write(eventfd, one.as_ptr().cast(), one.len()) } {
        8 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

struct EventfdPoll {
    mine: RawFd,
    other: RawFd,
    is_armed: bool,
    /// Written to by the ring, in the call that then sleeps.
    by_ring: bool,
}

impl Play for EventfdPoll {
    fn expect(&mut self, queues: &mut Queues<'_>) -> io::Result<()> {
        if std::mem::replace(&mut self.is_armed, true) {
            return Ok(());
        }
        let poll = PollAdd::new(Fd(self.mine), libc::POLLIN as u32).multi(true);
        queues.push(&poll.build().user_data(1))
    }

    fn wake(&mut self, queues: &mut Queues<'_>) -> io::Result<()> {
        static ONE: u64 = 1;
        if !self.by_ring {
            return ring_bell(self.other);
        }
        let write = Write::new(Fd(self.other), (&raw const ONE).cast(), 8).build();
        queues.push(&write.flags(io_uring::squeue::Flags::SKIP_SUCCESS))
    }
}

struct MsgRing {
    other: RawFd,
    /// In a call of its own.
    now: bool,
}

struct SendMsg {
    other: RawFd,
}

impl Play for SendMsg {
    fn expect(&mut self, _: &mut Queues<'_>) -> io::Result<()> {
        Ok(())
    }

    fn wake(&mut self, _: &mut Queues<'_>) -> io::Result<()> {
        const REGISTER_SEND_MSG_RING: libc::c_uint = 31;
        let message = MsgRingData::new(Fd(self.other), 0, 1, None).build();
        let (no_ring, count) = (-1, 1_u32);
        // SAFETY: the call reads one entry, which lives across it.
        let result = unsafe {
            let call = libc::SYS_io_uring_register;
            libc::syscall(call, no_ring, REGISTER_SEND_MSG_RING, &raw const message, count)
        };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

impl Play for MsgRing {
    fn expect(&mut self, _: &mut Queues<'_>) -> io::Result<()> {
        Ok(())
    }

    fn wake(&mut self, queues: &mut Queues<'_>) -> io::Result<()> {
        let flags = io_uring::squeue::Flags::SKIP_SUCCESS;
        queues.push(&MsgRingData::new(Fd(self.other), 0, 1, None).build().flags(flags))?;
        if self.now { queues.look() } else { Ok(()) }
    }
}

fn pingpong(operations: u64, play: impl Fn(usize, RawFd, RawFd) -> Box<dyn Play> + Sync) -> Sample {
    let rings = [AtomicI32::new(-1), AtomicI32::new(-1)];
    let together = Barrier::new(2);
    let player = |player: usize| -> io::Result<Sample> {
        pin(player);
        let mut ring = Uring::new(8)?;
        rings[player].store(ring.as_raw_fd(), Ordering::Release);
        together.wait();
        let fd = |player: usize| rings[player].load(Ordering::Acquire);
        let mut play = play(player, fd(player), fd(1 - player));
        let watch = Stopwatch::start();
        let mut queues = ring.queues();
        play.expect(&mut queues)?;
        for round in 0..operations / 2 {
            if player == 1 || round > 0 {
                while queues.next().is_none() {
                    queues.turn()?;
                }
                play.expect(&mut queues)?;
            }
            play.wake(&mut queues)?;
        }
        // The last wake of the second player may not have left, and the first has it still to take.
        if player == 0 {
            while queues.next().is_none() {
                queues.turn()?;
            }
        }
        let sample = watch.stop(operations);
        drop(queues);
        ring.submitter().submit()?;
        together.wait();
        Ok(sample)
    };
    thread::scope(|scope| {
        let second = scope.spawn(|| player(1));
        let first = thread::Builder::new().spawn_scoped(scope, || player(0)).expect("a thread");
        let sample = first.join().expect("no panic").expect("the bare ring works");
        second.join().expect("no panic").expect("the bare ring works");
        sample
    })
}

/// One that is read blocks: a ring that finds it empty waits. One that is written to by a ring does not, or the kernel
/// would have a thread do it.
fn eventfd(flags: i32) -> OwnedFd {
    // SAFETY: a plain call; the descriptor is new and nobody else has it.
    unsafe {
        let fd = libc::eventfd(0, libc::EFD_CLOEXEC | flags);
        assert!(fd >= 0, "no descriptor is left");
        OwnedFd::from_raw_fd(fd)
    }
}
