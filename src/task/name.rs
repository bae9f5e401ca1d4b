//! Names of tasks: known while they live, and by the panic that ends them.
//!
//! Few tasks have one, so it has no place in the task: the names of a thread's tasks are in a map. The future of such
//! a task puts its own in when it is first polled, and takes it out when it is dropped.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::id::Id;
use super::{id, try_id};

thread_local! {
    static NAMES: RefCell<BTreeMap<Id, Arc<str>>> = const { RefCell::new(BTreeMap::new()) };
}

/// The name of the running task, or `None` if it was given none, or outside a task.
pub fn name() -> Option<Arc<str>> {
    name_of(try_id()?)
}

/// The name of a task whose future is not dropped yet, on its own thread.
pub(crate) fn name_of(task: Id) -> Option<Arc<str>> {
    NAMES.try_with(|names| names.borrow().get(&task).cloned()).ok()?
}

pin_project! {
    /// The future of a task with a name.
    pub(super) struct Named<F> {
        #[pin]
        future: F,
        // Until the first poll.
        name: Option<Arc<str>>,
        entry: Entry,
    }
}

/// The entry of a task in the map, once there is one.
struct Entry(Option<Id>);

impl<F> Named<F> {
    pub(super) fn new(future: F, name: &str) -> Self {
        Self { future, name: Some(name.into()), entry: Entry(None) }
    }
}

impl<F: Future> Future for Named<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        if let Some(name) = this.name.take() {
            NAMES.with_borrow_mut(|names| names.insert(id(), name));
            this.entry.0 = Some(id());
        }
        this.future.poll(cx)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let forgotten = self.0.map(|id| NAMES.try_with(|names| names.borrow_mut().remove(&id)));
        drop(forgotten);
    }
}
