//! An echo server that measures itself: annulus and tokio, side by side, under the same load.
//!
//! `cargo run --release --example echo` serves on this thread's neighbour, drives it over loopback TCP, and prints
//! what it saw; `--cores N` serves with more threads; `--listen ADDR` only serves; `--help` says all.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example talks to a person")]

mod load;
mod options;
mod report;
mod servers;

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use options::{Mode, Options};
use report::Report;

fn main() -> ExitCode {
    let result = match options::parse(std::env::args().skip(1)) {
        Ok(Mode::Help) => {
            println!("{}", options::HELP);
            Ok(())
        }
        Ok(Mode::Listen(address, cores)) => servers::listen(&address, cores),
        Ok(Mode::Compare(options)) => compare(&options),
        Err(text) => {
            eprintln!("{text}\n\n{}", options::HELP);
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Loads one server after the other with the same requests and prints both results.
fn compare(options: &Options) -> io::Result<()> {
    println!(
        "{} connections, {} bytes a message, {} s each; annulus serves with {} cores, tokio with one, \
         and the load is a thread\n",
        options.connections,
        options.size,
        options.time.as_secs_f64(),
        options.cores
    );
    let annulus = measure("annulus", servers::annulus, options)?;
    let tokio = measure("tokio", servers::tokio, options)?;
    println!();
    report::table(&[annulus, tokio]);
    Ok(())
}

fn measure(name: &'static str, server: servers::Serve, options: &Options) -> io::Result<Report> {
    let server = servers::Running::start(name, options.cores, server)?;
    let cpu = server.cpu()?;
    // The warm-up: connections open, caches and branch predictors see the work.
    load::drive(server.address(), options, Duration::from_millis(300), |_| {})?;
    let warm = server.cpu()?;
    debug_assert!(warm >= cpu);
    let outcome = load::drive(server.address(), options, options.time, |requests_per_second| {
        println!("{name:>8}: {requests_per_second:>9.0} requests/s");
    })?;
    let spent = server.cpu()?.saturating_sub(warm);
    server.stop()?;
    Ok(Report { name, outcome, server_cpu: spent })
}
