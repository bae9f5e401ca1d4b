//! Work for the processor beside work that waits: where to put it, and what it does to the others.
//!
//! `cargo run --release --example parallel` counts primes in three places while a ticker measures how late the core
//! comes to it: in a task of the same core, which then stands still; on the pool of blocking threads; and on the other
//! shards of a mesh. The count is the same each time.
#![allow(clippy::print_stdout, reason = "an example talks to a person")]

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use annulus::mesh::{Cores, Mesh, Shard, shard};
use annulus::time::{interval, sleep};

/// Numbers below this are looked at, in so many parts.
const LIMIT: u64 = 400_000;
const PARTS: u64 = 16;
/// How often the ticker runs.
const TICK: Duration = Duration::from_millis(1);

fn main() -> io::Result<()> {
    let processors = std::thread::available_parallelism()?.get();
    // One shard for what waits, the others for what computes; where there is one processor, they share it.
    let mesh = Mesh::builder().cores(Cores::Count(processors.max(2))).pin(processors > 1);
    let outputs = mesh.run(async |me| match me.index() {
        0 => compare().await,
        // It computes what shard 0 sends it.
        _ => Ok(()),
    })?;
    println!("{} shards", outputs.len());
    Ok(())
}

/// Counts the primes in each of the places.
async fn compare() -> io::Result<()> {
    println!("{:<28}{:>8}{:>10}{:>22}", "", "primes", "ms", "ticker late by, ms");
    row("in a task of this core", || async { Ok((0..PARTS).map(primes).sum()) }).await?;
    row("on the blocking pool", on_the_pool).await?;
    row("on the other shards", on_the_others).await
}

/// Every part is a job; the pool's threads take them as they come.
async fn on_the_pool() -> io::Result<u64> {
    let jobs: Vec<_> =
        (0..PARTS).map(|part| annulus::spawn_blocking(move || primes(part))).collect();
    let mut sum = 0;
    for job in jobs {
        sum += job.await?;
    }
    Ok(sum)
}

/// Every part is a task of another shard, which does nothing else meanwhile.
async fn on_the_others() -> io::Result<u64> {
    let others = Shard::current().count() - 1;
    let tasks: Vec<_> = (0..PARTS)
        .map(|part| {
            let other = shard(1 + part as usize % others);
            other.spawn(async move || primes(part))
        })
        .collect();
    let mut sum = 0;
    for task in tasks {
        sum += task.await?;
    }
    Ok(sum)
}

/// Does the work while a ticker runs on this core, and prints how late the ticker was.
async fn row<F: Future<Output = io::Result<u64>>>(
    name: &str,
    work: impl FnOnce() -> F,
) -> io::Result<()> {
    let late = Rc::new(Cell::new(Duration::ZERO));
    let seen = Rc::clone(&late);
    let ticker = annulus::spawn(async move {
        let mut ticks = interval(TICK);
        loop {
            let due = ticks.tick().await;
            seen.set(seen.get().max(due.elapsed()));
        }
    });
    sleep(TICK * 4).await;
    let start = Instant::now();
    let found = work().await?;
    let time = start.elapsed();
    sleep(TICK * 4).await;
    ticker.abort();
    let (time_ms, late_ms) = (time.as_secs_f64() * 1e3, late.get().as_secs_f64() * 1e3);
    println!("{name:<28}{found:>8}{time_ms:>10.1}{late_ms:>22.2}");
    Ok(())
}

/// The primes among the numbers of one part.
fn primes(part: u64) -> u64 {
    let size = LIMIT / PARTS;
    (part * size..(part + 1) * size).filter(|number| is_prime(*number)).count() as u64
}

fn is_prime(number: u64) -> bool {
    let divisors = (2..).take_while(|divisor| divisor * divisor <= number);
    number > 1 && divisors.into_iter().all(|divisor| !number.is_multiple_of(divisor))
}
