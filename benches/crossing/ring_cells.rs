//! The cells on the bare ring: a thread that sleeps in it, woken by another as directly as the kernel allows.

#![allow(unsafe_code, reason = "a bare ring is unsafe by nature")]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Barrier;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread;

use io_uring::opcode::{MsgRingData, Read};
use io_uring::types::Fd;

use super::{Run, Sample, Stopwatch, pin};
use crate::uring::{Queues, Uring};

pub(super) static EVENTFD: &[(&str, Run)] = &[("wake_asleep", |operations| {
    let descriptors = [eventfd(), eventfd()];
    pingpong(operations, |player, _, _| {
        let (mine, other) = (descriptors[player].as_raw_fd(), descriptors[1 - player].as_raw_fd());
        Box::new(Eventfd { mine, other, count: Box::new(0) })
    })
})];

pub(super) static MSG_RING: &[(&str, Run)] = &[("wake_asleep", |operations| {
    pingpong(operations, |_, _, other| Box::new(MsgRing { other }))
})];

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
        let one = 1_u64.to_ne_bytes();
        // SAFETY: eight readable bytes.
        match unsafe { libc::write(self.other, one.as_ptr().cast(), one.len()) } {
            8 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

struct MsgRing {
    other: RawFd,
}

impl Play for MsgRing {
    fn expect(&mut self, _: &mut Queues<'_>) -> io::Result<()> {
        Ok(())
    }

    fn wake(&mut self, queues: &mut Queues<'_>) -> io::Result<()> {
        let flags = io_uring::squeue::Flags::SKIP_SUCCESS;
        queues.push(&MsgRingData::new(Fd(self.other), 0, 1, None).build().flags(flags))
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

fn eventfd() -> OwnedFd {
    // SAFETY: a plain call; the descriptor is new and nobody else has it.
    unsafe {
        let fd = libc::eventfd(0, libc::EFD_CLOEXEC);
        assert!(fd >= 0, "no descriptor is left");
        OwnedFd::from_raw_fd(fd)
    }
}
