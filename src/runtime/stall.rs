//! Tasks that keep their core for long: found by the time that each poll takes, and told to a hook.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::driver::Driver;
use crate::sys::plain::monotonic_ns;
use crate::task::{self, Id};

/// A poll that took too long, told to the hook of [`Builder::on_stall`](super::Builder::on_stall): for so long nothing
/// else ran on its core.
#[derive(Clone, Debug)]
pub struct Stall {
    task: Option<Id>,
    name: Option<Arc<str>>,
    lasted: Duration,
}

impl Stall {
    /// The task that was polled; `None` for the future of `block_on`.
    pub fn task(&self) -> Option<Id> {
        self.task
    }

    /// The task's name, if it was given one and did not end in its first poll.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// How long the poll took.
    pub fn lasted(&self) -> Duration {
        self.lasted
    }
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.task {
            Some(task) => write!(f, "task {task}")?,
            None => f.write_str("the main future")?,
        }
        if let Some(name) = &self.name {
            write!(f, " ({name})")?;
        }
        write!(f, " kept its core for {:?}", self.lasted)
    }
}

/// A poll that is watched.
pub(super) struct Polling {
    task: Option<Id>,
    name: Option<Arc<str>>,
    start_ns: u64,
}

/// What is asked of polls, and who is told.
pub(super) struct Watch {
    limit_ns: u64,
    hook: Box<dyn Fn(Stall)>,
}

impl Watch {
    pub(super) fn new(limit: Duration, hook: impl Fn(Stall) + 'static) -> Self {
        let limit_ns = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        Self { limit_ns, hook: Box::new(hook) }
    }

    /// A poll begins, of this task or of the main future.
    #[cold]
    pub(super) fn begin(task: Option<Id>) -> Polling {
        // A task that ends takes its name along, and one that begins brings it.
        let name = task.and_then(task::name_of);
        Polling { task, name, start_ns: monotonic_ns() }
    }

    /// It has ended: the hook is told if that was after more than the limit. What it throws is caught and counted.
    #[cold]
    pub(super) fn end(&self, polling: Polling, driver: &Driver) {
        let Polling { task, name, start_ns } = polling;
        let lasted_ns = monotonic_ns().saturating_sub(start_ns);
        if lasted_ns > self.limit_ns {
            let name = name.or_else(|| task.and_then(task::name_of));
            let stall = Stall { task, name, lasted: Duration::from_nanos(lasted_ns) };
            driver.catching(|| (self.hook)(stall));
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("limit_ns", &self.limit_ns).finish_non_exhaustive()
    }
}
