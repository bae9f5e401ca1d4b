//! One runtime of a mesh, as every thread of it knows it.

use std::cell::RefCell;
use std::fmt;
use std::mem::ManuallyDrop;
use std::rc::Rc;
use std::sync::Arc;

use super::stop::{Stop, Stopped};
use super::values::Values;
use crate::runtime::{Handle, RemoteError, RemoteHandle};

/// What the shards of a mesh have in common.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) handles: Vec<Handle>,
    /// The processor of each shard, where it is pinned.
    pub(super) processors: Vec<Option<usize>>,
    pub(super) stop: Stop,
}

/// One core of a mesh: it takes work from every other.
///
/// It is cheap to clone and may be sent to any thread. Its methods cost a system call if the shard sleeps, and none
/// if it is awake.
///
/// ```
/// use annulus::mesh::{Cores, Mesh, shard};
///
/// let sums = Mesh::builder().cores(Cores::Count(2)).pin(false).run(async |me| {
///     let other = shard((me.index() + 1) % me.count());
///     // Sent there and back; what it uses there need not be `Send`.
///     let sum = other.call(async || std::rc::Rc::new([20, 22]).iter().sum::<u32>()).await?;
///     Ok::<_, std::io::Error>(sum)
/// })?;
/// assert_eq!(sums, [42, 42]);
/// # Ok::<_, std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Shard {
    table: Arc<Table>,
    index: usize,
}

impl Shard {
    pub(super) fn new(table: Arc<Table>, index: usize) -> Self {
        Self { table, index }
    }

    /// The shard that this thread is.
    ///
    /// # Panics
    ///
    /// Outside a mesh.
    #[track_caller]
    pub fn current() -> Self {
        Self::try_current().unwrap_or_else(|| outside("Shard::current"))
    }

    /// The shard that this thread is, or `None` outside a mesh.
    pub fn try_current() -> Option<Self> {
        Local::current().map(|local| local.shard.clone())
    }

    /// The shards of this thread's mesh, in order, itself included.
    ///
    /// # Panics
    ///
    /// Outside a mesh.
    #[track_caller]
    pub fn all() -> impl ExactSizeIterator<Item = Self> {
        let Self { table, .. } = Self::try_current().unwrap_or_else(|| outside("Shard::all"));
        (0..table.handles.len()).map(move |index| Self::new(Arc::clone(&table), index))
    }

    /// Calls a clone of `work` on every shard of this thread's mesh at once, itself included, and gives their
    /// outputs in order.
    ///
    /// If the future is dropped, what is under way is aborted, as by [`call`](Self::call).
    ///
    /// # Panics
    ///
    /// Outside a mesh.
    pub async fn broadcast<T: Send + 'static>(
        work: impl AsyncFnOnce() -> T + Clone + Send + 'static,
    ) -> Vec<Result<T, RemoteError>> {
        let calls = Self::all().map(|shard| AbortWhenDropped(shard.spawn(work.clone())));
        let mut outcomes = Vec::new();
        for mut call in calls.collect::<Vec<_>>() {
            outcomes.push((&mut call.0).await);
        }
        outcomes
    }

    /// Another shard of the same mesh.
    pub(super) fn sibling(&self, index: usize) -> Self {
        Self::new(Arc::clone(&self.table), index)
    }

    /// Its place in the mesh, from 0.
    pub fn index(&self) -> usize {
        self.index
    }

    /// How many shards the mesh has.
    pub fn count(&self) -> usize {
        self.table.handles.len()
    }

    /// The processor that it is pinned to.
    pub fn processor(&self) -> Option<usize> {
        self.table.processors[self.index]
    }

    /// Whether this thread is the shard.
    pub fn is_current(&self) -> bool {
        self.handle().is_current()
    }

    /// The handle of its runtime.
    pub fn handle(&self) -> &Handle {
        &self.table.handles[self.index]
    }

    /// Makes a task of `work` there, and returns at once; see [`Handle::spawn`].
    pub fn spawn<T: Send + 'static>(
        &self,
        work: impl AsyncFnOnce() -> T + Send + 'static,
    ) -> RemoteHandle<T> {
        self.handle().spawn(work)
    }

    /// Makes a task of `work` there and waits for its output; see [`Handle::call`].
    ///
    /// If the future is dropped, the task is aborted.
    ///
    /// # Errors
    ///
    /// [`RemoteError`]: the shard has ended, the task panicked or was dropped by the end of the shard.
    pub async fn call<T: Send + 'static>(
        &self,
        work: impl AsyncFnOnce() -> T + Send + 'static,
    ) -> Result<T, RemoteError> {
        self.handle().call(work).await
    }

    /// Asks all shards of the mesh to stop, as [`Stop::stop`] does.
    pub fn stop(&self) {
        self.table.stop.stop();
    }

    /// Whether the mesh was asked to stop.
    pub fn is_stopped(&self) -> bool {
        self.table.stop.is_stopped()
    }

    /// Resolves when the mesh is asked to stop: take no new work, finish what is under way, and return.
    ///
    /// Dropping the future leaves nothing behind.
    pub fn stopped(&self) -> Stopped {
        self.table.stop.stopped()
    }
}

impl fmt::Debug for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shard")
            .field("index", &self.index)
            .field("count", &self.count())
            .field("processor", &self.processor())
            .finish()
    }
}

/// The shard of this index in this thread's mesh.
///
/// # Panics
///
/// Outside a mesh, or if there are not so many.
#[track_caller]
pub fn shard(index: usize) -> Shard {
    let Shard { table, .. } =
        Shard::try_current().unwrap_or_else(|| outside("annulus::mesh::shard"));
    let count = table.handles.len();
    assert!(index < count, "there is no shard {index}: the mesh has {count}");
    Shard::new(table, index)
}

#[cold]
#[track_caller]
fn outside(name: &str) -> ! {
    panic!("{name} was called outside a mesh: call it on a thread that `Mesh::run` started")
}

struct AbortWhenDropped<T>(RemoteHandle<T>);

impl<T> Drop for AbortWhenDropped<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What a thread of a mesh has for itself.
#[derive(Debug)]
pub(super) struct Local {
    pub(super) shard: Shard,
    pub(super) values: Values,
}

thread_local! {
    /// Without a destructor: the guard owns it.
    static CURRENT: RefCell<Option<ManuallyDrop<Rc<Local>>>> = const { RefCell::new(None) };
}

impl Local {
    pub(super) fn new(shard: Shard) -> Rc<Self> {
        Rc::new(Self { shard, values: Values::default() })
    }

    pub(super) fn current() -> Option<Rc<Self>> {
        CURRENT.with_borrow(|current| current.as_deref().cloned())
    }

    /// Makes this the shard that the thread is, until the guard is dropped.
    pub(super) fn enter(self: &Rc<Self>) -> EnterGuard {
        CURRENT.set(Some(ManuallyDrop::new(Rc::clone(self))));
        EnterGuard
    }
}

/// The thread is a shard while this exists. A thread is that of one mesh, which `run` sees to.
#[derive(Debug)]
pub(super) struct EnterGuard;

impl Drop for EnterGuard {
    fn drop(&mut self) {
        // What is taken out may be the last handle: it is dropped after the cell is free again.
        let left = CURRENT.take();
        drop(left.map(ManuallyDrop::into_inner));
    }
}
