//! Writes files to the standard output, one behind the other, while the next bytes are read.
//!
//! `cargo run --example cat -- Cargo.toml README.md`; without a file, the standard input.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example talks to a person")]

use std::io;
use std::process::ExitCode;

use annulus::fs::File;
use annulus::io::{Stdout, stdin, stdout};

const HELP: &str = "\
Writes files, or the standard input, to the standard output.

Usage: cat [FILE]...";

fn main() -> ExitCode {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    if paths.iter().any(|path| path == "--help") {
        println!("{HELP}");
        return ExitCode::SUCCESS;
    }
    match annulus::run(cat(paths)) {
        // Who reads us has enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
        Ok(()) => ExitCode::SUCCESS,
    }
}

async fn cat(paths: Vec<String>) -> io::Result<()> {
    let output = stdout()?;
    if paths.is_empty() {
        let input = stdin()?;
        while let Some(chunk) = input.recv().await? {
            output.write_all_owned(chunk).await?;
        }
    }
    for path in paths {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{path}: {error}"));
        write_out(&File::open(&path).await.map_err(named)?, &output).await.map_err(named)?;
    }
    Ok(())
}

async fn write_out(file: &File, output: &Stdout) -> io::Result<()> {
    let mut chunks = file.chunks(..);
    while let Some(chunk) = chunks.next().await? {
        // The same memory goes round: read into, written from, read into again.
        chunks.recycle(output.write_all_owned(chunk).await?);
    }
    Ok(())
}
