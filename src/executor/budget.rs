//! The budget that makes every task give way, also if all its futures are always ready.
//!
//! A task has 128 units a poll. Leaf futures take one each; without any left they wake their task and say
//! "pending". Outside a task there is no limit. The idea and the number are tokio's.

use std::cell::Cell;
use std::task::{Context, Poll};

const UNITS: u32 = 128;
const UNLIMITED: u32 = u32::MAX;

thread_local! {
    static LEFT: Cell<u32> = const { Cell::new(UNLIMITED) };
}

/// Gives the task that is polled next its units.
#[inline]
pub(crate) fn reset() {
    LEFT.set(UNITS);
}

/// No task is being polled any more.
#[inline]
pub(crate) fn lift() {
    LEFT.set(UNLIMITED);
}

/// Takes a unit. If none is left the task is woken, to go on after the others.
#[inline]
pub(crate) fn proceed(cx: &mut Context<'_>) -> Poll<()> {
    match LEFT.get() {
        UNLIMITED => Poll::Ready(()),
        0 => {
            cx.waker().wake_by_ref();
            Poll::Pending
        }
        left => {
            LEFT.set(left - 1);
            Poll::Ready(())
        }
    }
}

/// Runs `f` without a limit, and restores what was left.
pub(crate) fn without<R>(f: impl FnOnce() -> R) -> R {
    struct Restore(u32);
    impl Drop for Restore {
        fn drop(&mut self) {
            LEFT.set(self.0);
        }
    }
    let _restore = Restore(LEFT.replace(UNLIMITED));
    f()
}
