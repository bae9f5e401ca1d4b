//! The atomics and locks of what crosses threads: std's, or loom's in the models.
//!
//! Run the models with `RUSTFLAGS="--cfg loom" LOOM_MAX_PREEMPTIONS=2 cargo test --release --lib loom_`.

#[cfg(loom)]
pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard, atomic};
#[cfg(not(loom))]
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, atomic};

#[cfg(not(loom))]
pub(crate) use std::thread_local;

/// Loom's macro with std's `const`, which it does not know.
#[cfg(loom)]
macro_rules! thread_local_of_loom {
    (static $name:ident: $type:ty = const $init:block;) => {
        ::loom::thread_local! { static $name: $type = $init; }
    };
}
#[cfg(loom)]
pub(crate) use thread_local_of_loom as thread_local;
