//! One connection that is served: a task that knows its deadlines, and says how it ended wherever it does.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::Served;
use super::shared::Shared;
use super::watch::Watch;
use crate::sync::OwnedSemaphorePermit;
use crate::task::{self, Failure, JoinError};

/// What is told of handlers that fail.
pub(super) type Hook<E> = dyn Fn(Failure<E>);

pin_project! {
    /// See the file's head. The handler's future is dropped first, and with it the connection; then the place is free.
    pub(super) struct Session<F, E> {
        #[pin]
        handler: F,
        #[pin]
        watch: Option<Watch>,
        hook: Option<Rc<Hook<E>>>,
        place: Place,
    }
}

/// A place among the connections of a server. Dropping it gives it back and counts how the connection ended.
pub(super) struct Place {
    shared: Rc<Shared>,
    key: usize,
    /// Which of the counts goes up.
    ended: fn(&mut Served) -> &mut u64,
    _permit: OwnedSemaphorePermit,
}

impl<F, E> Session<F, E> {
    pub(super) fn new(
        handler: F,
        watch: Option<Watch>,
        hook: Option<Rc<Hook<E>>>,
        place: Place,
    ) -> Self {
        Self { handler, watch, hook, place }
    }
}

impl<F: Future<Output = Result<(), E>>, E> Future for Session<F, E> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        let handler = this.handler;
        match catch_unwind(AssertUnwindSafe(|| handler.poll(cx))) {
            Ok(Poll::Pending) => {
                let late =
                    this.watch.as_pin_mut().map_or(Poll::Pending, |watch| watch.poll_late(cx));
                if late.is_ready() {
                    this.place.ended = |served| &mut served.late;
                }
                return late;
            }
            Ok(Poll::Ready(Ok(()))) => this.place.ended = |served| &mut served.ended,
            Ok(Poll::Ready(Err(error))) => {
                this.place.ended = |served| &mut served.failed;
                if let Some(hook) = this.hook {
                    hook(Failure::Error(error));
                }
            }
            Err(payload) => {
                this.place.ended = |served| &mut served.panicked;
                tell_panic(this.hook.as_deref(), payload);
            }
        }
        Poll::Ready(())
    }
}

#[cold]
fn tell_panic<E>(hook: Option<&Hook<E>>, payload: Box<dyn Any + Send>) {
    let error = JoinError::panicked(task::id(), payload);
    match hook {
        Some(hook) => hook(Failure::Panic(error)),
        None => task::report_panic(error),
    }
}

impl Place {
    /// Until it says otherwise, its connection was cut off.
    pub(super) fn new(shared: &Rc<Shared>, key: usize, permit: OwnedSemaphorePermit) -> Self {
        let shared = Rc::clone(shared);
        Self { shared, key, ended: |served| &mut served.aborted, _permit: permit }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.leave(self.key, self.ended);
    }
}
