//! Tokens, deadlines that move, and waits of sets and collections, on a running core.

use std::cell::Cell;
use std::future::pending;
use std::rc::Rc;

use annulus::net::{TcpListener, TcpStream};
use annulus::runtime::metrics;
use annulus::task::{
    CancellationToken, JoinSet, Until, as_completed, gather, race, task_group, try_wait, wait,
    yield_now,
};
use annulus::time::{
    Duration, Instant, advance, pause, sleep, timeout, timeout_scope, timeout_scope_at,
};

use crate::support::settled::run;

const SECOND: Duration = Duration::from_secs(1);

async fn after(time: Duration) -> Duration {
    sleep(time).await;
    time
}

#[test]
fn a_deadline_moves_both_ways_and_away() {
    run(async || {
        pause();
        let start = Instant::now();
        let later = timeout_scope(SECOND, async |scope| {
            assert_eq!(scope.deadline(), Some(start + SECOND));
            scope.reschedule(Some(start + SECOND * 10));
            sleep(SECOND * 5).await;
            scope.deadline()
        });
        assert_eq!(later.await, Ok(Some(start + SECOND * 10)));
        assert_eq!(start.elapsed(), SECOND * 5);

        let start = Instant::now();
        let sooner = timeout_scope(SECOND * 10, async |scope| {
            sleep(SECOND).await;
            scope.reschedule(Some(start + SECOND * 2));
            pending::<()>().await;
        });
        assert!(sooner.await.is_err());
        assert_eq!(start.elapsed(), SECOND * 2);

        let start = Instant::now();
        let never = timeout_scope(SECOND, async |scope| {
            scope.reschedule(None);
            sleep(SECOND * 1000).await;
        });
        assert_eq!((never.await, start.elapsed()), (Ok(()), SECOND * 1000));

        let past = timeout_scope_at(None, async |scope| {
            scope.reschedule(Some(start));
            assert_eq!(scope.deadline(), Some(start));
            pending::<()>().await;
        });
        assert!(past.await.is_err());
        assert_eq!(start.elapsed(), SECOND * 1000, "at once");
    });
}

#[test]
fn a_deadline_is_moved_at_every_step_and_what_is_ready_is_not_lost() {
    run(async || {
        pause();
        for steps in 0..6 {
            let dropped = Rc::new(Cell::new(false));
            struct OnDrop(Rc<Cell<bool>>);
            impl Drop for OnDrop {
                fn drop(&mut self) {
                    self.0.set(true);
                }
            }
            let canary = OnDrop(Rc::clone(&dropped));
            let start = Instant::now();
            let moved = timeout_scope(SECOND, async move |scope| {
                let _canary = canary;
                for _ in 0..steps {
                    sleep(SECOND / 2).await;
                    scope.reschedule(Some(Instant::now() + SECOND));
                }
                pending::<()>().await;
            });
            assert!(moved.await.is_err());
            assert!(dropped.get());
            assert_eq!(start.elapsed(), SECOND + SECOND / 2 * steps);
        }
        // Ready and due in one poll: there is an output.
        let scope = timeout_scope(SECOND, async |_| {
            yield_now().await;
            7
        });
        let mut scope = std::pin::pin!(scope);
        assert!(timeout(Duration::ZERO, scope.as_mut()).await.is_err());
        advance(SECOND * 2).await;
        assert_eq!(scope.await, Ok(7));
        assert_eq!(metrics().live_timers, 0);
    });
}

#[test]
fn a_wait_ends_at_its_deadline_and_loses_nothing() {
    run(async || {
        pause();
        let mut set: JoinSet<_> = [3, 1, 2, 3600].map(|s| after(SECOND * s)).into_iter().collect();
        let start = Instant::now();
        let outputs = |done: Vec<(_, Result<Duration, _>)>| {
            done.into_iter().map(|(_, outcome)| outcome.expect("no panic").as_secs()).collect()
        };
        let done: Vec<u64> =
            outputs(wait(&mut set, Some(start + SECOND * 2 + SECOND / 2), Until::All).await);
        assert_eq!((done, set.len()), (vec![1, 2], 2));
        assert_eq!(start.elapsed(), SECOND * 2 + SECOND / 2);
        // A wait that is dropped at its own deadline has seen the third end; the set keeps it.
        let dropped = timeout(SECOND * 2, wait(&mut set, None, Until::All)).await;
        assert!(dropped.is_err());
        assert_eq!(set.len(), 2);
        let done: Vec<u64> = outputs(wait(&mut set, None, Until::FirstCompleted).await);
        assert_eq!((done, set.len()), (vec![3], 1));
        let past = wait(&mut set, Some(start), Until::FirstCompleted).await;
        assert!(past.is_empty());
        set.shutdown().await;
        assert!(wait(&mut set, None, Until::All).await.is_empty(), "an empty set");
    });
}

#[test]
fn an_error_ends_try_wait_and_the_others_go_on() {
    run(async || {
        pause();
        let mut set = JoinSet::new();
        for (seconds, fails) in [(1, false), (2, true), (3, false)] {
            set.spawn(async move {
                sleep(SECOND * seconds).await;
                if fails { Err(seconds) } else { Ok(seconds) }
            });
        }
        let done = try_wait(&mut set, None, Until::FirstFailed).await;
        let done: Vec<_> =
            done.into_iter().map(|(_, outcome)| outcome.expect("no panic")).collect();
        assert_eq!((done, set.len()), (vec![Ok(1), Err(2)], 1));
        assert_eq!(set.join_next().await.expect("one is left").expect("no panic"), Ok(3));
    });
}

#[test]
fn collections_of_ten_thousand() {
    run(async || {
        pause();
        let futures = || (0..10_000_u32).map(|n| after(SECOND * (n * 7919 % 10_000)));
        let outcomes = gather(futures()).await;
        let in_order = |(n, outcome): (u32, &Result<Duration, _>)| {
            outcome.as_ref().is_ok_and(|time| *time == SECOND * (n * 7919 % 10_000))
        };
        assert!((0..).zip(&outcomes).all(in_order));
        let mut tasks = as_completed(futures());
        let mut last = Duration::ZERO;
        while let Some((index, outcome)) = tasks.next().await {
            let time = outcome.expect("no panic");
            assert_eq!(time, SECOND * (index as u32 * 7919 % 10_000));
            assert!(time >= std::mem::replace(&mut last, time));
        }
        assert_eq!(race(futures()).await.expect("many").expect("no panic"), Duration::ZERO);
        assert_eq!((metrics().live_tasks, metrics().live_timers), (0, 0));
    });
}

#[test]
fn dropped_collections_abort_their_tasks() {
    run(async || {
        let futures = || (0..3).map(|_| pending::<()>());
        assert!(timeout(Duration::ZERO, gather(futures())).await.is_err());
        assert!(timeout(Duration::ZERO, race(futures())).await.is_err());
        let mut tasks = as_completed(futures());
        assert!(timeout(Duration::ZERO, tasks.next()).await.is_err());
        assert_eq!((tasks.len(), metrics().live_tasks), (3, 9));
        drop(tasks);
        yield_now().await;
        yield_now().await;
        assert_eq!(metrics().live_tasks, 0);
    });
}

/// A server that is told to stop serves what it has begun; a read that the token ends loses nothing.
#[test]
fn a_token_ends_a_server_in_order() {
    run(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let address = listener.local_addr().expect("bound");
        let shutdown = CancellationToken::new();
        let server = shutdown.clone();
        let serving = annulus::spawn(task_group(async move |group| {
            let mut count = 0;
            while let Some(accepted) = server.run_until_cancelled(listener.accept()).await {
                let (stream, _) = accepted?;
                let stop = server.child_token();
                count += 1;
                group.spawn(async move {
                    while let Some(chunk) = stop.run_until_cancelled(stream.recv()).await {
                        let Some(chunk) = chunk? else { break };
                        stream.send_all(chunk).await?;
                    }
                    stream.write_all(b"bye").await
                });
            }
            Ok::<_, std::io::Error>(count)
        }));
        let mut clients = Vec::new();
        for _ in 0..3 {
            let client = TcpStream::connect(address).await.expect("connected");
            client.write_all(b"hello").await.expect("sent");
            let mut answer = [0; 5];
            client.read_exact(&mut answer).await.expect("answered");
            assert_eq!(&answer, b"hello");
            clients.push(client);
        }
        shutdown.cancel();
        for client in clients {
            let mut goodbye = [0; 3];
            client.read_exact(&mut goodbye).await.expect("answered");
            assert_eq!(&goodbye, b"bye");
        }
        assert_eq!(serving.await.expect("no panic").expect("no error"), 3);
    });
}

#[test]
fn the_macros_leave_what_they_drop_to_its_resource() {
    run(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let client = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("up");
        let (server, _) = listener.accept().await.expect("accepted");
        for _ in 0..100 {
            annulus::select! {
                _ = server.recv() => unreachable!("nothing was sent"),
                () = yield_now() => {}
            }
        }
        let sent = annulus::try_join!(client.write_all(b"ab"), server.write_all(b"c"));
        sent.expect("sent");
        let mut bytes = Vec::new();
        while bytes.len() < 2 {
            annulus::select! {
                biased;
                () = std::future::ready(()), if bytes.is_empty() => bytes.push(b'x'),
                chunk = server.recv() => bytes.extend_from_slice(&chunk.expect("received").expect("open")),
                else => unreachable!("the receive is always on"),
            }
        }
        assert_eq!(bytes, b"xab");
    });
}
