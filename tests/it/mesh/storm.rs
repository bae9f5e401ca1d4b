//! All shards call each other, move connections and die at random moments: nothing that was acknowledged is lost.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use annulus::mesh::{MeshError, RemoteError, Shard, Sharded, shard};
use annulus::net::TcpStream;
use annulus::task::{JoinSet, yield_now};
use annulus::time::{sleep, timeout};

use super::mesh;
use crate::support::leak::LeakGuard;
use crate::support::settled::{PATIENCE, content, pair, rounds, write_now};

const SHARDS: usize = 4;
/// Tasks of each kind on each shard.
const TASKS: u64 = 3;
/// What each of them does at most.
const STEPS: u64 = 40;

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// What all shards count.
#[derive(Default)]
struct Tally {
    /// How often each piece of work was done on a shard, by its number.
    done: Mutex<HashMap<u64, usize>>,
    /// The pieces whose answer came back.
    acknowledged: Mutex<Vec<u64>>,
    /// Values that live and must be dropped where they were made.
    live: AtomicUsize,
}

impl Tally {
    fn note_done(&self, work: u64) {
        *self.done.lock().expect("no panic").entry(work).or_default() += 1;
    }

    fn note_acknowledged(&self, work: u64) {
        self.acknowledged.lock().expect("no panic").push(work);
    }

    /// What was acknowledged was done, and nothing was done twice.
    fn check(&self, round: &str) {
        let done = self.done.lock().expect("no panic");
        for work in self.acknowledged.lock().expect("no panic").iter() {
            assert!(done.contains_key(work), "{round}: {work} was acknowledged and not done");
        }
        let twice = done.iter().find(|(_, times)| **times != 1);
        assert_eq!(twice, None, "{round}: it was done more than once");
        assert_eq!(self.live.load(Ordering::SeqCst), 0, "{round}: values are left");
    }
}

struct Canary(std::thread::ThreadId, Arc<Tally>);

impl Canary {
    fn new(tally: &Arc<Tally>) -> Self {
        tally.live.fetch_add(1, Ordering::SeqCst);
        Self(std::thread::current().id(), Arc::clone(tally))
    }
}

impl Drop for Canary {
    fn drop(&mut self) {
        assert_eq!(self.0, std::thread::current().id(), "dropped on another core");
        self.1.live.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Calls other shards, gives some calls up, and stops when one of them is gone.
async fn call(
    mut dice: Dice,
    task: u64,
    values: Sharded<Canary>,
    tally: Arc<Tally>,
) -> io::Result<()> {
    for step in 0..STEPS {
        let number = task * STEPS + step;
        let other = shard(dice.roll(SHARDS as u64) as usize);
        let (counted, slow) = (Arc::clone(&tally), dice.roll(4) == 0);
        let work = async move |value: std::rc::Rc<Canary>| {
            let _here = Canary::new(&counted);
            assert_eq!(value.0, std::thread::current().id());
            if slow {
                yield_now().await;
            }
            counted.note_done(number);
            number
        };
        let answer = match dice.roll(5) {
            0 => match timeout(Duration::from_micros(dice.roll(50)), values.call(&other, work))
                .await
            {
                Ok(answer) => answer,
                Err(_) => continue,
            },
            _ => values.call(&other, work).await,
        };
        match answer {
            Ok(answer) => {
                assert_eq!(answer, number);
                tally.note_acknowledged(number);
            }
            Err(RemoteError::NeverBegan | RemoteError::Task(_)) => return Ok(()),
            Err(other) => return Err(other.into()),
        }
    }
    Ok(())
}

/// Sends a connection through the shards; each reads what was written before, in order.
async fn travel(mut dice: Dice, number: usize) -> io::Result<()> {
    let (mut stream, far) = pair();
    let mut read = 0;
    for _ in 0..STEPS / 4 {
        let len = 1 + dice.roll(2000) as usize;
        write_now(&far, &content(number, read, len));
        if dice.roll(2) == 0 {
            stream.readable().await?;
        }
        let other = shard(dice.roll(SHARDS as u64) as usize);
        let moved = stream.move_to(&other, async move |stream: TcpStream| {
            let mut bytes = vec![0; len];
            stream.read_exact(&mut bytes).await?;
            assert!(bytes == content(number, read, len), "what was sent, in order");
            stream.detach().await
        });
        stream = match moved.await {
            Ok(task) => match task.await {
                Ok(arrived) => arrived?.attach(),
                // The shard died with it.
                Err(_) => return Ok(()),
            },
            // It stays here, whole.
            Err(refused) => match refused.into_stream() {
                Some(stream) => {
                    let mut bytes = vec![0; len];
                    stream.read_exact(&mut bytes).await?;
                    assert!(bytes == content(number, read, len), "what was sent, in order");
                    stream
                }
                None => return Ok(()),
            },
        };
        read += len;
    }
    Ok(())
}

/// How the shard that dies does so.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Death {
    None,
    Panic,
    Error,
    Stop,
}

async fn live(me: Shard, seed: u64, death: (usize, Death), tally: Arc<Tally>) -> io::Result<()> {
    let mut dice = Dice(seed * 1000 + me.index() as u64 + 1);
    let moment = Duration::from_micros(dice.roll(1500));
    // Where another has died already, there is nothing to do.
    let make = {
        let tally = Arc::clone(&tally);
        move || Canary::new(&tally)
    };
    let Ok(values) = Sharded::new(make).await else {
        return Ok(());
    };
    let mut tasks = JoinSet::new();
    for number in 0..TASKS {
        let seed = dice.roll(u64::MAX) | 1;
        let task = me.index() as u64 * TASKS + number;
        tasks.spawn(call(Dice(seed), task, values.clone(), Arc::clone(&tally)));
        tasks.spawn(travel(Dice(seed.rotate_left(7)), task as usize));
    }
    if death.0 == me.index() && death.1 != Death::None {
        sleep(moment).await;
        match death.1 {
            Death::Panic => panic!("the storm"),
            Death::Error => return Err(io::Error::other("the storm")),
            Death::Stop | Death::None => me.stop(),
        }
    }
    while let Some(ended) = tasks.join_next().await {
        ended.expect("no task panics")?;
    }
    Ok(())
}

#[test]
fn shards_that_call_move_and_die_lose_nothing_that_was_acknowledged() {
    let _leaks = LeakGuard::new();
    for seed in 1..=rounds(12, 1500) as u64 {
        let round = seed - 1;
        let kinds = [Death::None, Death::Panic, Death::Error, Death::Stop];
        let death = (round as usize % SHARDS, kinds[round as usize / 3 % 4]);
        let tally = Arc::new(Tally::default());
        let storm = mesh(SHARDS).drain(Duration::from_secs(20));
        let outcome = storm.run(async |me| {
            let life = live(me, seed, death, Arc::clone(&tally));
            timeout(PATIENCE, life).await?
        });
        // Enough to play it again: all that is random comes of it, but for the kernel's part.
        let round = format!("seed {seed}, {death:?}");
        match death.1 {
            Death::None | Death::Stop => assert!(outcome.is_ok(), "{round}: {outcome:?}"),
            Death::Panic => {
                assert!(
                    matches!(&outcome, Err(MeshError::Panicked { shard, .. }) if *shard == death.0),
                    "{round}: {outcome:?}"
                );
            }
            Death::Error => {
                assert!(
                    matches!(&outcome, Err(MeshError::Failed { shard, .. }) if *shard == death.0),
                    "{round}: {outcome:?}"
                );
            }
        }
        tally.check(&round);
        assert_eq!(Arc::strong_count(&tally), 1, "{round}: something is left");
    }
}
