//! Connections that end: dropped with something still to send they go on for a bounded time, and are then cut off;
//! closed in good order they wait for their peer.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use super::connection::Connection;
use super::{TcpStream, UnixStream};
use crate::driver::Driver;
use crate::executor;
use crate::time::timeout;

/// Waits until all is `sent`, for the builder's time; then, when the runtime ends, or at once where too many linger
/// already, `cut` ends what is left.
pub(super) fn linger(
    driver: &Rc<Driver>,
    sent: impl Future<Output = ()> + 'static,
    cut: impl FnOnce() + 'static,
) {
    let limits = driver.limits();
    let here = executor::current().filter(|_| driver.is_open());
    let (Some(executor), true) = (here, driver.lingering().get() < limits.lingering_max) else {
        return cut();
    };
    let time = limits.linger;
    let lingering = Lingering::new(Rc::clone(driver), cut);
    drop(executor.spawn(async move {
        if timeout(time, sent).await.is_ok() {
            lingering.spare();
        }
    }));
}

/// It is counted, and cut off if not all is out when this is dropped: the time has passed, or the runtime ends.
struct Lingering<F: FnOnce()> {
    driver: Rc<Driver>,
    cut: Option<F>,
}

impl<F: FnOnce()> Lingering<F> {
    fn new(driver: Rc<Driver>, cut: F) -> Self {
        let count = driver.lingering();
        count.set(count.get() + 1);
        Self { driver, cut: Some(cut) }
    }

    /// All is sent.
    fn spare(mut self) {
        self.cut = None;
    }
}

impl<F: FnOnce()> Drop for Lingering<F> {
    fn drop(&mut self) {
        let count = self.driver.lingering();
        count.set(count.get() - 1);
        if let Some(cut) = self.cut.take() {
            cut();
        }
    }
}

impl Connection {
    async fn close_gracefully(&self, patience: Duration) -> io::Result<()> {
        let ended = async {
            self.shutdown().await?;
            while self.recv().await?.is_some() {}
            Ok(())
        };
        timeout(patience, ended).await?
    }
}

impl TcpStream {
    /// Ends the connection so that the peer reads all that was sent to it: waits for a send under way, ends the
    /// outgoing direction, and drops what the peer sends until it has ended its own. A plain close with bytes unread is
    /// a reset, by which the peer may lose what it has not read yet.
    ///
    /// If the future is dropped, the stream is dropped.
    ///
    /// # Errors
    ///
    /// `TimedOut` if the peer has not ended after `patience`; that of the connection; that of a write whose future was
    /// dropped. The stream is dropped either way.
    pub async fn close_gracefully(self, patience: Duration) -> io::Result<()> {
        self.into_connection().close_gracefully(patience).await
    }
}

impl UnixStream {
    /// As [`TcpStream::close_gracefully`], also if the future is dropped.
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn close_gracefully(self, patience: Duration) -> io::Result<()> {
        self.connection().close_gracefully(patience).await
    }
}
