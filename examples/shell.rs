//! A little shell: pipelines of processes, their output read through the ring, a time limit, and ctrl-c.
//!
//! ```sh
//! cargo run --example shell                         # a few lines of its own
//! cargo run --example shell -- 'ls / | sort -r'     # these
//! cargo run --example shell -- -                    # those that it reads
//! ```

#![allow(clippy::print_stdout, reason = "an example says what it does")]

use std::io::{self, ErrorKind};
use std::process::ExitCode;

use annulus::io::{Stdin, stdin, stdout};
use annulus::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use annulus::signal::{Signal, SignalKind, signal};
use annulus::time::{Duration, Sleep, sleep};

const HELP: &str = "\
shell [LINE...]    run these lines; without any, a few of its own
shell -            run the lines of the standard input
shell --help       this text

A line is programs with their arguments, separated by blanks; `|` joins them. One that takes longer than ten
seconds is killed, and so is one at ctrl-c.";

/// What runs without arguments.
const LINES: [&str; 4] = [
    "echo hello from a process",
    "echo one two three | tr a-z A-Z | cat",
    "cat /proc/self/status | head -n 3",
    "sh -c exit\\ 3",
];

const LIMIT: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let lines: Vec<String> = std::env::args().skip(1).collect();
    if lines.iter().any(|line| line == "--help") {
        println!("{HELP}");
        return ExitCode::SUCCESS;
    }
    match annulus::run(shell(lines)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("shell: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn shell(lines: Vec<String>) -> io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    match lines.as_slice() {
        [] => {
            for line in LINES {
                run_and_tell(line, &mut interrupt).await?;
            }
        }
        [dash] if dash == "-" => {
            let mut input = Lines { input: stdin()?, bytes: Vec::new() };
            while let Some(line) = input.next().await? {
                run_and_tell(&line, &mut interrupt).await?;
            }
        }
        lines => {
            for line in lines {
                run_and_tell(line, &mut interrupt).await?;
            }
        }
    }
    Ok(())
}

async fn run_and_tell(line: &str, interrupt: &mut Signal) -> io::Result<()> {
    let out = stdout()?;
    out.write_all(format!("$ {line}\n").as_bytes()).await?;
    let text = match run(line, interrupt).await {
        Ok(statuses) => {
            let failed = statuses.iter().find(|status| !status.success());
            failed.map(|status| format!("({status})\n")).unwrap_or_default()
        }
        Err(error) => format!("({error})\n"),
    };
    out.write_all(text.as_bytes()).await
}

/// Runs a pipeline; the statuses of its programs, in order.
async fn run(line: &str, interrupt: &mut Signal) -> io::Result<Vec<ExitStatus>> {
    let mut pipeline = Pipeline::start(line)?;
    let limit = sleep(LIMIT);
    if let Some(output) = pipeline.output.take() {
        copy_or_kill(output, &pipeline, interrupt, limit).await?;
    }
    let mut statuses = Vec::new();
    for child in &mut pipeline.children {
        statuses.push(child.wait().await?);
    }
    Ok(statuses)
}

/// Copies what the last program writes to its end. All are killed at ctrl-c, or when the time is over.
async fn copy_or_kill(
    output: ChildStdout,
    pipeline: &Pipeline,
    interrupt: &mut Signal,
    limit: Sleep,
) -> io::Result<()> {
    let out = stdout()?;
    let mut limit = std::pin::pin!(limit);
    loop {
        annulus::select! {
            chunk = output.recv() => match chunk? {
                Some(chunk) => drop(out.write_all_owned(chunk).await?),
                None => return Ok(()),
            },
            _ = interrupt.recv() => pipeline.kill()?,
            _ = limit.as_mut() => {
                pipeline.kill()?;
                return Err(ErrorKind::TimedOut.into());
            }
        }
    }
}

/// Programs of which each reads what the one before writes, in a process group of their own.
struct Pipeline {
    children: Vec<Child>,
    /// Of the last of them.
    output: Option<ChildStdout>,
}

impl Pipeline {
    fn start(line: &str) -> io::Result<Self> {
        let mut children: Vec<Child> = Vec::new();
        let mut input = Stdio::inherit();
        let programs: Vec<&str> = line.split('|').collect();
        for (nth, program) in programs.iter().enumerate() {
            let mut words = words(program).into_iter();
            let name = words.next().ok_or_else(|| invalid("a program is missing"))?;
            // The first leads the group. It keeps its number until it is waited for.
            let group = children.first().and_then(Child::id).unwrap_or(0);
            let (next_input, output) = match nth + 1 == programs.len() {
                true => (Stdio::null(), Stdio::piped()),
                false => {
                    let (reader, writer) = io::pipe()?;
                    (reader.into(), writer.into())
                }
            };
            let mut command = Command::new(&name);
            command.args(words).stdin(input).stdout(output).kill_on_drop(true);
            command.process_group(i32::try_from(group).map_err(io::Error::other)?);
            let told = |error| io::Error::new(ErrorKind::NotFound, format!("{name}: {error}"));
            children.push(command.spawn().map_err(told)?);
            input = next_input;
        }
        let output = children.last_mut().and_then(|child| child.stdout.take());
        Ok(Self { children, output })
    }

    fn kill(&self) -> io::Result<()> {
        self.children[0].signal_group(SignalKind::from_raw(9))
    }
}

/// The words of a program; a backslash makes the next character part of one.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut is_escaped) = (Vec::new(), String::new(), false);
    for c in text.chars() {
        match c {
            '\\' if !is_escaped => is_escaped = true,
            c if c.is_whitespace() && !is_escaped => words.push(std::mem::take(&mut word)),
            c => {
                word.push(c);
                is_escaped = false;
            }
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

fn invalid(text: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidInput, text)
}

/// The lines of the standard input.
struct Lines {
    input: Stdin,
    bytes: Vec<u8>,
}

impl Lines {
    async fn next(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(end) = self.bytes.iter().position(|byte| *byte == b'\n') {
                let rest = self.bytes.split_off(end + 1);
                let line = std::mem::replace(&mut self.bytes, rest);
                return Ok(Some(String::from_utf8_lossy(&line).trim_end().to_owned()));
            }
            match self.input.recv().await? {
                Some(chunk) => self.bytes.extend_from_slice(&chunk),
                None if self.bytes.is_empty() => return Ok(None),
                None => self.bytes.push(b'\n'),
            }
        }
    }
}
