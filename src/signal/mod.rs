//! Signals of the process: ctrl-c, and a stream of each kind.
//!
//! The first call of [`signal()`] for a kind installs a handler for the whole process, which stays: from then on the
//! signal no longer does what it does by default, also when every listener was dropped. So once a program listens to
//! ctrl-c, ctrl-c ends it only by the hand of the program. A handler that was installed before is called after ours.
//!
//! Each listener, on each core of the process, is told of each kind at least once after it was delivered. Deliveries
//! that come faster than a listener looks are one, as they are in the kernel: what counts is that it came, not how
//! often. A signal that is blocked in all threads is delivered to none. The handler writes to a descriptor of the
//! process, so a thread with a table of descriptors of its own (`CLONE_FILES` undone) must block what is listened to.
//!
//! # What a dropped future does
//!
//! | method | if its future is dropped before it is done |
//! | --- | --- |
//! | [`Signal::recv`] | nothing is lost: the next `recv` is told |
//! | [`Termination::recv`] | as of [`Signal::recv`] |
//! | [`ctrl_c`] | what comes before the next call is lost; the handler stays. A [`Signal`] that is kept loses nothing |
//!
//! # A graceful shutdown
//!
//! On the first signal no more connections are accepted, those there are get time to finish, and a second signal, or
//! the end of that time, drops them:
//!
//! ```
//! use annulus::net::{Limits, TcpListener, TcpStream, serve};
//! use annulus::signal::termination;
//! use annulus::task::CancellationToken;
//! use annulus::time::Duration;
//!
//! /// Serves until the peer is done, or, between two requests, until the service is to end.
//! async fn session(stream: TcpStream, stopping: &CancellationToken) -> std::io::Result<()> {
//!     while let Some(Some(request)) = stopping.run_until_cancelled(stream.recv()).await.transpose()? {
//!         stream.send_all(request).await?;
//!     }
//!     stream.shutdown().await
//! }
//!
//! annulus::run(async {
//!     // Before the listener: no signal finds the process without its handler once it can be reached.
//!     let mut termination = termination()?;
//!     let listener = TcpListener::bind("127.0.0.1:0").await?;
//!     # annulus::spawn({
//!     #     let client = TcpStream::connect(listener.local_addr()?);
//!     #     async move {
//!     #         let client = client.await.unwrap();
//!     #         client.write_all(b"hello").await.unwrap();
//!     #         client.read_exact(&mut [0; 5]).await.unwrap();
//!     #         let pid = std::process::id().to_string();
//!     #         std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap();
//!     #         assert!(client.recv().await.unwrap().is_none(), "an orderly end");
//!     #     }
//!     # });
//!     let stopping = CancellationToken::new();
//!     let asked = stopping.clone();
//!     let limits = Limits::new().drain(Duration::from_secs(10));
//!     let server = serve(listener, limits, async move |stream| session(stream, &asked).await);
//!     let handle = server.handle();
//!     annulus::spawn(async move {
//!         termination.recv().await;
//!         stopping.cancel();
//!         handle.stop();
//!         termination.recv().await;
//!         handle.abort();
//!     });
//!     let served = server.await?;
//!     assert_eq!(served.ended, 1);
//!     std::io::Result::Ok(())
//! })
//! # .unwrap();
//! ```
//!
//! On many cores each has its own listener to signals; all are told. Or one is told, and stops the
//! [mesh](crate::mesh::Shard::stop).

mod kind;
mod termination;

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

pub use kind::SignalKind;
pub use termination::{Termination, termination};

use crate::driver::{self, Driver, gone};
use crate::executor::budget;
use crate::op::signal::Notices;
use crate::sys::signals;

/// Listens to a kind of signal, from now on.
///
/// # Errors
///
/// `InvalidInput` for a number that is no signal, and for those that cannot be handled: `SIGKILL` and `SIGSTOP`, which
/// the kernel keeps for itself, and `SIGSEGV`, `SIGBUS`, `SIGILL` and `SIGFPE`, after which the interrupted code
/// cannot go on. Otherwise that there is no descriptor left: each kind takes one, for good.
///
/// # Panics
///
/// Outside a runtime.
pub fn signal(kind: SignalKind) -> io::Result<Signal> {
    let driver = driver::current::expect("annulus::signal::signal");
    let source = signals::source(kind.as_raw_value())?;
    Ok(Signal { kind, notices: Notices::new(source), driver })
}

/// Waits for ctrl-c: for `SIGINT`, once, from the first poll on.
///
/// See the [module](self) for what listening changes for the whole process.
///
/// ```no_run
/// annulus::run(async {
///     annulus::signal::ctrl_c().await?;
///     std::io::Result::Ok(())
/// })
/// # .unwrap();
/// ```
///
/// # Errors
///
/// As [`signal()`], or that the runtime is gone.
///
/// # Panics
///
/// Outside a runtime.
pub async fn ctrl_c() -> io::Result<()> {
    signal(SignalKind::interrupt())?.recv().await.ok_or_else(gone)
}

/// A listener to one kind of signal; made by [`signal()`].
///
/// It stays on its core:
///
/// ```compile_fail,E0277
/// fn is_send<T: Send>() {}
/// is_send::<annulus::signal::Signal>();
/// ```
pub struct Signal {
    kind: SignalKind,
    notices: Rc<Notices>,
    driver: Rc<Driver>,
}

impl Signal {
    /// Waits until the signal was delivered since the last time, or since the listener was made. Deliveries that came
    /// meanwhile are one.
    ///
    /// `None` if there can be no more, because the runtime is gone. Nothing is lost if the future is dropped.
    pub async fn recv(&mut self) -> Option<()> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// As [`recv`](Self::recv), for futures written by hand. The last caller's task is the one that is woken.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<()>> {
        ready!(budget::proceed(cx));
        self.notices.poll_next(&self.driver, cx)
    }
}

impl Drop for Signal {
    fn drop(&mut self) {
        self.notices.close(&self.driver);
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signal").field("kind", &self.kind).finish_non_exhaustive()
    }
}
