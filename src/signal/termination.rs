//! What asks a service to end, whichever signal it is.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};

use super::{Signal, SignalKind, signal};

/// Listens to what asks a service to end, from now on: ctrl-c ([`SignalKind::interrupt`]), and what `kill`, systemd and
/// container runtimes send ([`SignalKind::terminate`]).
///
/// See the [recipe](super#a-graceful-shutdown).
///
/// # Errors
///
/// As [`signal()`].
///
/// # Panics
///
/// Outside a runtime.
pub fn termination() -> io::Result<Termination> {
    Ok(Termination {
        interrupt: signal(SignalKind::interrupt())?,
        terminate: signal(SignalKind::terminate())?,
    })
}

/// A listener to ctrl-c and `SIGTERM`; made by [`termination`].
#[derive(Debug)]
pub struct Termination {
    interrupt: Signal,
    terminate: Signal,
}

impl Termination {
    /// Waits until one of the two was delivered since the last time, or since the listener was made, and says which.
    ///
    /// `None` if there can be no more, because the runtime is gone. Nothing is lost if the future is dropped.
    pub async fn recv(&mut self) -> Option<SignalKind> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// As [`recv`](Self::recv), for futures written by hand. The last caller's task is the one that is woken.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<SignalKind>> {
        for (kind, listener) in [
            (SignalKind::interrupt(), &mut self.interrupt),
            (SignalKind::terminate(), &mut self.terminate),
        ] {
            if let Poll::Ready(told) = listener.poll_recv(cx) {
                return Poll::Ready(told.map(|()| kind));
            }
        }
        Poll::Pending
    }
}
