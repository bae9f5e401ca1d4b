//! The atomics and locks of what crosses threads: std's, or loom's in the models.
//!
//! Run the models with `RUSTFLAGS="--cfg loom" LOOM_MAX_PREEMPTIONS=2 cargo test --release --lib loom_`.

#[cfg(loom)]
pub(crate) use loom::sync::{Arc, Condvar, Mutex, MutexGuard, atomic};
#[cfg(not(loom))]
pub(crate) use std::sync::{Arc, Condvar, Mutex, MutexGuard, atomic};

#[cfg(not(loom))]
pub(crate) use std::thread_local;

/// Loom's macro with std's `const`, which it does not know.
#[cfg(loom)]
macro_rules! thread_local_of_loom {
    ($(#[$doc:meta])* static $name:ident: $type:ty = const $init:block;) => {
        ::loom::thread_local! { static $name: $type = $init; }
    };
}
#[cfg(loom)]
pub(crate) use thread_local_of_loom as thread_local;

#[cfg(loom)]
pub(crate) use loom::cell::UnsafeCell;

/// std's cell with the methods of loom's, which sees who is inside at a time.
#[cfg(not(loom))]
#[derive(Debug)]
pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

#[cfg(not(loom))]
impl<T> UnsafeCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    #[inline(always)]
    pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        f(self.0.get())
    }

    #[inline(always)]
    pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}

/// The bell of a thread of a model that sleeps: a wake-up that is lost is a deadlock, which loom reports.
#[cfg(all(test, loom))]
pub(crate) struct Bell {
    rung: Mutex<bool>,
    condition: Condvar,
}

#[cfg(all(test, loom))]
impl Bell {
    pub(crate) fn new() -> std::sync::Arc<Self> {
        std::sync::Arc::new(Self { rung: Mutex::new(false), condition: Condvar::new() })
    }

    pub(crate) fn wait(&self) {
        let mut rung = self.rung.lock().expect("not poisoned");
        while !*rung {
            rung = self.condition.wait(rung).expect("not poisoned");
        }
        *rung = false;
    }
}

#[cfg(all(test, loom))]
impl std::task::Wake for Bell {
    fn wake(self: std::sync::Arc<Self>) {
        *self.rung.lock().expect("not poisoned") = true;
        self.condition.notify_one();
    }
}
