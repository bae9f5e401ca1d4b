//! What several tasks form together: sets, groups and the ways to wait for them.
//!
//! The public path of all that is here is `annulus::task`. It is a room of its own because it stands on two: tasks,
//! and the time that a wait may take. It is safe code on `spawn`, join handles and wakers; how a child tells that it
//! has ended is the one idea:
//!
//! A child's future is wrapped, and the wrapper is dropped with it: after the output, after a panic, after an abort
//! and at the end of the runtime. So what the wrapper does when dropped happens once for each child, however it ended,
//! and costs neither a task nor a waker of its own.

mod child;
mod error;
mod gather;
mod join;
mod listener;
pub mod macros;
mod scope;
mod select;
mod set;
#[cfg(all(test, not(loom)))]
mod tests;
mod token;
mod wait;

pub use error::{Failure, GroupError};
pub use gather::{gather, race, shield, try_gather};
pub use scope::{TaskGroup, task_group};
pub use set::JoinSet;
pub use token::{CancellationToken, Cancelled, DropGuard};
pub use wait::{AsCompleted, Until, as_completed, try_wait, wait};
