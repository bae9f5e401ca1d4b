//! Tasks: spawn them, await them, abort them.
//!
//! A task is a future that its runtime polls on the thread it was spawned on, until it ends. It need not be
//! `Send`, and neither need its output.
//!
//! ```
//! annulus::run(async {
//!     let answer = annulus::task::spawn(async { 6 * 7 });
//!     assert_eq!(answer.await?, 42);
//!     Ok::<_, std::io::Error>(())
//! })
//! # .unwrap();
//! ```
//!
//! The names and their meaning are tokio's. Beyond tokio's, a [`task_group`] keeps children from outliving the block
//! that spawns them, and reports all of their errors; a [`JoinSet`] gives outcomes one by one.
//!
//! A [`LocalKey`] is a value that a task and all it spawns can see, a [`Builder`] gives a task a name, a
//! [`CancellationToken`] asks tasks to end.
//!
//! # What a dropped future does
//!
//! | method | if its future is dropped before it is done |
//! | --- | --- |
//! | a [`JoinHandle`] | the task runs on, and its output is dropped |
//! | [`task_group`], [`gather`], [`try_gather`], [`race`], [`JoinSet::join_all`] | the tasks are aborted; their futures are dropped when they come up next |
//! | [`JoinSet::join_next`], [`join_next_with_id`](JoinSet::join_next_with_id), [`AsCompleted::next`], [`wait()`], [`try_wait`] | nothing is lost: the outcome is the next one's |
//! | [`JoinSet::shutdown`] | what has not ended is aborted, and stays in the set |
//! | [`select!`](crate::select!), [`join!`](crate::join!), [`try_join!`](crate::try_join!), [`CancellationToken::run_until_cancelled`], [`unconstrained`] | so are the futures in it |
//! | [`CancellationToken::cancelled`], [`yield_now`], [`consume_budget`] | nothing |
//!
//! # Waiting for several things
//!
//! | futures that | all | all, or the first error | the first | one by one |
//! | --- | --- | --- | --- | --- |
//! | become tasks | [`gather`] | [`try_gather`] | [`race`] | [`as_completed`], [`JoinSet`], [`wait()`] |
//! | stay in this task | [`join!`](crate::join!) | [`try_join!`](crate::try_join!) | [`select!`](crate::select!) | |
//!
//! A task has a waker, a budget and panics of its own, costs some 300 instructions, and cannot borrow; a future
//! that is polled in place costs less if it is one of few, and its panic is the whole task's.
//!
//! The macros and adapters of `tokio`, `futures` and `futures-concurrency` work here as in any runtime, and what they
//! do well is not done again: collections and streams of futures that stay in the task.
//!
//! ```
//! use annulus::time::{Duration, sleep};
//! use futures::future::{join_all, try_join_all};
//! use futures::stream::{FuturesUnordered, StreamExt};
//! use futures_concurrency::prelude::*;
//!
//! annulus::run(async {
//!     let words = [String::from("some"), String::from("words")];
//!     let size = async |word: &str| {
//!         sleep(Duration::from_millis(1)).await;
//!         word.len()
//!     };
//!     assert_eq!(join_all(words.iter().map(|word| size(word))).await, [4, 5]);
//!     let tried = try_join_all(["1", "x"].map(async |text| text.parse::<u32>()));
//!     assert!(tried.await.is_err());
//!     let unordered: FuturesUnordered<_> = words.iter().map(|word| size(word)).collect();
//!     assert_eq!(unordered.count().await, 2);
//!     assert_eq!((size("race"), std::future::pending()).race().await, 4);
//!     let first = tokio::select! {
//!         first = size("tokio") => first,
//!         () = std::future::pending() => 0,
//!     };
//!     assert_eq!(first, 5);
//!     Ok::<_, std::io::Error>(())
//! })
//! # .unwrap();
//! ```
//
// # How a task lives
//
// One allocation holds a `Header` and, behind it, the future or what came of it (`cell`). Its home, the part of
// an executor that tasks know (`home`), owns it. Wakers and abort handles are *counted references* (`refs`);
// what the home thread itself needs a task for are *anchors*, flags in a byte that only it touches (`state`). So
// a wake at home is two tests and a push onto a list (`list`), and a wake from elsewhere a push onto a lock-free
// stack (`inbox`). The order of events is in `run`.
//
// # Safety rules
//
// Every file of this room cites them by number.
//
// 1. Alive. A task is allocated while an anchor or a counted reference exists. Anchors: not COMPLETE, RUNNING,
//    SCHEDULED, JOIN_INTEREST. Counted: every `Waker` and `AbortHandle`, and being in the inbox. A task holds a
//    reference to its home, so a live task has a live home.
// 2. Home thread. All of a header but `queued`, `cancel`, `finished`, `refs.shared` and what never changes, and
//    all of a home below its inbox, is touched by one thread: the one that made the executor. Being there
//    is shown by a `!Send` value (executor, home ref, join handle, root), or by `home::is_current`: only
//    an executor on that thread sets it, and the address is not used again while a task names it.
// 3. Stage. It holds the future from the allocation until `poll` or `cancel` of the same vtable drops it in
//    place; then the outcome, exactly while OUTPUT is set. Both happen on the home thread; dropping the last
//    counted reference elsewhere finds neither.
// 4. Last. When no anchor is left home merges its count, once. Whoever gets `Last::Yes`, then or later, is alone with
//    the task and frees its memory, which is all there is left.
// 5. Link. Who turns `queued` on owns the inbox link until its push, home from then until it turns `queued` off.
// 6. Calling out. Nothing of the user's (poll, drop, any method of a waker) runs while a list or cell is half
//    changed, and a task on which it runs keeps an anchor meanwhile.
// 7. Parcel. Its memory is of two: a `Parcel`, which owns the link and goes into the inbox as a pointer, is the
//    inbox's while it is there, and home's when home took it out; and a `Ticket`. Each says once, last, that it is
//    gone, and who finds the other gone frees it.
// 8. Cargo. It holds the work until BEGUN is set. Who set that moves the work out, and then an outcome in, and sets
//    DONE. The outcome is the ticket's, unless LEFT was set before DONE: then it is theirs who set DONE.
// 9. Waker slot. It is the ticket's, except from when DONE is set while WAITING and not LEFT: then theirs who set DONE.

mod abort;
mod address;
mod builder;
mod cache;
mod cell;
mod context;
mod error;
mod header;
mod home;
mod id;
mod inbox;
mod join;
mod list;
mod local;
mod name;
mod parcel;
mod refs;
mod root;
mod run;
mod spawn;
mod state;
#[cfg(all(test, not(loom)))]
mod tests;
mod waker;

pub use self::abort::AbortHandle;
pub use self::builder::Builder;
pub use self::error::JoinError;
pub use self::id::Id;
pub use self::join::JoinHandle;
pub use self::local::{AccessError, LocalKey, TaskLocalFuture};
pub use self::name::name;
pub use self::spawn::{id, spawn, try_id};
// The upward lines of the column: cooperation is the executor's business, what tasks form together the group's, and
// threads for what blocks the pool's, but users look for all of it here.
pub use crate::blocking::spawn_blocking;
pub use crate::executor::{Unconstrained, consume_budget, unconstrained, yield_now};
pub use crate::group::{
    AsCompleted, CancellationToken, Cancelled, DropGuard, Failure, GroupError, JoinSet, TaskGroup,
    Until,
};
pub use crate::group::{
    as_completed, gather, race, shield, task_group, try_gather, try_wait, wait,
};

pub(crate) use self::address::Address;
pub(crate) use self::cell::Unstoppable;
pub(crate) use self::context::{OutOfScope, Within};
pub(crate) use self::home::{Entered, HomeRef, PanicHook};
pub(crate) use self::name::name_of;
pub(crate) use self::parcel::{Outcome, Parcel, Ticket, Work};
pub(crate) use self::root::Root;
pub(crate) use self::spawn::{
    accepts_tasks, report_panic, running_abort_handle, spawn_arrived, spawn_unstoppable,
};
pub(crate) use self::waker::table as waker_table;
