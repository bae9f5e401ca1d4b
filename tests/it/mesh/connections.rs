//! One port on every core, and connections that go from one core to another.

use std::io::{self, Read};
use std::net::{TcpListener as StdListener, TcpStream as StdStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use annulus::mesh::{Shard, Stop, shard};
use annulus::net::{ListenOptions, TcpListener, TcpStream};
use annulus::task::JoinSet;
use annulus::time::{sleep, timeout};

use super::{Result, from_shard_0, mesh};
use crate::support::leak::LeakGuard;
use crate::support::settled::{PATIENCE, byte, content, narrow_pair, pair, until, write_now};

#[test]
fn every_shard_listens_on_the_port_and_every_connection_is_served() {
    const CONNECTIONS: usize = 64;
    let _leaks = LeakGuard::new();
    let port = TcpListener::bind_sharded("127.0.0.1:0").expect("a free port");
    assert_ne!(port.local_addr().port(), 0);
    let served = AtomicUsize::new(0);
    let listening = AtomicUsize::new(0);
    let outcome = std::thread::scope(|scope| {
        scope.spawn(|| {
            wait_for(&listening, 2);
            // All at once, so that each has a port of its own.
            let connect = |_| StdStream::connect(port.local_addr()).expect("it listens");
            let streams: Vec<StdStream> = (0..CONNECTIONS).map(connect).collect();
            for mut stream in streams {
                let mut answer = [0; 1];
                stream.read_exact(&mut answer).expect("it is served");
            }
        });
        mesh(2).run(async |me| {
            let listener = port.listen()?;
            assert_eq!(listener.local_addr()?, port.local_addr());
            listening.fetch_add(1, Ordering::Release);
            let mut count = 0;
            while served.load(Ordering::Relaxed) < CONNECTIONS {
                let accepted = timeout(Duration::from_millis(1), listener.accept()).await;
                if let Ok(accepted) = accepted {
                    accepted?.0.write_all(&[me.index() as u8]).await?;
                    served.fetch_add(1, Ordering::Relaxed);
                    count += 1;
                }
            }
            Result::Ok(count)
        })
    });
    let counts = outcome.expect("all is well");
    assert_eq!(counts.iter().sum::<usize>(), CONNECTIONS);
    assert!(counts.iter().all(|count| *count > 0), "the kernel spreads them: {counts:?}");
}

#[test]
fn a_port_that_others_use_is_reported_whether_they_share_it_or_not() {
    let _leaks = LeakGuard::new();
    let port = TcpListener::bind_sharded("127.0.0.1:0").expect("a free port");
    let taken = port.local_addr();
    let shared = mesh(2).run(async |_| {
        let _listener = port.listen()?;
        let again = TcpListener::bind_sharded(taken).map(drop);
        assert_eq!(again.expect_err("it is ours").kind(), io::ErrorKind::AddrInUse);
        let plain = TcpListener::bind(taken).await;
        assert_eq!(plain.expect_err("it is ours").kind(), io::ErrorKind::AddrInUse);
        Result::Ok(())
    });
    shared.expect("all is well");
    drop(port);
    let plain = StdListener::bind("127.0.0.1:0").expect("a free port");
    let taken = plain.local_addr().expect("bound");
    let error = TcpListener::bind_sharded(taken).expect_err("it is std's");
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&taken.to_string()), "{error}");
}

#[test]
fn a_plain_listener_stays_alone_on_its_port() {
    let _leaks = LeakGuard::new();
    let outcome = mesh(2).run(async |me| {
        if me.index() > 0 {
            return Ok(());
        }
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let taken = listener.local_addr()?;
        let bind = async move || {
            let options = ListenOptions::new().reuse_port(true);
            options.bind(taken).await.map(drop).map_err(|error| error.kind())
        };
        assert_eq!(shard(1).call(bind).await?, Err(io::ErrorKind::AddrInUse));
        Result::Ok(())
    });
    outcome.expect("all is well");
}

#[test]
fn the_port_is_free_again_when_nobody_has_it() {
    let _leaks = LeakGuard::new();
    let port = TcpListener::bind_sharded("127.0.0.1:0").expect("a free port");
    let address = port.local_addr();
    let clone = port.clone();
    drop(port);
    assert!(TcpListener::bind_sharded(address).is_err(), "the clone has it");
    drop(clone);
    drop(TcpListener::bind_sharded(address).expect("it is free"));
}

#[test]
fn old_connections_on_a_port_do_not_keep_it_from_being_taken() {
    from_shard_0(async |_| {
        let port = TcpListener::bind_sharded("127.0.0.1:0")?;
        let address = port.local_addr();
        let listener = port.listen()?;
        let client = TcpStream::connect(address).await?;
        // Who closes first lingers.
        drop(listener.accept().await?);
        assert!(client.recv().await?.is_none());
        drop((client, listener, port));
        let mut again = TcpListener::bind_sharded(address);
        let start = std::time::Instant::now();
        while again.is_err() && start.elapsed() < PATIENCE {
            // The listener's close is an operation that is still under way.
            sleep(Duration::from_micros(100)).await;
            again = TcpListener::bind_sharded(address);
        }
        let port = again?;
        assert!(TcpListener::bind_sharded(address).is_err(), "also before anybody listens");
        drop(port.listen()?);
        Ok(())
    });
}

#[test]
fn a_shard_that_does_not_listen_gets_no_connection() {
    from_shard_0(async |_| {
        let port = TcpListener::bind_sharded("127.0.0.1:0")?;
        let listener = port.listen()?;
        let mut clients = Vec::new();
        for _ in 0..16 {
            clients.push(TcpStream::connect(port.local_addr()).await?);
            listener.accept().await?;
        }
        Ok(())
    });
}

#[test]
fn a_moved_connection_has_what_arrived_and_what_arrives() {
    from_shard_0(async |other| {
        let (stream, mut far) = pair();
        write_now(&far, &content(1, 0, 1000));
        // Part of it is taken here, part is in our memory, part still comes.
        let mut head = [0; 10];
        stream.read_exact(&mut head).await?;
        assert_eq!(head[9], byte(1, 9));
        let moved = stream.move_to(&other, async |stream: TcpStream| {
            assert_eq!(Shard::current().index(), 1);
            let mut rest = vec![0; 1990];
            stream.read_exact(&mut rest).await?;
            stream.write_all(&rest).await?;
            stream.shutdown().await?;
            Result::Ok(rest)
        });
        let task = moved.await?;
        write_now(&far, &content(1, 1000, 1000));
        assert_eq!(task.await??, content(1, 10, 1990));
        far.set_nonblocking(false)?;
        let mut back = Vec::new();
        far.read_to_end(&mut back)?;
        assert_eq!(back, content(1, 10, 1990));
        Ok(())
    });
}

#[test]
fn a_connection_moves_back_and_forth() {
    from_shard_0(async |other| {
        let (mut stream, far) = pair();
        for round in 0..20 {
            write_now(&far, &content(2, round * 100, 100));
            if round % 2 == 0 {
                stream.readable().await?;
            }
            let moved = stream.move_to(&other, async |stream: TcpStream| stream.detach().await);
            stream = moved.await?.await??.attach();
        }
        let mut all = vec![0; 2000];
        stream.read_exact(&mut all).await?;
        assert_eq!(all, content(2, 0, 2000));
        Ok(())
    });
}

#[test]
fn the_end_and_the_error_of_a_connection_move_with_it() {
    from_shard_0(async |other| {
        let (stream, far) = pair();
        write_now(&far, b"last");
        drop(far);
        stream.readable().await?;
        let moved = stream.move_to(&other, async |stream: TcpStream| {
            let mut text = [0; 4];
            stream.read_exact(&mut text).await?;
            Result::Ok((text, stream.recv().await?.is_none()))
        });
        assert_eq!(moved.await?.await??, (*b"last", true));

        let (stream, far) = pair();
        stream.write_all(b"unread").await?;
        until(|| far.peek(&mut [0; 8]).is_ok_and(|count| count == 6)).await;
        // What lies unread makes the close a reset.
        drop(far);
        stream.readable().await?;
        let moved = stream.move_to(&other, async |stream: TcpStream| {
            stream.recv().await.expect_err("it was reset").kind()
        });
        assert_eq!(moved.await?.await?, io::ErrorKind::ConnectionReset);
        Ok(())
    });
}

#[test]
fn sends_are_out_before_a_connection_moves() {
    const LEN: usize = 1_000_000;
    from_shard_0(async |other| {
        let (stream, far) = narrow_pair();
        let mut sending = Box::pin(stream.send_all(content(3, 0, LEN)));
        // More than the kernel has room for: it is under way, and then nobody's.
        assert!(timeout(Duration::from_millis(1), &mut sending).await.is_err());
        drop(sending);
        let reading = std::thread::spawn(move || {
            far.set_nonblocking(false).expect("a socket");
            let mut bytes = Vec::new();
            (&far).read_to_end(&mut bytes).expect("whole");
            bytes
        });
        let moved = stream.move_to(&other, async |stream: TcpStream| {
            stream.write_all(&content(3, LEN, 10)).await?;
            stream.shutdown().await
        });
        moved.await?.await??;
        assert!(reading.join().expect("no panic") == content(3, 0, LEN + 10), "whole and in order");
        Ok(())
    });
}

#[test]
fn a_connection_that_cannot_move_is_given_back() {
    let _leaks = LeakGuard::new();
    let outcome = mesh(2).run(async |me| {
        if me.index() == 1 {
            panic!("at once");
        }
        me.stopped().await;
        let other = shard(1);
        while other.call(async || ()).await.is_ok() {}
        let (stream, far) = pair();
        write_now(&far, b"kept");
        stream.readable().await?;
        let refused = stream.move_to(&other, async |stream: TcpStream| drop(stream)).await;
        let stream = refused.expect_err("it has ended").into_stream().expect("it is whole");
        let mut text = [0; 4];
        stream.read_exact(&mut text).await?;
        assert_eq!(&text, b"kept");
        Result::Ok(())
    });
    assert_eq!(outcome.expect_err("one panicked").shard(), Some(1));
}

#[test]
fn a_detached_connection_that_nobody_attaches_is_closed() {
    from_shard_0(async |_| {
        let (stream, mut far) = pair();
        drop(stream.detach().await?);
        far.set_nonblocking(false)?;
        assert_eq!(far.read(&mut [0; 1])?, 0);
        let (stream, mut far) = pair();
        // Dropped half-way.
        drop(
            timeout(
                Duration::ZERO,
                stream.move_to(&shard(1), async |stream: TcpStream| drop(stream)),
            )
            .await,
        );
        far.set_nonblocking(false)?;
        assert_eq!(far.read(&mut [0; 1])?, 0);
        Ok(())
    });
}

#[test]
fn a_graceful_stop_serves_what_was_accepted_and_refuses_what_comes_later() {
    const CLIENTS: usize = 4;
    let _leaks = LeakGuard::new();
    let port = TcpListener::bind_sharded("127.0.0.1:0").expect("a free port");
    let (listening, accepted, left) =
        (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let stop = Stop::new();
    let serve = async |me: Shard| {
        let listener = port.listen()?;
        listening.fetch_add(1, Ordering::SeqCst);
        let mut connections = JoinSet::new();
        loop {
            let next = annulus::select! {
                () = me.stopped() => break,
                next = listener.accept() => next,
            };
            let (stream, _) = next?;
            accepted.fetch_add(1, Ordering::SeqCst);
            let me = me.clone();
            connections.spawn(async move {
                me.stopped().await;
                stream.write_all(b"served").await
            });
        }
        drop(listener);
        left.fetch_add(1, Ordering::SeqCst);
        while left.load(Ordering::SeqCst) < 3 {
            sleep(Duration::from_micros(100)).await;
        }
        while let Some(ended) = connections.join_next().await {
            ended??;
        }
        Result::Ok(())
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            wait_for(&listening, 2);
            let connect = || StdStream::connect(port.local_addr());
            let clients = [(); CLIENTS].map(|()| connect().expect("they listen"));
            wait_for(&accepted, CLIENTS);
            stop.stop();
            wait_for(&left, 2);
            // A dropped listener is closed two turns of the loop later; what it had not accepted by then is reset.
            let start = std::time::Instant::now();
            let attempts =
                std::iter::repeat_with(connect).take_while(|_| start.elapsed() < PATIENCE);
            let mut errors = attempts.filter_map(|attempt| Some(attempt.err()?.kind()));
            let late = errors.find(|kind| *kind != io::ErrorKind::ConnectionReset);
            assert_eq!(late, Some(io::ErrorKind::ConnectionRefused), "nobody listens in the end");
            left.fetch_add(1, Ordering::SeqCst);
            for mut client in clients {
                let mut text = String::new();
                client.read_to_string(&mut text).expect("it is served to the end");
                assert_eq!(text, "served");
            }
        });
        mesh(2).stop(&stop).run(serve).expect("all is well");
    });
}

/// Waits on a plain thread until the counter is there.
#[track_caller]
fn wait_for(counter: &AtomicUsize, count: usize) {
    let start = std::time::Instant::now();
    while counter.load(Ordering::SeqCst) < count {
        assert!(start.elapsed() < PATIENCE, "it did not come to pass");
        std::thread::sleep(Duration::from_micros(100));
    }
}
