//! Counts the user-space instructions of a run of this very program, by starting it under valgrind.
//!
//! A count has no noise from the host, so it resolves what the clock cannot. One run includes the start of
//! the process; callers take two runs of different length and divide the difference of the counts by
//! the difference of the lengths.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(120);

/// Runs `program arguments..` of this executable under callgrind, lets `drive` talk to it, and returns the
/// instructions it executed, but for those of the function that has `but_for` in its name, and of all that it
/// calls. The error says why there is no count.
pub(crate) fn instructions(
    but_for: Option<&str>,
    arguments: &[String],
    drive: impl FnOnce(&mut Child) -> Result<(), String>,
) -> Result<u64, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let out = std::env::temp_dir().join(format!("annulus-callgrind.{}", std::process::id()));
    let started = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet", "--log-file=/dev/null"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .args(but_for.map(|name| format!("--toggle-collect=*{name}*")))
        // Takes effect after the toggle, which would have it off: so what enters the function turns it off.
        .args(["--collect-atstart=yes", "--fair-sched=try"])
        .arg(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = started.map_err(|error| format!("valgrind did not start: {error}"))?;
    let driven = drive(&mut child);
    let ended = if driven.is_ok() { wait(&mut child) } else { stop(&mut child) };
    let profile = std::fs::read_to_string(&out);
    std::fs::remove_file(&out).ok();
    driven.and(ended)?;
    let profile = profile.map_err(|error| format!("callgrind left no profile: {error}"))?;
    let total = profile.lines().find_map(|line| line.strip_prefix("summary: "));
    total
        .and_then(|total| total.trim().parse().ok())
        .ok_or(String::from("callgrind's profile has no summary"))
}

fn wait(child: &mut Child) -> Result<(), String> {
    let start = Instant::now();
    while start.elapsed() < LIMIT {
        match child.try_wait() {
            Ok(None) => std::thread::sleep(Duration::from_millis(20)),
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(format!("the counted process ended with {status}")),
            Err(error) => return Err(error.to_string()),
        }
    }
    stop(child)?;
    Err(format!("the counted process did not end within {} s", LIMIT.as_secs()))
}

fn stop(child: &mut Child) -> Result<(), String> {
    child.kill().and_then(|()| child.wait()).map(drop).map_err(|error| error.to_string())
}
