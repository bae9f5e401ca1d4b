//! Tokens that tell the tasks of one core to stop: a tree, in which to cancel a token cancels all below it.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

use slab::Slab;

/// Tells those who hold it to stop, when they next look.
///
/// An abort ends a task wherever it waits; a token lets it end itself, after it has said goodbye. A clone is the same
/// token. A [child](Self::child_token) is cancelled with its parent, and can be without. Names and meanings are those
/// of `tokio_util`, whose token works here too and may be sent to other threads; this one has no atomics and may not:
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<annulus::task::CancellationToken>();
/// ```
///
/// ```
/// use annulus::task::CancellationToken;
///
/// annulus::run(async {
///     let shutdown = CancellationToken::new();
///     let connection = shutdown.child_token();
///     let serving = annulus::spawn(async move {
///         let request = connection.run_until_cancelled(std::future::pending::<()>()).await;
///         if request.is_none() { "goodbye" } else { "served" }
///     });
///     shutdown.cancel();
///     assert_eq!(serving.await?, "goodbye");
///     Ok::<_, std::io::Error>(())
/// })
/// # .unwrap();
/// ```
#[derive(Clone, Default)]
pub struct CancellationToken {
    node: Rc<Node>,
}

/// A token in the tree. A child keeps its parent; a parent only knows its children.
#[derive(Default)]
struct Node {
    cancelled: Cell<bool>,
    waiters: RefCell<Slab<Waker>>,
    children: RefCell<Slab<Weak<Self>>>,
    /// The parent, and the place there.
    parent: Option<(Rc<Self>, usize)>,
}

impl CancellationToken {
    /// A token that is not cancelled and has no parent.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A token that is cancelled when this one is, and is so from the start if this one is.
    ///
    /// It costs an allocation, and its parent a place until its last clone is dropped.
    #[must_use]
    pub fn child_token(&self) -> Self {
        let node = Rc::new_cyclic(|child| Node {
            cancelled: Cell::new(self.is_cancelled()),
            waiters: RefCell::default(),
            children: RefCell::default(),
            parent: Some((Rc::clone(&self.node), self.node.insert_child(child.clone()))),
        });
        Self { node }
    }

    /// Cancels the token and all below it, and wakes whoever waits for one of them. Again, it does nothing.
    ///
    /// All are cancelled before the first is woken.
    ///
    /// # Panics
    ///
    /// When a waker does, which no task's own does; after all were woken.
    pub fn cancel(&self) {
        let mut wakers = Vec::new();
        let mut nodes = vec![Rc::clone(&self.node)];
        while let Some(node) = nodes.pop() {
            if !node.cancelled.replace(true) {
                wakers.extend(node.waiters.take().into_iter().map(|(_, waker)| waker));
                nodes
                    .extend(node.children.borrow().iter().filter_map(|(_, child)| child.upgrade()));
            }
        }
        let mut panicked = Ok(());
        for waker in wakers {
            panicked = panicked.and(catch_unwind(AssertUnwindSafe(|| waker.wake())));
        }
        panicked.unwrap_or_else(|payload| resume_unwind(payload));
    }

    /// Whether the token, or one above it, was cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.node.cancelled.get()
    }

    /// Waits until the token is cancelled; ready at once if it is.
    ///
    /// Dropping the future ends the wait.
    #[must_use = "futures do nothing unless awaited"]
    pub fn cancelled(&self) -> Cancelled {
        Cancelled { token: self.clone(), key: None }
    }

    /// Runs a future until it is ready, or the token is cancelled: then it is dropped and there is no output.
    ///
    /// Where both happen at once there is an output. If the token is cancelled already, the future is never polled.
    pub async fn run_until_cancelled<F: Future>(&self, future: F) -> Option<F::Output> {
        let mut cancelled = self.cancelled();
        if self.is_cancelled() {
            return None;
        }
        let mut future = pin!(future);
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => Pin::new(&mut cancelled).poll(cx).map(|()| None),
        })
        .await
    }

    /// A guard that cancels the token when it is dropped.
    #[must_use = "dropping the guard cancels the token"]
    pub fn drop_guard(self) -> DropGuard {
        DropGuard { token: Some(self) }
    }
}

impl Node {
    fn insert_child(&self, child: Weak<Self>) -> usize {
        self.children.borrow_mut().insert(child)
    }
}

impl Drop for Node {
    /// A loop, because a chain of parents that nobody else holds may be long.
    fn drop(&mut self) {
        let mut parent = self.parent.take();
        while let Some((node, key)) = parent {
            let _ = node.children.borrow_mut().remove(key);
            parent = Rc::into_inner(node).and_then(|mut node| node.parent.take());
        }
    }
}

/// Waits for a [`CancellationToken`]; made by [`cancelled`](CancellationToken::cancelled). It keeps the token.
#[must_use = "futures do nothing unless awaited"]
pub struct Cancelled {
    token: CancellationToken,
    /// The place among the waiters.
    key: Option<usize>,
}

impl Future for Cancelled {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let node = &this.token.node;
        let waits = |key| node.waiters.borrow()[key].will_wake(cx.waker());
        if !node.cancelled.get() && this.key.is_some_and(waits) {
            return Poll::Pending;
        }
        // A waker is user code in its clone and its drop: neither may meet a borrow.
        let waker = cx.waker().clone();
        if node.cancelled.get() {
            return Poll::Ready(());
        }
        let mut waiters = node.waiters.borrow_mut();
        let replaced = match this.key {
            Some(key) => Some(std::mem::replace(&mut waiters[key], waker)),
            None => {
                this.key = Some(waiters.insert(waker));
                None
            }
        };
        drop(waiters);
        drop(replaced);
        Poll::Pending
    }
}

impl Drop for Cancelled {
    fn drop(&mut self) {
        let Some(key) = self.key.filter(|_| !self.token.is_cancelled()) else { return };
        let waker = self.token.node.waiters.borrow_mut().remove(key);
        drop(waker);
    }
}

/// Cancels its token when dropped; made by [`drop_guard`](CancellationToken::drop_guard).
#[derive(Debug)]
pub struct DropGuard {
    /// `None` once disarmed.
    token: Option<CancellationToken>,
}

impl DropGuard {
    /// The token, which is not cancelled.
    #[must_use]
    pub fn disarm(mut self) -> CancellationToken {
        self.token.take().expect("a guard is disarmed once")
    }
}

impl Drop for DropGuard {
    fn drop(&mut self) {
        if let Some(token) = &self.token {
            token.cancel();
        }
    }
}

impl fmt::Debug for CancellationToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancellationToken").field("is_cancelled", &self.is_cancelled()).finish()
    }
}

impl fmt::Debug for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancelled").field("token", &self.token).finish_non_exhaustive()
    }
}
