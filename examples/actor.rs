//! An actor: one task owns the accounts of a bank, and everybody else asks it by messages that carry a way to answer.
//!
//! `cargo run --example actor` has many tasks move money at once. Nobody locks anything: the actor takes one message at
//! a time, so the sum never changes, also when a client is cancelled half-way or asks for what cannot be done.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example talks to a person")]

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::process::ExitCode;

use annulus::sync::{mpsc, oneshot};
use annulus::task::{JoinSet, yield_now};

const HELP: &str = "\
Moves money between the accounts of an actor, from many tasks at once.

Usage: actor [OPTIONS]

  --clients N      tasks that move money (100)
  --transfers N    transfers of each (100)
  --help           this text";

const ACCOUNTS: u32 = 10;
const DEPOSIT: u64 = 1_000;

fn main() -> ExitCode {
    let (clients, transfers) = match parse(std::env::args().skip(1)) {
        Ok(Some(numbers)) => numbers,
        Ok(None) => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(text) => {
            eprintln!("{text}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    match annulus::run(bank(clients, transfers)) {
        Ok(done) => {
            println!("{done}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Reads the arguments; `None` asks for the help, an error is a text for the user.
fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Option<(u32, u32)>, String> {
    let (mut clients, mut transfers) = (100, 100);
    while let Some(argument) = arguments.next() {
        let mut number = || -> Result<u32, String> {
            let text = arguments.next().ok_or(format!("{argument} needs a value"))?;
            text.parse().map_err(|_| format!("{argument}: {text:?} is not a number"))
        };
        match argument.as_str() {
            "--help" | "-h" => return Ok(None),
            "--clients" => clients = number()?,
            "--transfers" => transfers = number()?,
            other => return Err(format!("unknown argument: {other}")),
        }
    }
    Ok(Some((clients, transfers)))
}

/// What the actor is asked for, each with the place for its answer.
enum Request {
    Transfer { from: u32, to: u32, amount: u64, answer: oneshot::Sender<Result<(), Refusal>> },
    Total { answer: oneshot::Sender<u64> },
}

#[derive(Debug)]
enum Refusal {
    NoSuchAccount,
    TooLittle,
    /// The actor is gone.
    Closed,
}

/// The accounts, until the last handle is gone.
async fn actor(mut requests: mpsc::Receiver<Request>) -> BTreeMap<u32, u64> {
    let mut accounts: BTreeMap<u32, u64> = (0..ACCOUNTS).map(|number| (number, DEPOSIT)).collect();
    while let Some(request) = requests.recv().await {
        match request {
            // Whoever asked may be gone by now; what was asked for is done all the same.
            Request::Transfer { from, to, amount, answer } => {
                let _ = answer.send(transfer(&mut accounts, from, to, amount));
            }
            Request::Total { answer } => {
                let _ = answer.send(accounts.values().sum());
            }
        }
    }
    accounts
}

fn transfer(
    accounts: &mut BTreeMap<u32, u64>,
    from: u32,
    to: u32,
    amount: u64,
) -> Result<(), Refusal> {
    let held = *accounts.get(&from).ok_or(Refusal::NoSuchAccount)?;
    let left = held.checked_sub(amount).ok_or(Refusal::TooLittle)?;
    *accounts.get_mut(&to).ok_or(Refusal::NoSuchAccount)? += amount;
    // Read again: both may be the same account.
    let left = if from == to { held } else { left };
    accounts.insert(from, left);
    Ok(())
}

/// The way to the actor; clone it for each client.
#[derive(Clone)]
struct Bank {
    requests: mpsc::Sender<Request>,
}

impl Bank {
    async fn transfer(&self, from: u32, to: u32, amount: u64) -> Result<(), Refusal> {
        let (answer, answered) = oneshot::channel();
        let request = Request::Transfer { from, to, amount, answer };
        self.requests.send(request).await.map_err(|_| Refusal::Closed)?;
        answered.await.map_err(|_| Refusal::Closed)?
    }

    async fn total(&self) -> Result<u64, Refusal> {
        let (answer, answered) = oneshot::channel();
        self.requests.send(Request::Total { answer }).await.map_err(|_| Refusal::Closed)?;
        answered.await.map_err(|_| Refusal::Closed)
    }
}

struct Done {
    moved: u64,
    refused: u64,
    cancelled: u64,
    total: u64,
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { moved, refused, cancelled, total } = self;
        write!(f, "{moved} transfers were made and {refused} refused; ")?;
        write!(f, "{cancelled} clients were cancelled half-way; {total} is there as before")
    }
}

async fn bank(clients: u32, transfers: u32) -> io::Result<Done> {
    let (requests, inbox) = mpsc::channel(32);
    let bank = Bank { requests };
    let accounts = annulus::spawn(actor(inbox));
    let mut tasks = JoinSet::new();
    for client in 0..clients {
        let bank = bank.clone();
        let task = tasks.spawn(async move {
            let (mut moved, mut refused) = (0, 0);
            for number in 0..transfers {
                // One account more than there is, and now and then more money than anybody has.
                let (from, to) = ((client + number) % (ACCOUNTS + 1), (client * 7) % ACCOUNTS);
                match bank.transfer(from, to, u64::from(number) * 13).await {
                    Ok(()) => moved += 1,
                    Err(Refusal::NoSuchAccount | Refusal::TooLittle) => refused += 1,
                    Err(Refusal::Closed) => break,
                }
            }
            (moved, refused)
        });
        if client % 10 == 9 {
            yield_now().await;
            task.abort();
        }
    }
    let mut done = Done { moved: 0, refused: 0, cancelled: 0, total: 0 };
    while let Some(result) = tasks.join_next().await {
        match result {
            Ok((moved, refused)) => {
                (done.moved, done.refused) = (done.moved + moved, done.refused + refused)
            }
            Err(error) if error.is_cancelled() => done.cancelled += 1,
            Err(error) => return Err(io::Error::other(error)),
        }
    }
    let closed = |_| io::Error::other("the actor is gone");
    done.total = bank.total().await.map_err(closed)?;
    // The last handle: the actor ends, and its accounts are what it returns.
    drop(bank);
    let accounts = accounts.await.map_err(io::Error::other)?;
    let (sum, deposits) = (accounts.values().sum::<u64>(), u64::from(ACCOUNTS) * DEPOSIT);
    if (sum, done.total) != (deposits, deposits) {
        return Err(io::Error::other(format!("{sum} is there, and {deposits} were deposited")));
    }
    Ok(done)
}
