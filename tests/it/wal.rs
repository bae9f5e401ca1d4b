//! The durable log of the example: torn at every byte, and its writer killed at random moments.

#[path = "../../examples/wal/log/mod.rs"]
mod log;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use annulus::spawn;

use crate::support::files::Folder;
use crate::support::settled::{PATIENCE, joined, rounds, run};
use log::record::{self, BLOCK, Damage};
use log::recovery::{Scanned, recover, scan};
use log::{Log, Settings, segment};

const SMALL: Settings = Settings { segment_size: 0, direct: true };

/// What a record has in it: no zeroes, so that one that was cut off shows.
fn payload(seed: u64) -> Vec<u8> {
    let len = 1 + (seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33) as usize % 900;
    (0..len as u64).map(|at| (seed + at) as u8 | 1).collect()
}

/// The content of a segment with a record for each index up to `count`, in commits of several.
async fn written(folder: &Folder, count: u64) -> Vec<u8> {
    let (log, before) = Log::open(folder.path(), SMALL, |_, _| {}).await.unwrap();
    assert_eq!((before.records, before.next), (0, 1));
    for first in (1..=count).step_by(7) {
        let tasks = futures::future::join_all(
            (first..(first + 7).min(count + 1)).map(|index| log.append(payload(index))),
        );
        for (nth, index) in tasks.await.into_iter().enumerate() {
            assert_eq!(index.unwrap(), first + nth as u64);
        }
    }
    let totals = log.close().await.unwrap();
    assert_eq!((totals.records, totals.segments), (count, 1));
    std::fs::read(segment::path(folder.path(), 1)).unwrap()
}

/// Where each record begins and ends, found by its bytes.
fn places(content: &[u8], count: u64) -> Vec<(usize, usize)> {
    let mut from = BLOCK;
    (1..=count)
        .map(|index| {
            let payload = payload(index);
            let mut bytes = record::head(1, index, &payload).to_vec();
            bytes.extend_from_slice(&payload);
            let found = content[from..].windows(bytes.len()).position(|window| window == bytes);
            let start = from + found.expect("each record is there");
            from = start + bytes.len();
            (start, from)
        })
        .collect()
}

/// Reads a segment that was tampered with: what is given out must be what was written, from the begin on.
#[track_caller]
fn read(content: &[u8]) -> Scanned {
    let mut expected = 1;
    let scanned = scan(content, 1, 1, |index, bytes| {
        assert_eq!(index, expected);
        assert!(bytes == payload(index), "record {index} is another");
        expected += 1;
    });
    assert_eq!(scanned.next, expected);
    scanned
}

const COUNT: u64 = 40;
/// From which record on the segment is torn: the last two commits.
const TORN: usize = 28;

#[test]
fn a_log_that_is_cut_off_ends_before_the_record_that_was_torn() {
    run(async || {
        let content = written(&Folder::new(), COUNT).await;
        let places = places(&content, COUNT);
        for cut in places[TORN].0..=places[COUNT as usize - 1].1 {
            let whole = places.iter().filter(|(_, end)| *end <= cut).count();
            let next = places.get(whole);
            let within = next.is_some_and(|(start, _)| *start < cut);

            // The file ends there.
            let scanned = read(&content[..cut]);
            assert_eq!(scanned.next, whole as u64 + 1, "cut at {cut}");
            assert_eq!(scanned.damage.is_some(), within, "cut at {cut}: {scanned:?}");

            // Only zeroes are there.
            let mut torn = content.clone();
            torn[cut..].fill(0);
            let scanned = read(&torn);
            assert_eq!(scanned.next, whole as u64 + 1, "zeroes from {cut} on");
            assert_eq!(scanned.damage.is_some(), within, "zeroes from {cut} on: {scanned:?}");
            if let Some((start, _)) = next.filter(|_| within) {
                assert_eq!(scanned.offset, *start as u64);
            }
        }
    });
}

#[test]
fn a_flipped_bit_ends_the_log_at_its_record() {
    run(async || {
        let content = written(&Folder::new(), COUNT).await;
        for (nth, (start, end)) in places(&content, COUNT).into_iter().enumerate().skip(TORN) {
            for at in start..end {
                let mut torn = content.clone();
                torn[at] ^= 1 << (at % 8);
                let scanned = read(&torn);
                assert_eq!((scanned.next, scanned.offset), (nth as u64 + 1, start as u64), "{at}");
                assert!(scanned.damage.is_some());
            }
        }
    });
}

#[test]
fn stale_bytes_are_no_records() {
    run(async || {
        let content = written(&Folder::new(), COUNT).await;
        let clean = read(&content);
        assert_eq!((clean.next, clean.damage), (COUNT + 1, None));
        let end = (clean.offset as usize).next_multiple_of(BLOCK);

        // The very record that would come next, of the segment that had this space before.
        let next = payload(COUNT + 1);
        let put = |segment, index, at: usize| {
            let mut torn = content.clone();
            let head = record::head(segment, index, &next);
            torn[at..at + head.len()].copy_from_slice(&head);
            torn[at + head.len()..][..next.len()].copy_from_slice(&next);
            torn
        };
        let found = read(&put(1, COUNT + 1, end));
        assert_eq!((found.next, found.damage), (COUNT + 2, None), "so it would be taken");
        let stale = read(&put(7, COUNT + 1, end));
        assert_eq!(stale.next, COUNT + 1);
        assert_eq!((stale.offset, stale.damage), (end as u64, Some(Damage::Checksum)));

        // A record of this segment, but from another place.
        let other = read(&put(1, COUNT + 9, end));
        assert_eq!(other.next, COUNT + 1);
        assert_eq!(other.damage, Some(Damage::Index(COUNT + 9)));

        // The first block of a commit is missing, the second is there.
        let hole = read(&put(1, COUNT + 1, end + BLOCK));
        assert_eq!(hole.next, COUNT + 1);
        assert_eq!((hole.offset, hole.damage), (end as u64, Some(Damage::Hole)));
    });
}

#[test]
fn a_torn_log_goes_on_in_a_new_segment_and_a_lost_one_does_not_open() {
    run(async || {
        let folder = Folder::new();
        let content = written(&folder, COUNT).await;
        let (start, _) = places(&content, COUNT)[COUNT as usize - 1];
        let first = segment::path(folder.path(), 1);
        std::fs::write(&first, &content[..start + 20]).unwrap();

        let (log, before) = Log::open(folder.path(), SMALL, |_, _| {}).await.unwrap();
        assert_eq!((before.records, before.next), (COUNT - 1, COUNT));
        let [stop] = &before.torn[..] else { panic!("{before:?}") };
        assert_eq!((stop.segment, stop.offset, stop.index), (1, start as u64, COUNT));
        assert_eq!(stop.damage, Damage::Cut);
        assert_eq!(log.append(payload(COUNT)).await.unwrap(), COUNT);
        let busy = Log::open(folder.path(), SMALL, |_, _| {}).await.err().expect("one writer");
        assert_eq!(busy.kind(), ErrorKind::ResourceBusy);
        log.close().await.unwrap();

        let mut last = Vec::new();
        let after = recover(folder.path(), |_, bytes| last = bytes.to_vec()).await.unwrap();
        assert_eq!((after.records, after.last, after.torn.len()), (COUNT, 2, 1));
        assert_eq!((last, after.lost), (payload(COUNT), None));

        // A record that was acknowledged is gone: the next segment does not continue what is left.
        std::fs::write(&first, &content[..start - 1]).unwrap();
        let failed = Log::open(folder.path(), SMALL, |_, _| {}).await.err().expect("it is lost");
        assert_eq!(failed.kind(), ErrorKind::InvalidData);
        assert!(failed.to_string().starts_with("segment 2, byte 0: record 39"), "{failed}");
    });
}

#[test]
fn a_log_is_the_same_with_and_without_the_page_cache() {
    run(async || {
        let folder = Folder::new();
        let mut before = 0;
        for (round, direct) in [true, false, true, false].into_iter().enumerate() {
            let settings = Settings { direct, ..SMALL };
            let mut seen = 0;
            let (log, found) = Log::open(folder.path(), settings, |_, _| seen += 1).await.unwrap();
            assert_eq!((found.records, seen, &found.torn[..]), (before, before, &[][..]));
            let log = Rc::new(log);
            let tasks = (0..8_u64).map(|task| {
                let log = Rc::clone(&log);
                spawn(async move {
                    for nth in 0..20 {
                        // Long enough for several segments.
                        let mut bytes = payload(task * 20 + nth);
                        bytes.resize(bytes.len() * 3, 1);
                        log.append(bytes).await.unwrap();
                    }
                })
            });
            joined(tasks.collect()).await;
            let totals = Rc::into_inner(log).expect("the tasks have ended").close().await.unwrap();
            assert!(totals.segments > 1 && totals.records == 160, "round {round}: {totals:?}");
            before += totals.records;
        }
        let failed = {
            let (log, _) = Log::open(folder.path(), SMALL, |_, _| {}).await.unwrap();
            let failed = log.append(vec![0; record::PAYLOAD_MAX + 1]).await.unwrap_err();
            log.append(vec![1; record::PAYLOAD_MAX]).await.unwrap();
            log.close().await.unwrap();
            failed
        };
        assert_eq!(failed.kind(), ErrorKind::InvalidInput);
    });
}

const DIR: &str = "ANNULUS_WAL_DIR";
const SEED: &str = "ANNULUS_WAL_SEED";

/// The child: appends until it is killed, and says what was acknowledged, a line at a time.
fn write_until_killed(dir: &Path, seed: u64) -> std::io::Result<()> {
    annulus::run(async {
        let (log, _) = Log::open(dir, SMALL, |_, _| {}).await?;
        let log = Rc::new(log);
        let tasks = (0..8_u64).map(|task| {
            let log = Rc::clone(&log);
            spawn(async move {
                for nth in 0.. {
                    let seed = seed << 32 | task << 24 | nth;
                    let index = log.append(payload(seed)).await?;
                    std::io::stdout().write_all(format!("ack {index} {seed}\n").as_bytes())?;
                }
                std::io::Result::Ok(())
            })
        });
        for result in joined(tasks.collect()).await {
            result?;
        }
        Ok(())
    })
}

/// Runs the child for a moment; what it said was acknowledged, index and seed.
fn killed_after(dir: &Path, seed: u64, after: Duration) -> Vec<(u64, u64)> {
    let mut child = Command::new(std::env::current_exe().expect("own path"))
        .args(["--exact", "wal::what_was_acknowledged_outlives_a_killed_writer"])
        .args(["--nocapture", "--test-threads=1"])
        .env(DIR, dir)
        .env(SEED, seed.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("start the child");
    let output = BufReader::new(child.stdout.take().expect("piped"));
    let (said, first) = std::sync::mpsc::channel();
    let listener = std::thread::spawn(move || {
        let mut acknowledged = Vec::new();
        // The test harness begins its line before the first of ours.
        for line in output.lines().map_while(Result::ok) {
            let Some((_, numbers)) = line.split_once("ack ") else { continue };
            let (index, seed) = numbers.split_once(' ').expect("two numbers");
            let number = |text: &str| text.parse::<u64>().expect("a number");
            acknowledged.push((number(index), number(seed)));
            let _only_the_first_counts = said.send(());
        }
        acknowledged
    });
    // Now and then before the log is open.
    if !seed.is_multiple_of(8) {
        first.recv_timeout(PATIENCE).expect("something is acknowledged");
    }
    let start = Instant::now();
    while start.elapsed() < after {
        std::thread::sleep(after.saturating_sub(start.elapsed()).min(Duration::from_millis(5)));
    }
    child.kill().expect("a child");
    let status = child.wait().expect("a child");
    assert_eq!(status.code(), None, "it was killed, and did not end by itself: {status}");
    listener.join().expect("the lines are as the child writes them")
}

#[test]
fn what_was_acknowledged_outlives_a_killed_writer() {
    if let Some(dir) = std::env::var_os(DIR) {
        let seed = std::env::var(SEED).expect("a seed").parse().expect("a number");
        write_until_killed(Path::new(&dir), seed).expect("it writes until it is killed");
        return;
    }
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut checked = 0;
    // Ten writers one after the other in each log.
    for first in (1..=rounds(8, 200) as u64).step_by(10) {
        let folder = Folder::new();
        let mut acknowledged = BTreeMap::new();
        for seed in first..(first + 10).min(rounds(8, 200) as u64 + 1) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let after = Duration::from_micros(random % 60_000);
            acknowledged.extend(killed_after(folder.path(), seed, after));
            let mut missing = acknowledged.clone();
            let recovered = run(async || {
                let each = |index, bytes: &[u8]| {
                    if let Some(seed) = missing.remove(&index) {
                        assert!(bytes == payload(seed), "record {index} is another");
                    }
                };
                recover(folder.path(), each).await.unwrap()
            });
            assert_eq!((missing, &recovered.lost), (BTreeMap::new(), &None), "round {seed}");
            assert!(recovered.next > acknowledged.keys().last().copied().unwrap_or(0));
            checked += 1;
        }
        assert!(!acknowledged.is_empty(), "nothing was acknowledged in ten rounds");
    }
    assert_eq!(checked, rounds(8, 200));
}
