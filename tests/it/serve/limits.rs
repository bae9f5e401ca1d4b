//! How many at once, what becomes of the others, and handlers that fail.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::unix::net::UnixStream as StdUnix;
use std::rc::Rc;

use annulus::Builder;
use annulus::net::{Limits, UnixListener, UnixSeqpacket, UnixSeqpacketListener, serve};
use annulus::task::Failure;

use super::{client, echo, listener};
use crate::support::settled::{content, read_len, read_to_end, run, run_with, until, write_now};

#[test]
fn connections_beyond_the_limit_wait_and_are_all_served() {
    const LIMIT: u32 = 3;
    const CLIENTS: usize = 40;
    run_with(Builder::new().untaken_max(4), async || {
        let (listener, address) = listener().await;
        let (open, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let peak = Rc::clone(&most);
        let server = serve(listener, Limits::new().connections(LIMIT), async move |stream| {
            open.set(open.get() + 1);
            most.set(most.get().max(open.get()));
            let echoed = echo(stream).await;
            open.set(open.get() - 1);
            echoed
        });
        let handle = server.handle();
        let server = annulus::spawn(server);
        let clients: Vec<_> = (0..CLIENTS).map(|_| client(address)).collect();
        until(|| handle.connections() == LIMIT as usize).await;
        for (at, client) in clients.iter().enumerate() {
            write_now(client, &content(at, 0, 100));
        }
        for (at, client) in clients.into_iter().enumerate() {
            assert_eq!(read_len(&client, 100).await, content(at, 0, 100));
            assert!(handle.connections() <= LIMIT as usize);
        }
        handle.stop();
        let served = server.await.unwrap().unwrap();
        assert_eq!((served.ended, served.total()), (CLIENTS as u64, CLIENTS as u64));
        assert_eq!(peak.get(), LIMIT);
    });
}

#[test]
fn a_handler_that_fails_or_panics_ends_its_connection_and_is_told() {
    run(async || {
        let (listener, address) = listener().await;
        let told = Rc::new(RefCell::new(Vec::new()));
        let telling = Rc::clone(&told);
        let server =
            serve(listener, Limits::new(), async |stream| match stream.recv().await?.as_deref() {
                Some(b"fail") => Err(io::Error::other("as asked")),
                Some(b"panic") => panic!("as asked too"),
                _ => Ok(()),
            });
        let server = server.on_failure(move |failure| {
            telling.borrow_mut().push(match failure {
                Failure::Error(error) => error.to_string(),
                Failure::Panic(error) => {
                    (*error.into_panic().downcast::<&str>().expect("a text")).to_owned()
                }
            });
        });
        let handle = server.handle();
        let server = annulus::spawn(server);
        for (order, texts) in [("fail", 1), ("panic", 2), ("end", 2), ("fail", 3)] {
            let client = client(address);
            write_now(&client, order.as_bytes());
            assert_eq!(read_to_end(&client).await.unwrap(), b"");
            until(|| handle.connections() == 0).await;
            assert_eq!(told.borrow().len(), texts);
        }
        assert_eq!(*told.borrow(), ["as asked", "as asked too", "as asked"]);
        handle.stop();
        let served = server.await.unwrap().unwrap();
        assert_eq!((served.ended, served.failed, served.panicked), (1, 2, 1));
    });
}

#[test]
fn without_a_hook_a_panic_goes_to_the_runtime() {
    let panics = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counting = std::sync::Arc::clone(&panics);
    let order = std::sync::atomic::Ordering::SeqCst;
    let builder = Builder::new().on_unhandled_panic(move |_| {
        counting.fetch_add(1, order);
    });
    run_with(builder, async || {
        let (listener, address) = listener().await;
        let server = serve(listener, Limits::new(), async |stream| {
            stream.recv().await?;
            let text = "nobody is told by the server";
            if stream.peer_addr().is_ok() { panic!("{text}") } else { io::Result::Ok(()) }
        });
        let handle = server.handle();
        let server = annulus::spawn(server);
        let client = client(address);
        write_now(&client, b"x");
        assert_eq!(read_to_end(&client).await.unwrap(), b"");
        handle.stop();
        assert_eq!(server.await.unwrap().unwrap().panicked, 1);
    });
    assert_eq!(panics.load(order), 1);
}

#[test]
fn unix_streams_are_served_as_well() {
    run(async || {
        let name = crate::support::names::abstract_name();
        let listener = UnixListener::bind(&name).unwrap();
        let address = listener.local_addr().unwrap();
        let server = serve(listener, Limits::new(), async |stream| {
            while let Some(chunk) = stream.recv().await? {
                stream.send_all(chunk).await?;
            }
            io::Result::Ok(())
        });
        let handle = server.handle();
        let server = annulus::spawn(server);
        for at in 0..3_u8 {
            let client = StdUnix::connect_addr(&address).unwrap();
            client.set_nonblocking(true).unwrap();
            io::Write::write_all(&mut &client, &[at; 10]).unwrap();
            let mut answer = [0; 10];
            until(|| io::Read::read(&mut &client, &mut answer).is_ok()).await;
            assert_eq!(answer, [at; 10]);
        }
        until(|| handle.connections() == 0).await;
        handle.stop();
        assert_eq!(server.await.unwrap().unwrap().ended, 3);
    });
}

#[test]
fn sequenced_packets_are_served_as_well() {
    run(async || {
        let name = crate::support::names::abstract_name();
        let listener = UnixSeqpacketListener::bind(&name).unwrap();
        let server = serve(listener, Limits::new(), async |connection| {
            while let Some(message) = connection.recv_message().await? {
                connection.send_owned(message.into_chunk()).await?;
            }
            io::Result::Ok(())
        });
        let handle = server.handle();
        let server = annulus::spawn(server);
        for at in 0..3_u8 {
            let client = UnixSeqpacket::connect(&name).await.unwrap();
            client.send(&[at; 10]).await.unwrap();
            client.send(&[at]).await.unwrap();
            assert_eq!(&*client.recv_message().await.unwrap().unwrap(), [at; 10]);
            assert_eq!(&*client.recv_message().await.unwrap().unwrap(), [at]);
        }
        until(|| handle.connections() == 0).await;
        handle.stop();
        assert_eq!(server.await.unwrap().unwrap().ended, 3);
    });
}
