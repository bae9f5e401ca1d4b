//! The two servers, each on threads of its own.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use annulus::mesh::{Cores, Mesh};
use annulus::net::{self, Limits, Served, ShardedListener};
use annulus::signal::termination;
use annulus::task::CancellationToken;

/// Connections of a core at once.
const CONNECTIONS_MAX: u32 = 100_000;

/// Serves with so many cores until the socket is closed at its other end; says first at which address.
pub(crate) type Serve = fn(usize, TcpStream, Sender<SocketAddr>) -> io::Result<()>;

/// The server of this example: what arrives is sent back from where it lies.
pub(crate) fn annulus(cores: usize, until: TcpStream, ready: Sender<SocketAddr>) -> io::Result<()> {
    let port = net::TcpListener::bind_sharded("127.0.0.1:0")?;
    serve(cores, &port, || {
        let until = net::TcpStream::from_std(until.try_clone()?)?;
        let (address, ready) = (port.local_addr(), ready.clone());
        Ok(async move {
            let _ = ready.send(address);
            until.recv().await.map(drop)
        })
    })?;
    Ok(())
}

/// Serves on `address` until the user has had enough.
pub(crate) fn listen(address: &str, cores: usize) -> io::Result<()> {
    let port = net::ListenOptions::new().nodelay(true).bind_sharded(address)?;
    let served = serve(cores, &port, || {
        // Before anybody listens: no signal finds the process without its handler once it can be reached.
        let mut termination = termination()?;
        let address = port.local_addr();
        Ok(async move {
            println!("echo on {address}");
            termination.recv().await;
            Ok(())
        })
    })?;
    println!("{} connections, {} cut off", served.total(), served.aborted);
    Ok(())
}

/// Every core listens on the port and keeps what it accepts; when all do, the first one looks out for the end.
fn serve<F: Future<Output = io::Result<()>>>(
    cores: usize,
    port: &ShardedListener,
    end: impl Fn() -> io::Result<F> + Sync,
) -> io::Result<Served> {
    let mesh = Mesh::builder().cores(Cores::Count(cores)).pin(cores > 1);
    let listening = AtomicUsize::new(0);
    let served = mesh.run(async |shard| {
        let end = if shard.index() == 0 { Some(end()?) } else { None };
        let listener = port.listen()?;
        listening.fetch_add(1, Ordering::Release);
        let stopping = CancellationToken::new();
        let asked = stopping.clone();
        let limits = Limits::new().connections(CONNECTIONS_MAX);
        let server = net::serve(listener, limits, async move |stream| echo(stream, &asked).await);
        let stopped = shard.stopped();
        let server = annulus::spawn(server.until(async move {
            stopped.await;
            stopping.cancel();
        }));
        if let Some(end) = end {
            while listening.load(Ordering::Acquire) < cores {
                annulus::time::sleep(Duration::from_millis(1)).await;
            }
            end.await?;
            shard.stop();
        }
        server.await?
    })?;
    Ok(served.into_iter().sum())
}

/// Echoes until the peer is done, or the server is to end: what is being sent then leaves whole, and an orderly end
/// follows it.
async fn echo(stream: net::TcpStream, stopping: &CancellationToken) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let echoes = async {
        while let Some(chunk) = stream.recv().await? {
            stream.send_all(chunk).await?;
        }
        Ok(())
    };
    match stopping.run_until_cancelled(echoes).await {
        Some(ended) => ended,
        None => stream.shutdown().await,
    }
}

/// The same on tokio, as its documentation writes it, with one core.
pub(crate) fn tokio(_cores: usize, until: TcpStream, ready: Sender<SocketAddr>) -> io::Result<()> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let _ = ready.send(listener.local_addr()?);
    listener.set_nonblocking(true)?;
    until.set_nonblocking(true)?;
    tokio::runtime::Builder::new_current_thread().enable_io().build()?.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let until = tokio::net::TcpStream::from_std(until)?;
        tokio::spawn(async move {
            loop {
                let (mut stream, _peer) = listener.accept().await?;
                stream.set_nodelay(true)?;
                tokio::spawn(async move {
                    let mut buf = vec![0; 16 * 1024];
                    loop {
                        let count = stream.read(&mut buf).await?;
                        if count == 0 {
                            return io::Result::Ok(());
                        }
                        stream.write_all(&buf[..count]).await?;
                    }
                });
            }
            #[expect(unreachable_code, reason = "it names the type of the task's result")]
            io::Result::Ok(())
        });
        until.readable().await
    })
}

/// A server on threads of its own.
pub(crate) struct Running {
    address: SocketAddr,
    thread: JoinHandle<io::Result<()>>,
    until: TcpStream,
}

impl Running {
    /// Starts `serve` on a port of the system's choice.
    pub(crate) fn start(name: &str, cores: usize, serve: Serve) -> io::Result<Self> {
        let meeting = TcpListener::bind("127.0.0.1:0")?;
        let until = TcpStream::connect(meeting.local_addr()?)?;
        let (served_until, _) = meeting.accept()?;
        let (ready, address) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || serve(cores, served_until, ready))?;
        match address.recv() {
            Ok(address) => Ok(Self { address, thread, until }),
            Err(_) => match thread.join() {
                Ok(Err(error)) => Err(error),
                _ => Err(io::Error::other("the server panicked")),
            },
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The CPU time that all threads but the calling one have used so far.
    pub(crate) fn cpu(&self) -> io::Result<Duration> {
        let own = std::fs::read_link("/proc/thread-self")?;
        let mut nanoseconds = 0;
        for task in std::fs::read_dir("/proc/self/task")? {
            let task = task?;
            if Some(task.file_name().as_os_str()) != own.file_name() {
                // A thread that has ended meanwhile has no file any more.
                let text = std::fs::read_to_string(task.path().join("schedstat"));
                let text = text.unwrap_or_default();
                nanoseconds +=
                    text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(0);
            }
        }
        Ok(Duration::from_nanos(nanoseconds))
    }

    pub(crate) fn stop(self) -> io::Result<()> {
        drop(self.until);
        self.thread.join().unwrap_or_else(|_| Err(io::Error::other("the server panicked")))
    }
}
