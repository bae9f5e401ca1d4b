//! The life of a mesh: its threads start, run a future each, and end together.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::Poll;
use std::thread;

use super::builder::Builder;
use super::error::{MeshError, message};
use super::placement::Placement;
use super::shard::{Local, Shard, Table};
use super::start::Gate;
use super::stop::Stop;
use crate::runtime::{self, Runtime};
use crate::sys::affinity;
use crate::time;

/// What the threads of one mesh share while it runs.
struct Life<'a, F, T, E> {
    settings: &'a Builder,
    placement: &'a Placement,
    main: &'a F,
    gate: Gate,
    futures: Futures,
    outcome: Mutex<Outcome<T, E>>,
}

/// How the shards' futures ended.
struct Outcome<T, E> {
    outputs: Vec<Option<T>>,
    /// The first.
    error: Option<MeshError<E>>,
}

/// The futures of the shards that have not ended.
struct Futures {
    count: AtomicUsize,
    /// Given when none is left.
    gone: Stop,
}

/// One of them.
struct Living<'a>(&'a Futures);

impl Drop for Living<'_> {
    fn drop(&mut self) {
        // AcqRel: the last one speaks for all.
        if self.0.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.gone.stop();
        }
    }
}

/// Runs `main` on every shard and returns when all threads have ended.
pub(super) fn run<F, T, E>(settings: &Builder, main: F) -> Result<Vec<T>, MeshError<E>>
where
    F: AsyncFn(Shard) -> Result<T, E> + Sync,
    T: Send,
    E: Send,
{
    runtime::check_not_nested().map_err(MeshError::refused)?;
    let placement = Placement::choose(&settings.cores, settings.pin).map_err(MeshError::refused)?;
    let count = placement.shards.len();
    let outputs = (0..count).map(|_| None).collect();
    let life = Life {
        settings,
        placement: &placement,
        main: &main,
        gate: Gate::new(count),
        futures: Futures { count: AtomicUsize::new(count), gone: Stop::new() },
        outcome: Mutex::new(Outcome { outputs, error: None }),
    };
    thread::scope(|scope| {
        for index in 0..count {
            let thread = thread::Builder::new().name(format!("{}{index}", settings.thread_name));
            let life = &life;
            if let Err(error) = thread.spawn_scoped(scope, move || life.thread(index)) {
                life.gate.report(index, Err(no_thread(&error)));
            }
        }
        life.gate.decide(|handles| Table {
            handles,
            processors: placement.shards.clone(),
            stop: settings.stop.clone(),
        })
    })?;
    let outcome = life.outcome.into_inner().unwrap_or_else(PoisonError::into_inner);
    match outcome.error {
        Some(error) => Err(error),
        None => Ok(outcome.outputs.into_iter().map(|output| output.expect("it ended")).collect()),
    }
}

fn no_thread(error: &io::Error) -> io::Error {
    let text = format!(
        "no thread could be made for it: {error}; raise RLIMIT_NPROC (ulimit -u) or the pids limit \
         of the control group, or ask for fewer cores"
    );
    io::Error::new(error.kind(), text)
}

impl<F, T, E> Life<'_, F, T, E>
where
    F: AsyncFn(Shard) -> Result<T, E> + Sync,
    T: Send,
    E: Send,
{
    /// All that the thread of a shard does.
    fn thread(&self, index: usize) {
        let runtime = match catch_unwind(AssertUnwindSafe(|| self.start(index))) {
            Ok(Ok(runtime)) => runtime,
            Ok(Err(error)) => return self.gate.report(index, Err(error)),
            Err(payload) => return self.gate.report(index, Err(panicked(&*payload))),
        };
        self.gate.report(index, Ok(runtime.handle()));
        let Some(table) = self.gate.wait() else {
            return;
        };
        let local = Local::new(Shard::new(table, index));
        let _entered = local.enter();
        let living = Living(&self.futures);
        let live = || runtime.block_on(self.live(local.shard.clone(), living));
        if let Err(payload) = catch_unwind(AssertUnwindSafe(live)) {
            self.fail(MeshError::Panicked { shard: index, message: message(&*payload) });
        }
        // What the shard keeps is dropped here, with the runtime entered; what that throws has nobody to go to.
        let clear = || runtime.block_on(async { local.values.clear() });
        let _ = catch_unwind(AssertUnwindSafe(clear));
        drop(runtime);
    }

    /// Makes the runtime, on its own thread.
    fn start(&self, index: usize) -> io::Result<Runtime> {
        let pin = || match self.placement.shards[index] {
            Some(processor) => affinity::pin(processor).map_err(|error| {
                let text = format!("it cannot be pinned to processor {processor}: {error}");
                io::Error::new(error.kind(), text)
            }),
            None => Ok(()),
        };
        let runtime = (self.settings.runtime)(runtime::Builder::new()).build_pinned(pin)?;
        runtime.keep_workers_on(&self.placement.spare);
        Ok(runtime)
    }

    /// Runs the shard's future, and after it what others ask of the shard, until no future is left.
    async fn live(&self, shard: Shard, living: Living<'_>) {
        let index = shard.index();
        match self.until_overdue(shard).await {
            Some(Ok(output)) => self.keep(index, output),
            Some(Err(error)) => self.fail(MeshError::Failed { shard: index, error }),
            None => self.fail(MeshError::Overdue { shard: index }),
        }
        drop(living);
        self.futures.gone.stopped().await;
    }

    /// What the shard's future gives; `None` if it was dropped for not ending in time after the stop.
    async fn until_overdue(&self, shard: Shard) -> Option<Result<T, E>> {
        let stopped = shard.stopped();
        let mut main = pin!((self.main)(shard));
        let mut stopped = pin!(stopped);
        let early = std::future::poll_fn(|cx| match main.as_mut().poll(cx) {
            Poll::Ready(result) => Poll::Ready(Some(result)),
            Poll::Pending => stopped.as_mut().poll(cx).map(|()| None),
        });
        match early.await {
            Some(result) => Some(result),
            None => time::timeout(self.settings.drain, main).await.ok(),
        }
    }

    fn keep(&self, index: usize, output: T) {
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        outcome.outputs[index] = Some(output);
    }

    /// Has all shards stop. The first error is the one that is told.
    fn fail(&self, error: MeshError<E>) {
        let mut outcome = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        let later = match outcome.error {
            Some(_) => Some(error),
            None => {
                outcome.error = Some(error);
                None
            }
        };
        drop(outcome);
        self.settings.stop.stop();
        drop(later);
    }
}

fn panicked(payload: &(dyn Any + Send)) -> io::Error {
    io::Error::other(format!("it panicked while it started: {}", message(payload)))
}
