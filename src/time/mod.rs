//! Timers of a core: sleeps, intervals and timeouts, and the clock they go by.
//!
//! Names and meanings are tokio's. A timer is a link in its core's timing wheel; it costs no memory but its own and
//! no system call, and dropping it costs a few nanoseconds. It never fires early, and a deadline
//! beyond the clock's 584 years is never, not some far day.
//!
//! Time here is CLOCK_MONOTONIC, which stands still while the machine is suspended, and with it the
//! timers; or CLOCK_BOOTTIME, which does not, where [`Builder::boottime`](crate::Builder::boottime)
//! says so. Setting the time of day moves neither. A test can [`pause`](pause()) the clock and go
//! through hours at once.
//!
//! # What a dropped future does
//!
//! | method | if its future is dropped before it is done |
//! | --- | --- |
//! | `sleep`, `sleep_until` | its timer is gone |
//! | `timeout`, `timeout_at`, `timeout_scope`, `timeout_scope_at` | so is the future in it |
//! | `Interval::tick` | no tick is lost: the next one gives it |
//! | `advance` | after its first poll the clock has moved |
//!
//! Within the room, from the bottom: `lists` links, `wheel` orders, `clock` tells the time,
//! `timers` joins them for the worker and for the futures above. No other room is used.

mod clock;
pub mod error;
mod instant;
mod interval;
mod lists;
mod pause;
mod scope;
mod sleep;
mod timeout;
pub(crate) mod timers;
mod wheel;

#[cfg(test)]
mod tests;

pub use std::time::Duration;

pub use instant::Instant;
pub use interval::{Interval, MissedTickBehavior, interval, interval_at};
pub use pause::{advance, pause, resume};
pub use scope::{TimeoutScope, timeout_scope, timeout_scope_at};
pub use sleep::{Sleep, sleep, sleep_until};
pub use timeout::{Timeout, timeout, timeout_at};
