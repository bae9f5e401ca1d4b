//! The task that stands for the future of `block_on`: a place in the queue, and wakers, without a future.
//!
//! The safety rules are those of `task`.
#![allow(unsafe_code, reason = "room 4: tasks")]

use std::task::Waker;

use super::cell::{Table, allocate_bare};
use super::header::TaskRef;
use super::state::{COMPLETE, JOIN_INTEREST, WOKEN};
use super::waker;
use crate::executor::{self, Executor};

/// When its turn comes, the worker polls the future that lies on its stack.
#[derive(Debug)]
pub(crate) struct Root {
    task: TaskRef,
    waker: Waker,
}

static TABLE: Table = Table::bare(come_up);

/// # Safety
///
/// At home, as for every poll.
unsafe fn come_up(task: TaskRef) -> bool {
    task.state.insert(WOKEN);
    executor::with_entered(|entered| {
        if let Some(executor) = entered {
            executor.root_came_up(true);
        }
    });
    false
}

impl Root {
    /// A root that is woken from the start. The executor is entered.
    pub(crate) fn new(executor: &Executor) -> Self {
        let task = allocate_bare(executor, executor.next_id(), &TABLE);
        task.retain();
        // SAFETY: the reference was just counted.
        let waker = unsafe { waker::waker(task) };
        task.schedule(executor);
        Self { task, waker }
    }

    pub(crate) fn waker(&self) -> &Waker {
        &self.waker
    }

    /// True once for each time that the root came up.
    pub(crate) fn take_woken(&self, executor: &Executor) -> bool {
        let woken = self.task.state.has(WOKEN);
        if woken {
            self.task.state.remove(WOKEN);
            executor.root_came_up(false);
        }
        woken
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        if self.task.state.has(WOKEN) {
            executor::with_entered(|entered| {
                if let Some(executor) = entered {
                    executor.root_came_up(false);
                }
            });
        }
        self.task.state.insert(COMPLETE);
        self.task.mark_finished();
        self.task.state.remove(JOIN_INTEREST);
        self.task.settle();
    }
}
