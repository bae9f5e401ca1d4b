//! The server kit: an accept loop with a limit, deadlines of connections, and an orderly end.

mod limits;
mod session;
mod shared;
mod watch;

use std::fmt;
use std::io;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};

pub use limits::{Limits, Served};
pub use shared::ServeHandle;

use self::sealed::{Sealed, Watched};
use self::session::{Hook, Place, Session};
use self::shared::{Ending, Shared};
use self::watch::{Movement, Watch};
use super::{
    TcpListener, TcpStream, UnixListener, UnixSeqpacket, UnixSeqpacketListener, UnixStream,
};
use crate::select;
use crate::sync::OwnedSemaphorePermit;
use crate::task::{self, Failure};

/// Serves the connections of a listener, each by a call of `handler` in a task of its own, within `limits`.
///
/// The future ends when it is told to: by the future that it runs [`until`](Serve::until), or by its
/// [`handle`](Serve::handle). It accepts no more then, serves what was accepted before as far as there is room, closes
/// the others and the listener, whose backlog is refused, gives the connections the time of [`Limits::drain`], cuts off
/// those that are left, and says how many ended and how. A handler that fails or panics ends its own connection and
/// nothing else; it is counted, and told to [`on_failure`](Serve::on_failure). When no descriptor is left, connections
/// wait in the kernel, as for [`TcpListener::accept`].
///
/// It serves on this core. On many, each shard of a [mesh](crate::mesh) serves a listener of its own, of
/// [`bind_sharded`](TcpListener::bind_sharded), until [`stopped`](crate::mesh::Shard::stopped).
///
/// Dropping the future closes the listener and aborts the connections: they are gone when the loop has turned.
///
/// ```
/// use annulus::net::{Limits, TcpListener, TcpStream, serve};
/// use annulus::task::CancellationToken;
/// use annulus::time::Duration;
///
/// annulus::run(async {
///     let listener = TcpListener::bind("127.0.0.1:0").await?;
///     let address = listener.local_addr()?;
///     let limits = Limits::new().connections(100).idle(Duration::from_secs(60));
///     let stop = CancellationToken::new();
///     let stopping = stop.clone();
///     let server = serve(listener, limits, async move |stream| {
///         // Between two requests it looks whether the server is to end.
///         while let Some(Some(request)) = stopping.run_until_cancelled(stream.recv()).await.transpose()? {
///             stream.send_all(request).await?;
///         }
///         Ok::<_, std::io::Error>(())
///     });
///     let server = annulus::spawn(server.until(stop.cancelled()));
///     let client = TcpStream::connect(address).await?;
///     client.write_all(b"hello").await?;
///     client.read_exact(&mut [0; 5]).await?;
///     stop.cancel();
///     assert_eq!(server.await??.ended, 1);
///     Ok::<_, std::io::Error>(())
/// })
/// # .unwrap();
/// ```
///
/// The recipe of [`signal`](crate::signal) has it end by a signal.
pub fn serve<L, H, E>(listener: L, limits: Limits, handler: H) -> Serve<L, H, E>
where
    L: Listener,
    H: AsyncFn(L::Stream) -> Result<(), E>,
{
    let setup = Setup { listener, handler, hook: None, until: None };
    Serve { setup: Some(setup), running: None, shared: Shared::new(limits) }
}

/// A listener whose connections [`serve`] serves: of TCP, of Unix streams or of sequenced packets.
pub trait Listener: Sealed<Connection = Self::Stream> + 'static {
    /// What it accepts.
    type Stream: 'static;
}

mod sealed {
    use super::{Movement, Weak, io};

    pub trait Sealed {
        type Connection;
        fn next(&self) -> impl Future<Output = io::Result<Self::Connection>>;
        fn waiting(&self) -> usize;
        fn watched(connection: &Self::Connection) -> Watched;
    }

    /// What the deadlines of a connection look at.
    #[derive(Debug)]
    pub struct Watched(pub(super) Weak<dyn Movement>);
}

macro_rules! listener {
    ($listener:ty, $stream:ty, $accept:ident, $moves:ident) => {
        impl Sealed for $listener {
            type Connection = $stream;

            async fn next(&self) -> io::Result<$stream> {
                self.$accept().await
            }

            fn waiting(&self) -> usize {
                self.untaken()
            }

            fn watched(connection: &$stream) -> Watched {
                let moves = Rc::downgrade(connection.$moves());
                Watched(moves)
            }
        }

        impl Listener for $listener {
            type Stream = $stream;
        }
    };
}

listener!(TcpListener, TcpStream, accept_stream, line);
listener!(UnixListener, UnixStream, accept_stream, line);
listener!(UnixSeqpacketListener, UnixSeqpacket, accept, endpoint);

/// A server that serves while it is awaited; made by [`serve`]. It begins with its first poll.
#[must_use = "a server serves while it is awaited"]
pub struct Serve<L, H, E> {
    setup: Option<Setup<L, H, E>>,
    running: Option<Running>,
    shared: Rc<Shared>,
}

type Running = Pin<Box<dyn Future<Output = io::Result<Served>>>>;

struct Setup<L, H, E> {
    listener: L,
    handler: H,
    hook: Option<Rc<Hook<E>>>,
    until: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

// What is polled lies in a box.
impl<L, H, E> Unpin for Serve<L, H, E> {}

impl<L, H, E> Serve<L, H, E> {
    /// Ends the server in good order when `end` is ready. A second one takes the place of the first.
    ///
    /// # Panics
    ///
    /// When the server runs already.
    pub fn until(mut self, end: impl IntoFuture<IntoFuture: 'static>) -> Self {
        let end = end.into_future();
        self.setup().until = Some(Box::pin(async move { drop(end.await) }));
        self
    }

    /// Has `hook` called with each error and each panic of a handler. Without one, errors are dropped and panics go to
    /// [`on_unhandled_panic`](crate::Builder::on_unhandled_panic); counted are both.
    ///
    /// # Panics
    ///
    /// When the server runs already.
    pub fn on_failure(mut self, hook: impl Fn(Failure<E>) + 'static) -> Self {
        self.setup().hook = Some(Rc::new(hook));
        self
    }

    /// A handle of the server, for others on this core.
    pub fn handle(&self) -> ServeHandle {
        ServeHandle { shared: Rc::clone(&self.shared) }
    }

    fn setup(&mut self) -> &mut Setup<L, H, E> {
        self.setup.as_mut().expect("a server is set up before it is polled")
    }
}

impl<L, H, E> Future for Serve<L, H, E>
where
    L: Listener,
    H: AsyncFn(L::Stream) -> Result<(), E> + 'static,
    E: 'static,
{
    /// How many connections ended, and how; or the error of the listener, after which no more could be accepted and
    /// those there were have ended as well.
    type Output = io::Result<Served>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(setup) = self.setup.take() {
            self.running = Some(Box::pin(run(setup, Rc::clone(&self.shared))));
        }
        let running = self.running.as_mut().expect("a server that was polled runs");
        running.as_mut().poll(cx)
    }
}

/// The life of a server.
async fn run<L, H, E>(setup: Setup<L, H, E>, shared: Rc<Shared>) -> io::Result<Served>
where
    L: Listener,
    H: AsyncFn(L::Stream) -> Result<(), E> + 'static,
    E: 'static,
{
    let Setup { listener, handler, hook, until } = setup;
    let _ending = Ending(Rc::clone(&shared));
    let accepting = Accepting { handler: Rc::new(handler), hook, shared };
    let shared = &accepting.shared;
    let end = async {
        match until {
            Some(until) => until.await,
            None => std::future::pending().await,
        }
    };
    let failed = select! {
        failed = accepting.all(&listener) => Err(failed),
        () = end => Ok(()),
        () = shared.stopping.cancelled() => Ok(()),
    };
    shared.stopping.cancel();
    if failed.is_ok() {
        accepting.rest(&listener).await;
    }
    drop(listener);
    shared.drain().await;
    failed.map(|()| shared.served())
}

/// Who opens connections.
struct Accepting<H, E> {
    handler: Rc<H>,
    hook: Option<Rc<Hook<E>>>,
    shared: Rc<Shared>,
}

impl<H, E: 'static> Accepting<H, E> {
    /// Accepts while there is room; the error of the listener.
    async fn all<L>(&self, listener: &L) -> io::Error
    where
        L: Listener,
        H: AsyncFn(L::Stream) -> Result<(), E> + 'static,
    {
        loop {
            let permit = Rc::clone(&self.shared.room).acquire_owned().await;
            let permit = permit.expect("nobody closes it");
            match listener.next().await {
                Ok(stream) => self.begin::<L>(stream, permit),
                Err(error) => return error,
            }
        }
    }

    /// Serves what was accepted before the end, as far as there is room.
    async fn rest<L>(&self, listener: &L)
    where
        L: Listener,
        H: AsyncFn(L::Stream) -> Result<(), E> + 'static,
    {
        while listener.waiting() > 0
            && let Ok(permit) = Rc::clone(&self.shared.room).try_acquire_owned()
            && let Ok(stream) = listener.next().await
        {
            self.begin::<L>(stream, permit);
        }
    }

    fn begin<L>(&self, stream: L::Stream, permit: OwnedSemaphorePermit)
    where
        L: Listener,
        H: AsyncFn(L::Stream) -> Result<(), E> + 'static,
    {
        let shared = &self.shared;
        let watch = Watch::new(&shared.limits, L::watched(&stream).0);
        let place = Place::new(shared, shared.next_key(), permit);
        let handler = Rc::clone(&self.handler);
        let handler = async move { handler(stream).await };
        let task = task::spawn(Session::new(handler, watch, self.hook.clone(), place));
        shared.join(task.abort_handle());
    }
}

impl<L, H, E> fmt::Debug for Serve<L, H, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serve").field("handle", &self.handle()).finish_non_exhaustive()
    }
}
