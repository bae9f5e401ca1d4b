//! Copies files and trees, a number of files at once, with a bar that shows how far it is.
//!
//! `cargo run --release --example cp -- FROM... TO`; without an argument it makes a tree of its own, copies it and
//! compares. `--help` says more.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example talks to a person")]

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;

use annulus::fs::{self, copy_with, create_dir_all, metadata, read_dir, symlink_metadata};
use annulus::task::JoinSet;
use indicatif::{ProgressBar, ProgressStyle};

const HELP: &str = "\
Copies files and directories with all that is in them.

Usage: cp [--at-once N] [FROM... TO]

  --at-once N   files that are copied at the same time (16)
  --help        this text

TO is a directory, or becomes one. Without FROM and TO a small tree is made, copied, compared and removed.";

fn main() -> ExitCode {
    let (mut paths, mut at_once) = (Vec::new(), 16);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--help" => {
                println!("{HELP}");
                return ExitCode::SUCCESS;
            }
            "--at-once" => match arguments.next().and_then(|number| number.parse().ok()) {
                Some(number @ 1..) => at_once = number,
                _ => return refuse("--at-once needs a number from 1 on"),
            },
            path => paths.push(PathBuf::from(path)),
        }
    }
    let copied = match paths.pop() {
        None => annulus::run(try_it(at_once)),
        Some(_) if paths.is_empty() => return refuse("it needs FROM and TO"),
        Some(to) => annulus::run(copy_all(paths, to, at_once)),
    };
    match copied {
        Ok((files, bytes)) => {
            println!("{files} files, {bytes} bytes");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn refuse(text: &str) -> ExitCode {
    eprintln!("{text}\n\n{HELP}");
    ExitCode::from(2)
}

/// A file to copy, and how long it is.
struct Job {
    from: PathBuf,
    to: PathBuf,
    len: u64,
}

/// Copies all into the directory; returns the counts of files and bytes.
async fn copy_all(paths: Vec<PathBuf>, to: PathBuf, at_once: usize) -> io::Result<(u64, u64)> {
    create_dir_all(&to).await?;
    let mut jobs = Vec::new();
    for path in paths {
        let name = path.file_name().unwrap_or(OsStr::new("")).to_owned();
        plan(path, to.join(name), &mut jobs).await?;
    }
    let bar = Rc::new(ProgressBar::new(jobs.iter().map(|job| job.len).sum()));
    let style =
        ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta}");
    bar.set_style(style.map_err(io::Error::other)?);
    let (files, mut bytes) = (jobs.len() as u64, 0);
    let mut copying = JoinSet::new();
    for job in jobs {
        if copying.len() >= at_once
            && let Some(copied) = copying.join_next().await
        {
            bytes += copied??;
        }
        copying.spawn(copy(job, Rc::clone(&bar)));
    }
    while let Some(copied) = copying.join_next().await {
        bytes += copied??;
    }
    bar.finish();
    Ok((files, bytes))
}

async fn copy(job: Job, bar: Rc<ProgressBar>) -> io::Result<u64> {
    let mut before = 0;
    let copied = copy_with(&job.from, &job.to, |done| {
        bar.inc(done - before);
        before = done;
    });
    copied.await.map_err(|error| io::Error::new(error.kind(), format!("{:?}: {error}", job.from)))
}

/// Makes the directories and finds the files.
async fn plan(from: PathBuf, to: PathBuf, jobs: &mut Vec<Job>) -> io::Result<()> {
    let mut trees = vec![(from, to)];
    while let Some((from, to)) = trees.pop() {
        let found = metadata(&from).await?;
        if !found.is_dir() {
            jobs.push(Job { from, to, len: found.len() });
            continue;
        }
        create_dir_all(&to).await?;
        let mut entries = read_dir(&from).await?;
        while let Some(entry) = entries.next_entry().await? {
            let kind = entry.file_type().await?;
            if kind.is_symlink() {
                link(&entry.path(), &to.join(entry.name())).await?;
            } else if kind.is_dir() || kind.is_file() {
                trees.push((entry.path(), to.join(entry.name())));
            }
        }
    }
    Ok(())
}

/// Makes the same symbolic link, in place of one that is there.
async fn link(from: &Path, to: &Path) -> io::Result<()> {
    if symlink_metadata(to).await.is_ok_and(|found| found.is_symlink()) {
        fs::remove_file(to).await?;
    }
    fs::symlink(fs::read_link(from).await?, to).await
}

/// Makes a tree, copies it, compares, and removes both.
async fn try_it(at_once: usize) -> io::Result<(u64, u64)> {
    let root = std::env::temp_dir().join(format!("annulus-cp-{}", std::process::id()));
    create_dir_all(root.join("from/deep/er")).await?;
    for number in 0..200_usize {
        let dir = ["from", "from/deep", "from/deep/er"][number % 3];
        fs::write(root.join(dir).join(number.to_string()), vec![number as u8; number * 997])
            .await?;
    }
    let copied = copy_all(vec![root.join("from")], root.join("to"), at_once).await?;
    for number in 0..200_usize {
        let dir = ["from", "from/deep", "from/deep/er"][number % 3];
        let copy = fs::read(root.join("to").join(dir).join(number.to_string())).await?;
        assert!(copy == vec![number as u8; number * 997], "the copy of {number} differs");
    }
    fs::remove_dir_all(root).await?;
    Ok(copied)
}
