//! Starting all shards or none: each reports once, and waits for the verdict.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::error::MeshError;
use super::shard::Table;
use crate::runtime::Handle;

/// Where the threads of a mesh meet before any of them runs.
#[derive(Debug)]
pub(super) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    /// By shard; `None` until it has reported.
    reports: Vec<Option<io::Result<Handle>>>,
    verdict: Option<Verdict>,
}

#[derive(Clone, Debug)]
enum Verdict {
    Run(Arc<Table>),
    Leave,
}

impl Gate {
    pub(super) fn new(shards: usize) -> Self {
        let reports = (0..shards).map(|_| None).collect();
        Self { state: Mutex::new(State { reports, verdict: None }), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says how the start of a shard went, once for each.
    pub(super) fn report(&self, shard: usize, result: io::Result<Handle>) {
        self.lock().reports[shard] = Some(result);
        self.changed.notify_all();
    }

    /// Waits for what all shards are to do: run, with this table, or leave.
    pub(super) fn wait(&self) -> Option<Arc<Table>> {
        let state = self.lock();
        let state = self.changed.wait_while(state, |state| state.verdict.is_none());
        match state.unwrap_or_else(PoisonError::into_inner).verdict.clone() {
            Some(Verdict::Run(table)) => Some(table),
            Some(Verdict::Leave) | None => None,
        }
    }

    /// Waits until all shards have reported, and then tells them to run, or to leave because one failed.
    pub(super) fn decide<E>(
        &self,
        table: impl FnOnce(Vec<Handle>) -> Table,
    ) -> Result<(), MeshError<E>> {
        let state = self.lock();
        let pending = |state: &mut State| state.reports.iter().any(Option::is_none);
        let mut state =
            self.changed.wait_while(state, pending).unwrap_or_else(PoisonError::into_inner);
        let sorted = sort(std::mem::take(&mut state.reports));
        let (verdict, result) = match sorted {
            Ok(handles) => (Verdict::Run(Arc::new(table(handles))), Ok(())),
            Err(error) => (Verdict::Leave, Err(error)),
        };
        state.verdict = Some(verdict);
        drop(state);
        self.changed.notify_all();
        result
    }
}

/// The handles of all, or the first failure and who had started.
fn sort<E>(reports: Vec<Option<io::Result<Handle>>>) -> Result<Vec<Handle>, MeshError<E>> {
    let mut handles = Vec::new();
    let (mut failure, mut started) = (None, Vec::new());
    for (shard, report) in reports.into_iter().enumerate() {
        match report.expect("all have reported") {
            Ok(handle) => {
                started.push(shard);
                handles.push(handle);
            }
            Err(error) => _ = failure.get_or_insert((shard, error)),
        }
    }
    match failure {
        None => Ok(handles),
        Some((shard, error)) => Err(MeshError::Start { shard: Some(shard), error, started }),
    }
}
