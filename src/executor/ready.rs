//! The queue of tasks to be polled: first in, first out, linked through the tasks.

use std::cell::Cell;

use crate::task::TaskRef;

/// Touched by the home thread only. A task is in it at most once, which its `SCHEDULED` flag says.
#[derive(Debug, Default)]
pub(super) struct Ready {
    first: Cell<Option<TaskRef>>,
    last: Cell<Option<TaskRef>>,
    len: Cell<u32>,
}

impl Ready {
    #[inline]
    pub(super) fn push(&self, task: TaskRef) {
        task.next.set(None);
        match self.last.replace(Some(task)) {
            Some(last) => last.next.set(Some(task)),
            None => self.first.set(Some(task)),
        }
        self.len.set(self.len.get() + 1);
    }

    #[inline]
    pub(super) fn pop(&self) -> Option<TaskRef> {
        let task = self.first.get()?;
        let next = task.next.take();
        self.first.set(next);
        if next.is_none() {
            self.last.set(None);
        }
        self.len.set(self.len.get() - 1);
        Some(task)
    }

    #[inline]
    pub(super) fn len(&self) -> u32 {
        self.len.get()
    }
}
