//! The two servers, each on a thread of its own.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

/// Serves until the second socket is closed at its other end.
pub(crate) type Serve = fn(TcpListener, TcpStream) -> io::Result<()>;

/// The server of this example: what arrives is sent back from where it lies.
pub(crate) fn annulus(listener: TcpListener, until: TcpStream) -> io::Result<()> {
    annulus::run(async {
        let listener = annulus::net::TcpListener::from_std(listener)?;
        let until = annulus::net::TcpStream::from_std(until)?;
        annulus::spawn(async move {
            loop {
                let (stream, _peer) = listener.accept().await?;
                stream.set_nodelay(true)?;
                annulus::spawn(echo(stream));
            }
            #[expect(unreachable_code, reason = "it names the type of the task's result")]
            io::Result::Ok(())
        });
        until.recv().await?;
        Ok(())
    })
}

async fn echo(stream: annulus::net::TcpStream) -> io::Result<()> {
    while let Some(chunk) = stream.recv().await? {
        stream.send_all(chunk).await?;
    }
    Ok(())
}

/// The same on tokio, as its documentation writes it.
pub(crate) fn tokio(listener: TcpListener, until: TcpStream) -> io::Result<()> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
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

/// Serves on `address` until the process is ended.
pub(crate) fn listen(address: &str) -> io::Result<()> {
    annulus::run(async {
        let listener = annulus::net::TcpListener::bind(address).await?;
        println!("echo on {}", listener.local_addr()?);
        loop {
            let (stream, _peer) = listener.accept().await?;
            annulus::spawn(echo(stream));
        }
    })
}

/// A server on its thread.
pub(crate) struct Running {
    address: SocketAddr,
    thread: JoinHandle<io::Result<()>>,
    /// Its files under /proc tell what the thread spent.
    thread_dir: String,
    until: TcpStream,
}

impl Running {
    /// Starts `serve` on a port of the system's choice.
    pub(crate) fn start(name: &str, serve: Serve) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let meeting = TcpListener::bind("127.0.0.1:0")?;
        let until = TcpStream::connect(meeting.local_addr()?)?;
        let (served_until, _) = meeting.accept()?;
        let (sender, receiver) = mpsc::channel();
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            let link = std::fs::read_link("/proc/thread-self")?;
            let _ = sender.send(format!("/proc/{}", link.display()));
            serve(listener, served_until)
        })?;
        let thread_dir = receiver.recv().map_err(io::Error::other)?;
        Ok(Self { address, thread, thread_dir, until })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The CPU time that the server's thread has used so far.
    pub(crate) fn cpu(&self) -> io::Result<Duration> {
        let text = std::fs::read_to_string(format!("{}/schedstat", self.thread_dir))?;
        let nanoseconds = text.split(' ').next().and_then(|first| first.parse().ok());
        nanoseconds.map(Duration::from_nanos).ok_or(io::ErrorKind::InvalidData.into())
    }

    pub(crate) fn stop(self) -> io::Result<()> {
        drop(self.until);
        self.thread.join().unwrap_or_else(|_| Err(io::Error::other("the server panicked")))
    }
}
