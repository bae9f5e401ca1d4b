//! Counts lines, words and bytes of all files under a directory, a number of files at once.
//!
//! `cargo run --example wc -- src`; `--help` says how many at once.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example talks to a person")]

use std::io;
use std::ops::AddAssign;
use std::path::PathBuf;
use std::process::ExitCode;

use annulus::fs::{File, metadata, read_dir};
use annulus::task::JoinSet;

const HELP: &str = "\
Counts lines, words and bytes of all files under a directory.

Usage: wc [--at-once N] [PATH]...

  --at-once N   files that are read at the same time (32)
  --help        this text";

#[derive(Clone, Copy, Default)]
struct Counts {
    files: u64,
    lines: u64,
    words: u64,
    bytes: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.files += other.files;
        self.lines += other.lines;
        self.words += other.words;
        self.bytes += other.bytes;
    }
}

fn main() -> ExitCode {
    let (mut paths, mut at_once) = (Vec::new(), 32);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--help" => {
                println!("{HELP}");
                return ExitCode::SUCCESS;
            }
            "--at-once" => match arguments.next().and_then(|number| number.parse().ok()) {
                Some(number @ 1..) => at_once = number,
                _ => {
                    eprintln!("--at-once needs a number from 1 on\n\n{HELP}");
                    return ExitCode::from(2);
                }
            },
            path => paths.push(PathBuf::from(path)),
        }
    }
    if paths.is_empty() {
        paths.push(PathBuf::from("."));
    }
    match annulus::run(count_all(paths, at_once)) {
        Ok(Counts { files, lines, words, bytes }) => {
            println!("{lines} lines, {words} words, {bytes} bytes in {files} files");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Walks the trees, and has at most `at_once` files counted by tasks meanwhile.
async fn count_all(paths: Vec<PathBuf>, at_once: usize) -> io::Result<Counts> {
    let mut total = Counts::default();
    let mut counting = JoinSet::new();
    let mut dirs = Vec::new();
    for path in paths {
        match metadata(&path).await?.is_dir() {
            true => dirs.push(path),
            false => drop(counting.spawn(count(path))),
        }
    }
    while let Some(dir) = dirs.pop() {
        let mut entries = read_dir(dir).await?;
        while let Some(entry) = entries.next_entry().await? {
            let kind = entry.file_type().await?;
            if kind.is_dir() {
                dirs.push(entry.path());
            } else if kind.is_file() {
                if counting.len() >= at_once
                    && let Some(counted) = counting.join_next().await
                {
                    total += counted??;
                }
                counting.spawn(count(entry.path()));
            }
        }
    }
    while let Some(counted) = counting.join_next().await {
        total += counted??;
    }
    Ok(total)
}

async fn count(path: PathBuf) -> io::Result<Counts> {
    let file = File::open(path).await?;
    let mut chunks = file.chunks(..);
    let mut counts = Counts { files: 1, ..Counts::default() };
    let mut in_word = false;
    while let Some(chunk) = chunks.next().await? {
        counts.bytes += chunk.len() as u64;
        for byte in &chunk {
            counts.lines += u64::from(*byte == b'\n');
            let was_in_word = std::mem::replace(&mut in_word, !byte.is_ascii_whitespace());
            counts.words += u64::from(in_word && !was_in_word);
        }
        chunks.recycle(chunk);
    }
    Ok(counts)
}
