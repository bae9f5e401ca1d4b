//! What a server, its connections and its handles have in common.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use slab::Slab;

use super::{Limits, Served};
use crate::sync::Semaphore;
use crate::task::{AbortHandle, CancellationToken};
use crate::time::timeout;

/// See the head of the file.
pub(super) struct Shared {
    pub(super) limits: Limits,
    /// A permit for each connection that may be open. All are back when none is.
    pub(super) room: Rc<Semaphore>,
    open: RefCell<Slab<AbortHandle>>,
    served: Cell<Served>,
    /// No more are accepted.
    pub(super) stopping: CancellationToken,
    /// The server's future is gone.
    pub(super) ended: CancellationToken,
}

impl Shared {
    pub(super) fn new(limits: Limits) -> Rc<Self> {
        Rc::new(Self {
            room: Rc::new(Semaphore::new(limits.connections as usize)),
            limits,
            open: RefCell::default(),
            served: Cell::default(),
            stopping: CancellationToken::new(),
            ended: CancellationToken::new(),
        })
    }

    /// The key of the connection that [`join`](Self::join)s next.
    pub(super) fn next_key(&self) -> usize {
        self.open.borrow().vacant_key()
    }

    pub(super) fn join(&self, task: AbortHandle) {
        self.open.borrow_mut().insert(task);
    }

    /// A connection has ended.
    pub(super) fn leave(&self, key: usize, ended: fn(&mut Served) -> &mut u64) {
        let mut served = self.served.get();
        *ended(&mut served) += 1;
        self.served.set(served);
        // A runtime that is ending drops a task before it is in the list.
        let task = self.open.borrow_mut().try_remove(key);
        drop(task);
    }

    pub(super) fn served(&self) -> Served {
        self.served.get()
    }

    fn abort_all(&self) {
        // What runs in an abort may open or end connections.
        let open: Vec<AbortHandle> =
            self.open.borrow().iter().map(|(_, task)| task.clone()).collect();
        open.iter().for_each(AbortHandle::abort);
    }

    /// Waits until no connection is open, and cuts off those that take too long.
    pub(super) async fn drain(&self) {
        let none = || self.room.acquire_many(self.limits.connections);
        if timeout(self.limits.drain, none()).await.is_err() {
            self.abort_all();
            let _ = none().await;
        }
    }
}

/// Cuts off what is left when the server's future ends, however it does.
pub(super) struct Ending(pub(super) Rc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.stopping.cancel();
        self.0.abort_all();
        self.0.ended.cancel();
    }
}

/// A handle of a server, to end it and to see how it does; made by [`Serve::handle`](super::Serve::handle).
///
/// It stays on its core, where any number of clones may be. From other threads, a server is ended by the future that
/// it runs [`until`](super::Serve::until).
#[derive(Clone)]
pub struct ServeHandle {
    pub(super) shared: Rc<Shared>,
}

impl ServeHandle {
    /// Accepts no more, and lets the connections end, as when the future of [`until`](super::Serve::until) is ready.
    pub fn stop(&self) {
        self.shared.stopping.cancel();
    }

    /// Accepts no more, and cuts off the connections now, without the time of [`Limits::drain`].
    pub fn abort(&self) {
        self.shared.stopping.cancel();
        self.shared.abort_all();
    }

    /// Whether it accepts no more.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.shared.stopping.is_cancelled()
    }

    /// Waits until the server accepts no more and none of its connections is left, or its future was dropped.
    ///
    /// Dropping the future leaves nothing behind.
    pub fn ended(&self) -> impl Future<Output = ()> + use<> {
        self.shared.ended.cancelled()
    }

    /// The connections that are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.open.borrow().len()
    }

    /// How many have ended so far, and how.
    #[must_use]
    pub fn served(&self) -> Served {
        self.shared.served()
    }
}

impl fmt::Debug for ServeHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServeHandle")
            .field("connections", &self.connections())
            .field("served", &self.served())
            .finish_non_exhaustive()
    }
}
