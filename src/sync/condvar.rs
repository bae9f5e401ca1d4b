//! Waiting for a change of what a mutex holds.

use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::guarded::{Exclusive, Pointer};
use super::mutex::Mutex;
use super::waiters::{Place, Waiter, Waiters};

/// Lets tasks that hold a [`Mutex`] wait until another has changed what is behind it.
///
/// ```
/// use std::rc::Rc;
/// use annulus::sync::{Condvar, Mutex};
///
/// annulus::run(async {
///     let pair = Rc::new((Mutex::new(Vec::new()), Condvar::new()));
///     let theirs = Rc::clone(&pair);
///     let task = annulus::spawn(async move {
///         let (list, grown) = &*theirs;
///         let list = grown.wait_for(list.lock().await, |list| list.len() == 2).await;
///         list.iter().sum::<i32>()
///     });
///     let (list, grown) = &*pair;
///     for number in [3, 4] {
///         list.lock().await.push(number);
///         grown.notify_all();
///     }
///     assert_eq!(task.await?, 7);
///     Ok::<_, std::io::Error>(())
/// })
/// # .unwrap();
/// ```
///
/// Those who wait are notified in the order in which they began to. A notification that finds nobody is lost, so what
/// is waited for has to be read off the value. The mutex need not be locked to notify.
///
/// It belongs to one thread:
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<annulus::sync::Condvar>();
/// ```
#[derive(Debug)]
pub struct Condvar {
    waiters: Waiters<()>,
}

impl Condvar {
    /// Nobody waits.
    pub const fn new() -> Self {
        Self { waiters: Waiters::new() }
    }

    /// Gives the lock back, waits for a notification, and for the lock again.
    ///
    /// The lock is given back when the future is first polled. Dropping the future leaves the lock free; if it had
    /// been notified, the next one is instead.
    pub async fn wait<T: ?Sized, P>(&self, guard: Exclusive<P>) -> Exclusive<P>
    where
        P: Pointer<Target = Mutex<T>>,
    {
        let lock = guard.pointer().clone();
        let mut turn =
            pin!(Turn { waiters: &self.waiters, waiter: Waiter::new(&self.waiters, ()) });
        turn.as_ref().project_ref().waiter.join();
        drop(guard);
        turn.as_mut().await;
        let guard = Exclusive::wait_by(lock).await;
        // Used up: from here on there is nothing to pass on.
        turn.waiter.settle();
        guard
    }

    /// Waits until `condition` is true of the value, asked at once and after each notification.
    ///
    /// Dropping the future gives the lock back, and passes on a notification that it did not use.
    pub async fn wait_for<T: ?Sized, P>(
        &self,
        mut guard: Exclusive<P>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> Exclusive<P>
    where
        P: Pointer<Target = Mutex<T>>,
    {
        while !condition(&mut guard) {
            guard = self.wait(guard).await;
        }
        guard
    }

    /// Notifies the task that has waited longest.
    pub fn notify_one(&self) {
        self.waiters.release_first(Place::Granted);
    }

    /// Notifies the `count` tasks that have waited longest.
    pub fn notify(&self, count: usize) {
        self.waiters.release_some(count, Place::Granted);
    }

    /// Notifies all who wait.
    pub fn notify_all(&self) {
        self.waiters.release_all(Place::Dismissed);
    }
}

impl Default for Condvar {
    fn default() -> Self {
        Self::new()
    }
}

pin_project! {
    /// A wait for a notification, which is passed on if this is dropped before it is settled.
    struct Turn<'a> {
        waiters: &'a Waiters<()>,
        #[pin]
        waiter: Waiter<'a, ()>,
    }

    impl PinnedDrop for Turn<'_> {
        fn drop(this: Pin<&mut Self>) {
            if this.waiter.place() == Place::Granted {
                this.waiters.release_first(Place::Granted);
            }
        }
    }
}

impl Future for Turn<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.waiter.place() == Place::Queued {
            self.waiter.keep_waker(cx);
        }
        // Asked again, because cloning a waker may run anything.
        match self.waiter.place() {
            Place::Queued => Poll::Pending,
            _ => Poll::Ready(()),
        }
    }
}
