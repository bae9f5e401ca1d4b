//! What threads change about a file for nobody: jobs whose futures were dropped before they ended.
//!
//! They are kept with the file, so that a sync or a close waits for them too, and their errors are told as those of
//! dropped writes are.

use std::cell::{OnceCell, RefCell};
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// A job that has its place with a thread: it goes on whether it is polled or not.
pub(crate) type Change = Pin<Box<dyn Future<Output = io::Result<()>>>>;

/// See the head of the file.
#[derive(Default)]
pub(super) struct Changes {
    under_way: RefCell<Vec<Change>>,
    bell: OnceCell<Arc<Bell>>,
}

impl Changes {
    pub(super) fn keep(&self, change: Change) {
        self.under_way.borrow_mut().push(change);
    }

    /// Lets go of those that ended, and tells `lose` of each that failed. True if there is none left.
    pub(super) fn settle(&self, lose: impl Fn(&io::Error)) -> bool {
        if self.under_way.borrow().is_empty() {
            return true;
        }
        let waker = Waker::from(Arc::clone(self.bell()));
        let mut cx = Context::from_waker(&waker);
        // Nothing is borrowed while they are polled.
        let mut changes = self.under_way.take();
        changes.retain_mut(|change| match change.as_mut().poll(&mut cx) {
            Poll::Pending => true,
            Poll::Ready(result) => {
                if let Err(error) = &result {
                    lose(error);
                }
                false
            }
        });
        let mut under_way = self.under_way.borrow_mut();
        under_way.append(&mut changes);
        under_way.is_empty()
    }

    /// As [`settle`](Self::settle), and has the task of `cx` woken when one more ended.
    pub(super) fn poll_settled(&self, cx: &Context<'_>, lose: impl Fn(&io::Error)) -> Poll<()> {
        if self.under_way.borrow().is_empty() {
            return Poll::Ready(());
        }
        self.bell().wait(cx.waker());
        if !self.settle(lose) {
            return Poll::Pending;
        }
        // The others who wait find it so, too.
        self.bell().ring_for_all_but(cx.waker());
        Poll::Ready(())
    }

    fn bell(&self) -> &Arc<Bell> {
        self.bell.get_or_init(Arc::default)
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes").finish_non_exhaustive()
    }
}

/// Wakes the tasks that wait for any of the jobs, from their threads.
#[derive(Default)]
struct Bell(Mutex<Vec<Waker>>);

impl Bell {
    fn wait(&self, waker: &Waker) {
        let waker = waker.clone();
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = waiting.iter().any(|other| other.will_wake(&waker));
        let spare = if known {
            Some(waker)
        } else {
            waiting.push(waker);
            None
        };
        drop(waiting);
        drop(spare);
    }

    fn take(&self) -> Vec<Waker> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn ring_for_all_but(&self, mine: &Waker) {
        self.take().into_iter().filter(|waker| !waker.will_wake(mine)).for_each(Waker::wake);
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.take().into_iter().for_each(Waker::wake);
    }
}
