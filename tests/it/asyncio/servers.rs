//! asyncio's servers of streams.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use annulus::net::{Limits, TcpListener, TcpStream, UnixListener, UnixStream, serve};
use annulus::spawn;

use crate::support::names::abstract_name;
use crate::support::settled::{poll_once, run as settled, until};

async fn echo(stream: TcpStream) -> io::Result<()> {
    while let Some(chunk) = stream.recv().await? {
        stream.send_all(chunk).await?;
    }
    Ok(())
}

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("bind")
}

async fn ask(address: std::net::SocketAddr) -> TcpStream {
    let client = TcpStream::connect(address).await.expect("connect");
    client.write_all(b"hello").await.expect("send");
    client.read_exact(&mut [0; 5]).await.expect("the echo");
    client
}

#[test]
fn start_server() {
    settled(async || {
        let listener = listener().await;
        let address = listener.local_addr().expect("bound");
        let server = serve(listener, Limits::new(), echo);
        let handle = server.handle();
        let serving = spawn(server);
        let clients = [ask(address).await, ask(address).await];
        assert_eq!(handle.connections(), 2);
        drop(clients);
        handle.stop();
        assert_eq!(serving.await.expect("no panic").expect("no error").ended, 2);
    });
}

#[test]
fn start_unix_server() {
    settled(async || {
        let name = abstract_name();
        let server = serve(
            UnixListener::bind(&name).expect("bind"),
            Limits::new(),
            async |stream: UnixStream| stream.write_all(b"hello").await,
        );
        let handle = server.handle();
        let serving = spawn(server);
        let client = UnixStream::connect(&name).await.expect("connect");
        client.read_exact(&mut [0; 5]).await.expect("the text");
        handle.stop();
        assert_eq!(serving.await.expect("no panic").expect("no error").ended, 1);
    });
}

#[test]
fn server_serve_forever() {
    settled(async || {
        let listener = listener().await;
        let address = listener.local_addr().expect("bound");
        let client = spawn(async move { drop(ask(address).await) });
        let server = serve(listener, Limits::new(), echo);
        let handle = server.handle();
        let ending = spawn(async move {
            client.await.expect("no panic");
            until(|| handle.served().ended == 1).await;
            handle.stop();
        });
        assert_eq!(server.await.expect("no error").ended, 1);
        ending.await.expect("no panic");
    });
}

#[test]
fn server_start_serving() {
    settled(async || {
        let listener = listener().await;
        let address = listener.local_addr().expect("bound");
        let server = serve(listener, Limits::new(), echo);
        let handle = server.handle();
        // It is connected, and nobody answers yet.
        let client = TcpStream::connect(address).await.expect("the backlog has room");
        client.write_all(b"hello").await.expect("send");
        assert_eq!(handle.connections(), 0);
        let serving = spawn(server);
        client.read_exact(&mut [0; 5]).await.expect("the echo");
        drop(client);
        handle.stop();
        assert_eq!(serving.await.expect("no panic").expect("no error").ended, 1);
    });
}

#[test]
fn server_is_serving() {
    settled(async || {
        let server = serve(listener().await, Limits::new(), echo);
        let handle = server.handle();
        let serving = spawn(server);
        assert!(!handle.is_stopping());
        handle.stop();
        assert!(handle.is_stopping());
        serving.await.expect("no panic").expect("no error");
    });
}

#[test]
fn server_close() {
    settled(async || {
        let listener = listener().await;
        let address = listener.local_addr().expect("bound");
        let server = serve(listener, Limits::new(), echo);
        let handle = server.handle();
        let serving = spawn(server);
        let client = ask(address).await;
        handle.stop();
        until(|| std::net::TcpStream::connect(address).is_err()).await;
        // What is open goes on.
        client.write_all(b"again").await.expect("send");
        client.read_exact(&mut [0; 5]).await.expect("the echo");
        drop(client);
        serving.await.expect("no panic").expect("no error");
    });
}

#[test]
fn server_wait_closed() {
    settled(async || {
        let listener = listener().await;
        let address = listener.local_addr().expect("bound");
        let server = serve(listener, Limits::new(), echo);
        let handle = server.handle();
        drop(spawn(server));
        let client = ask(address).await;
        handle.stop();
        let mut ended = Box::pin(handle.ended());
        assert!(poll_once(&mut ended).await.is_pending());
        drop(client);
        ended.await;
        assert_eq!(handle.connections(), 0);
    });
}

#[test]
fn server_abort_clients() {
    settled(async || {
        let listener = listener().await;
        let address = listener.local_addr().expect("bound");
        let limits = Limits::new().drain(Duration::from_secs(3600));
        let server = serve(listener, limits, echo);
        let handle = server.handle();
        let serving = spawn(server);
        let client = Rc::new(ask(address).await);
        handle.abort();
        assert_eq!(serving.await.expect("no panic").expect("no error").aborted, 1);
        assert!(client.recv().await.expect("an orderly end").is_none());
    });
}

#[test]
fn server_sockets() {
    settled(async || {
        let listener = listener().await;
        let address = listener.local_addr().expect("bound");
        assert!(address.ip().is_loopback() && address.port() > 0);
        drop(serve(listener, Limits::new(), echo));
    });
}
