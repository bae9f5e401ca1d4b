//! All tasks that are not over, so that shutdown can drop each one where it belongs.

use std::cell::Cell;

use crate::task::TaskRef;

/// A list linked through the tasks, newest first. Touched by the home thread only.
#[derive(Debug, Default)]
pub(super) struct Owned {
    first: Cell<Option<TaskRef>>,
    len: Cell<usize>,
}

impl Owned {
    #[inline]
    pub(super) fn push(&self, task: TaskRef) {
        let next = self.first.replace(Some(task));
        task.owned_previous.set(None);
        task.owned_next.set(next);
        if let Some(next) = next {
            next.owned_previous.set(Some(task));
        }
        self.len.set(self.len.get() + 1);
    }

    /// Takes out a task that is in the list.
    #[inline]
    pub(super) fn remove(&self, task: TaskRef) {
        let (previous, next) = (task.owned_previous.take(), task.owned_next.take());
        match previous {
            Some(previous) => previous.owned_next.set(next),
            None => self.first.set(next),
        }
        if let Some(next) = next {
            next.owned_previous.set(previous);
        }
        self.len.set(self.len.get() - 1);
    }

    pub(super) fn first(&self) -> Option<TaskRef> {
        self.first.get()
    }

    pub(super) fn len(&self) -> usize {
        self.len.get()
    }
}
