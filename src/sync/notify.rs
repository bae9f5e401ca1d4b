//! A wake-up without a value, kept if nobody waits for it.

use std::cell::Cell;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::waiters::{Place, Waiter, Waiters};
use crate::executor::budget;

/// Wakes one task, or all that wait.
///
/// ```
/// use std::cell::Cell;
/// use std::rc::Rc;
/// use annulus::sync::Notify;
///
/// annulus::run(async {
///     let shared = Rc::new((Notify::new(), Cell::new(0)));
///     let theirs = Rc::clone(&shared);
///     let task = annulus::spawn(async move {
///         theirs.0.notified().await;
///         theirs.1.get()
///     });
///     shared.1.set(7);
///     shared.0.notify_one();
///     assert_eq!(task.await?, 7);
///     Ok::<_, std::io::Error>(())
/// })
/// # .unwrap();
/// ```
///
/// A [`notify_one`](Self::notify_one) that finds nobody is kept, one at most, for the next who waits. Those who wait
/// are woken in the order in which they were first polled, and one that is dropped after it was woken passes the
/// notification on.
///
/// It belongs to one thread:
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<annulus::sync::Notify>();
/// ```
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<annulus::sync::Notified<'static>>();
/// ```
#[derive(Debug)]
pub struct Notify {
    kept: Cell<bool>,
    /// How often all were woken.
    rounds: Cell<u64>,
    waiters: Waiters<()>,
}

impl Notify {
    /// With no notification kept.
    pub const fn new() -> Self {
        Self { kept: Cell::new(false), rounds: Cell::new(0), waiters: Waiters::new() }
    }

    /// Wakes the task that has waited longest, or keeps the notification for the next who waits.
    #[inline]
    pub fn notify_one(&self) {
        if self.waiters.is_empty() {
            self.kept.set(true);
        } else {
            self.waiters.release_first(Place::Granted);
        }
    }

    /// Wakes all who wait, those included who called [`notified`](Self::notified) and were not polled yet. Keeps
    /// nothing.
    pub fn notify_waiters(&self) {
        self.rounds.set(self.rounds.get() + 1);
        self.waiters.release_all(Place::Dismissed);
    }

    /// Waits for a notification.
    ///
    /// The future takes its place in the queue when it is first polled or [enabled](Notified::enable). Dropping it
    /// gives that up; if it was notified by [`notify_one`](Self::notify_one), the next one is instead.
    #[inline]
    pub fn notified(&self) -> Notified<'_> {
        let waiter = Waiter::new(&self.waiters, ());
        Notified { notify: self, round: self.rounds.get(), done: false, waiter }
    }

    #[inline]
    fn take_kept(&self) -> bool {
        self.kept.replace(false)
    }
}

impl Default for Notify {
    fn default() -> Self {
        Self::new()
    }
}

pin_project! {
    /// Waits for a notification; made by [`Notify::notified`].
    ///
    /// Ready once, it stays ready.
    #[must_use = "futures do nothing unless polled"]
    pub struct Notified<'a> {
        notify: &'a Notify,
        // How often all had been woken when this was made.
        round: u64,
        done: bool,
        #[pin]
        waiter: Waiter<'a, ()>,
    }

    impl PinnedDrop for Notified<'_> {
        #[inline]
        fn drop(this: Pin<&mut Self>) {
            if this.waiter.place() == Place::Granted {
                this.notify.notify_one();
            }
        }
    }
}

impl Notified<'_> {
    /// Takes a place in the queue without being polled; `true` if it is notified already.
    ///
    /// So that a `notify_one` between a look at what is waited for and the wait itself is this future's:
    ///
    /// ```
    /// # use annulus::sync::Notify;
    /// let notify = Notify::new();
    /// let mut notified = std::pin::pin!(notify.notified());
    /// assert!(!notified.as_mut().enable());
    /// notify.notify_one();
    /// assert!(notified.enable());
    /// ```
    pub fn enable(mut self: Pin<&mut Self>) -> bool {
        if !self.as_mut().take() && self.waiter.place() == Place::Out {
            self.as_ref().project_ref().waiter.join();
        }
        self.done
    }

    /// Whether it is notified, which it then is for good.
    #[inline]
    fn take(self: Pin<&mut Self>) -> bool {
        let this = self.project();
        if *this.done {
            return true;
        }
        *this.done = match this.waiter.place() {
            Place::Granted | Place::Dismissed => true,
            _ if *this.round != this.notify.rounds.get() => true,
            Place::Out => this.notify.take_kept(),
            Place::Queued => false,
        };
        if *this.done {
            this.waiter.leave();
            this.waiter.settle();
        }
        *this.done
    }
}

impl Future for Notified<'_> {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.waiter.place() == Place::Out && !self.done {
            ready!(budget::proceed(cx));
        }
        if self.as_mut().take() {
            return Poll::Ready(());
        }
        self.waiter.keep_waker(cx);
        // Asked again, because cloning a waker may run anything.
        if self.as_mut().take() {
            return Poll::Ready(());
        }
        if self.waiter.place() == Place::Out {
            self.as_ref().project_ref().waiter.join();
        }
        Poll::Pending
    }
}

impl fmt::Debug for Notified<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notified").field("done", &self.done).finish_non_exhaustive()
    }
}
