//! What a runtime counts, as a snapshot.

use crate::blocking::{self, Pool};
use crate::driver::{self, Driver};
use crate::executor::{self, Executor};
use crate::time::timers::Timers;

/// Counters of one runtime. The `live_` ones are zero when nothing is under way, but for the loop's own operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// Operations that are staged, in the kernel, or done and not yet taken. The loop's own two count: the bell from
    /// the first sleep on, the alarm once a sleep had a deadline, until it fires.
    pub live_operations: usize,
    /// Tasks that were spawned and are not done.
    pub live_tasks: usize,
    /// Timers in the wheel.
    pub live_timers: usize,
    /// Receive buffers that a chunk holds.
    pub lent_buffers: u32,
    /// Dropped streams that are still sending.
    pub lingering_streams: usize,
    /// Messages that were copied to the heap because their stream was past its share or the pool was low.
    pub copied_messages: u64,
    /// Completions that named no operation of ours. Always zero, unless the kernel errs.
    pub stray_completions: u64,
    /// Calls of `io_uring_enter`.
    pub enters: u64,
    /// Panics of wakers and destructors that were caught; those of tasks are in their `JoinError`.
    pub caught_panics: u64,
    /// Panics of tasks that nobody could take any more, because the handle was dropped; see
    /// [`Builder::on_unhandled_panic`](super::Builder::on_unhandled_panic).
    pub unhandled_panics: u64,
    /// What the blocking pool holds, of all runtimes that share it.
    pub blocking: blocking::Metrics,
}

impl Metrics {
    pub(super) fn read(driver: &Driver, executor: &Executor, timers: &Timers, pool: &Pool) -> Self {
        Self {
            live_operations: driver.live_operations(),
            live_tasks: executor.live_tasks(),
            live_timers: timers.live(),
            lent_buffers: driver.lent_buffers(),
            lingering_streams: driver.lingering().get(),
            copied_messages: driver.copied_messages(),
            stray_completions: driver.stray_completions(),
            enters: driver.enters(),
            caught_panics: driver.caught_panics() + executor.caught_panics(),
            unhandled_panics: executor.unhandled_panics(),
            blocking: pool.metrics(),
        }
    }
}

/// The counters of the runtime that this thread is in.
pub(super) fn current() -> Metrics {
    let driver = driver::current::expect("annulus::runtime::metrics");
    let executor = executor::current().expect("a runtime enters all its layers at once");
    let timers = Timers::current().expect("a runtime enters all its layers at once");
    let pool = blocking::current::get().expect("a runtime enters all its layers at once");
    Metrics::read(&driver, &executor, &timers, &pool)
}
