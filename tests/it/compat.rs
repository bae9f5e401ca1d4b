//! The traits of other crates, each with the adapters that its users know.

use std::time::Duration;

use annulus::Builder;
use annulus::fs::{File, read_dir};
use annulus::signal::{SignalKind, signal};
use annulus::sync::mpsc;
use annulus::task::{JoinSet, as_completed, yield_now};
use annulus::time::{Interval, interval, pause};
use futures::stream::{self, FuturesUnordered, Stream, StreamExt};

use crate::signals::raise;
use crate::support::child::{assert_passed, in_child, run_alone};
use crate::support::files::Folder;
use crate::support::settled::{content, run};

#[test]
fn a_receiver_is_a_stream_that_ends_with_its_senders() {
    run(async || {
        let (sender, mut receiver) = mpsc::channel(2);
        let sending = annulus::spawn(async move {
            for number in 0..100 {
                sender.send(number).await.expect("somebody receives");
            }
        });
        assert_eq!(receiver.size_hint(), (0, None));
        let head: Vec<i32> = receiver.by_ref().take(10).collect().await;
        assert_eq!(head, (0..10).collect::<Vec<_>>());
        let rest: Vec<i32> = receiver.collect().await;
        assert_eq!(rest, (10..100).collect::<Vec<_>>());
        sending.await.expect("it ends");
    });
}

#[test]
fn a_stream_of_two_receivers_is_dropped_in_the_middle_and_loses_nothing() {
    run(async || {
        let (one, mut first) = mpsc::unbounded_channel();
        let (two, mut second) = mpsc::unbounded_channel();
        for number in 0..4 {
            one.send(number).expect("there is a receiver");
            two.send(number + 10).expect("there is a receiver");
        }
        let mut both = stream::select(&mut first, &mut second);
        let mut taken = vec![both.next().await, both.next().await, both.next().await];
        drop(both);
        drop((one, two));
        taken.extend(first.map(Some).collect::<Vec<_>>().await);
        taken.extend(second.map(Some).collect::<Vec<_>>().await);
        taken.sort_unstable();
        assert_eq!(taken, [0, 1, 2, 3, 10, 11, 12, 13].map(Some));
    });
}

#[test]
fn a_set_of_tasks_is_a_stream_of_outcomes_and_goes_on_after_its_end() {
    run(async || {
        let mut set = JoinSet::new();
        for turns in [3, 1, 2] {
            set.spawn(async move {
                for _ in 0..turns {
                    yield_now().await;
                }
                turns
            });
        }
        assert_eq!(set.size_hint(), (3, Some(3)));
        let ended: Vec<i32> = set.by_ref().map(|outcome| outcome.expect("it ends")).collect().await;
        assert_eq!(ended, [1, 2, 3]);
        set.spawn(std::future::pending());
        set.abort_all();
        let outcome = set.next().await.expect("one task");
        assert!(outcome.expect_err("it was aborted").is_cancelled());
        assert!(set.next().await.is_none());
    });
}

#[test]
fn outcomes_come_with_their_places() {
    run(async || {
        let futures = [2, 0, 1].map(|turns| async move {
            for _ in 0..turns {
                yield_now().await;
            }
        });
        let places = as_completed(futures).map(|(place, _)| place).collect::<Vec<_>>().await;
        assert_eq!(places, [1, 2, 0]);
    });
}

#[test]
fn a_directory_is_a_stream_of_its_entries_and_a_file_of_its_chunks() {
    run(async || {
        let folder = Folder::new();
        let mut expected: Vec<String> = (0..900).map(|number| format!("file-{number}")).collect();
        for name in &expected {
            folder.file(name, name);
        }
        let entries = read_dir(folder.path()).await.expect("a directory");
        let names = entries.map(|entry| entry.expect("an entry").file_name().into_string());
        let mut found: Vec<String> = names.map(|name| name.expect("text")).collect().await;
        found.sort();
        expected.sort();
        assert_eq!(found, expected);
        let bytes = content(0, 0, 100_000);
        let file = File::open(folder.file("large", &bytes)).await.expect("a file");
        let chunks = file.chunks(1..99_000).size(4096);
        let parts: Vec<Vec<u8>> = chunks.map(|chunk| chunk.expect("a chunk")).collect().await;
        assert_eq!(parts.concat(), bytes[1..99_000]);
        // A file that is not open for reading gives its error each time that it is asked.
        let writing = File::create(folder.join("new")).await.expect("a file");
        let failed: Vec<_> = writing.chunks(..).take(2).collect().await;
        assert!(failed.iter().all(Result::is_err) && failed.len() == 2);
    });
}

#[test]
fn an_interval_is_a_stream_without_end() {
    run(async || {
        pause();
        let mut ticks: Interval = interval(Duration::from_secs(60));
        assert_eq!(ticks.size_hint().1, None);
        let times: Vec<_> = ticks.by_ref().take(3).collect().await;
        assert_eq!(times[2] - times[0], Duration::from_secs(120));
    });
}

#[test]
fn futures_of_another_crate_run_in_a_task() {
    run(async || {
        let waits: FuturesUnordered<_> =
            (0..10).map(|ms| annulus::time::sleep(Duration::from_millis(ms))).collect();
        assert_eq!(waits.count().await, 10);
    });
}

#[test]
fn a_listener_of_signals_is_a_stream() {
    let child = in_child!(|| run_alone(Builder::new(), async || {
        let kinds = [SignalKind::user_defined1(), SignalKind::user_defined2()];
        let listeners = kinds.map(|kind| signal(kind).expect("a signal").map(move |()| kind));
        let mut both = stream::select_all(listeners);
        for kind in [kinds, kinds].concat() {
            raise(kind);
            assert_eq!(both.next().await, Some(kind));
        }
    }));
    child.iter().for_each(assert_passed);
}
