//! A pipeline: numbers go through bounded queues from a source over several workers to a sink, and back-pressure holds.
//!
//! `cargo run --example pipeline` finds the primes below a bound. No stage runs ahead of the next by more than a queue
//! holds; when the source is done the end travels through the stages; a stage that fails ends all of them.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example talks to a person")]

use std::cell::Cell;
use std::io;
use std::process::ExitCode;
use std::rc::Rc;

use annulus::sync::Mutex;
use annulus::sync::mpsc::{Receiver, Sender, channel};
use annulus::task::{GroupError, consume_budget, task_group};

const HELP: &str = "\
Finds primes in a pipeline of tasks: a source, workers, a sink.

Usage: pipeline [OPTIONS]

  --below N       numbers to try (20000)
  --workers N     tasks that try them (4)
  --capacity N    places in each queue (16)
  --fail-at N     have the worker fail that meets this number
  --help          this text";

#[derive(Clone, Copy)]
struct Options {
    below: u64,
    workers: u64,
    capacity: u64,
    fail_at: Option<u64>,
}

fn main() -> ExitCode {
    let options = match parse(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(text) => {
            eprintln!("{text}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    match annulus::run(pipeline(options)) {
        Ok(Found { primes, largest, most_under_way }) => {
            println!("{primes} primes below {}, the largest {largest}", options.below);
            println!("at most {most_under_way} numbers were under way at once");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Reads the arguments; `None` asks for the help, an error is a text for the user.
fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
    let mut options = Options { below: 20_000, workers: 4, capacity: 16, fail_at: None };
    while let Some(argument) = arguments.next() {
        let mut number = |least: u64| -> Result<u64, String> {
            let text = arguments.next().ok_or(format!("{argument} needs a value"))?;
            let number = text.parse().ok().filter(|number| *number >= least);
            number.ok_or(format!("{argument}: {text:?} is not a number of at least {least}"))
        };
        match argument.as_str() {
            "--help" | "-h" => return Ok(None),
            "--below" => options.below = number(0)?,
            "--workers" => options.workers = number(1)?,
            "--capacity" => options.capacity = number(1)?,
            "--fail-at" => options.fail_at = Some(number(0)?),
            other => return Err(format!("unknown argument: {other}")),
        }
    }
    Ok(Some(options))
}

struct Found {
    primes: u64,
    largest: u64,
    most_under_way: u64,
}

/// How many numbers are between the source and the sink.
#[derive(Default)]
struct UnderWay {
    now: Cell<u64>,
    most: Cell<u64>,
}

impl UnderWay {
    fn begin(&self) {
        self.now.set(self.now.get() + 1);
        self.most.set(self.most.get().max(self.now.get()));
    }

    fn end(&self) {
        self.now.set(self.now.get() - 1);
    }
}

async fn pipeline(options: Options) -> io::Result<Found> {
    let under_way = Rc::new(UnderWay::default());
    let found = task_group(async |group| {
        let (to_workers, numbers) = channel(options.capacity as usize);
        let (to_sink, mut verdicts) = channel(options.capacity as usize);
        group.spawn(source(options.below, to_workers, Rc::clone(&under_way)));
        // The workers share one receiver: who holds the lock takes the next number.
        let numbers = Rc::new(Mutex::new(numbers));
        for _ in 0..options.workers {
            group.spawn(worker(options.fail_at, Rc::clone(&numbers), to_sink.clone()));
        }
        // The sink ends when the last worker has let go of its sender.
        drop(to_sink);
        let (mut primes, mut largest) = (0, 0);
        while let Some((number, is_prime)) = verdicts.recv().await {
            under_way.end();
            if is_prime {
                (primes, largest) = (primes + 1, largest.max(number));
            }
        }
        Ok((primes, largest))
    });
    let (primes, largest) = found.await.map_err(GroupError::into_error)?;
    Ok(Found { primes, largest, most_under_way: under_way.most.get() })
}

/// Sends the numbers; waits where the queue is full.
async fn source(below: u64, numbers: Sender<u64>, under_way: Rc<UnderWay>) -> io::Result<()> {
    for number in 0..below {
        // An error means that no worker is left, which their own end explains.
        let Ok(permit) = numbers.reserve().await else { break };
        under_way.begin();
        permit.send(number);
    }
    Ok(())
}

async fn worker(
    fail_at: Option<u64>,
    numbers: Rc<Mutex<Receiver<u64>>>,
    verdicts: Sender<(u64, bool)>,
) -> io::Result<()> {
    loop {
        let Some(number) = numbers.lock().await.recv().await else { return Ok(()) };
        if fail_at == Some(number) {
            return Err(io::Error::other(format!("a worker met {number} and failed")));
        }
        let is_prime = is_prime(number).await;
        if verdicts.send((number, is_prime)).await.is_err() {
            return Ok(());
        }
    }
}

/// Tries every divisor, and lets others run now and then.
async fn is_prime(number: u64) -> bool {
    for divisor in (2..).take_while(|divisor| divisor * divisor <= number) {
        if number.is_multiple_of(divisor) {
            return false;
        }
        consume_budget().await;
    }
    number >= 2
}
