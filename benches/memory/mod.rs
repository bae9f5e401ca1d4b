//! What things cost while they do nothing: the memory of a process that holds thousands of them.
//!
//! Each figure is taken in a process of its own, which is this very program started again, because memory that an
//! earlier one gave back would be found resident by the next. The kernel's memory for sockets and rings is not in it.

mod connections;
pub(crate) mod process;
mod tasks;

use std::process::Command;

use crate::support::report::Line;

pub(crate) struct Weight {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// How many there are while the memory is read.
    count: u64,
    runtimes: &'static [(&'static str, Weigh)],
}

/// Holds that many, and says what each takes.
type Weigh = fn(u64) -> Result<Weighed, String>;

/// Figures of one thing, by name.
type Weighed = Vec<(&'static str, f64)>;

pub(crate) static WEIGHTS: &[Weight] = &[
    Weight {
        name: "sleeping_task",
        about: "a task that sleeps for an hour, beyond its future",
        count: 10_000,
        runtimes: &[("tokio", tasks::tokio), ("annulus", tasks::annulus)],
    },
    Weight {
        name: "idle_connection",
        about: "a TCP connection of an echo server, its task with it, after one message of 64 bytes (floor: the bare \
                ring; tokio: a buffer of 16 KiB each)",
        count: 4_000,
        runtimes: &[
            ("floor", connections::bare_ring),
            ("tokio", connections::tokio),
            ("annulus", connections::annulus),
        ],
    },
];

/// Prints the figures of each runtime, and returns their lines.
pub(crate) fn weigh(weight: &Weight, runtimes: &[&str]) -> Vec<Line> {
    println!("\n{}: bytes of {}", weight.name, weight.about);
    let mut lines = Vec::new();
    for (runtime, _) in weight.runtimes.iter().filter(|(name, _)| runtimes.contains(name)) {
        let line = Line::new("memory").text("cell", weight.name).text("runtime", runtime);
        lines.push(match child(weight, runtime) {
            Ok(figures) => {
                let shown: Vec<_> =
                    figures.iter().map(|(name, value)| format!("{name} {value:>9.1}")).collect();
                println!("{runtime:<10}{}", shown.join("  "));
                figures.iter().fold(line, |line, (name, value)| line.number(name, *value))
            }
            Err(reason) => {
                println!("{runtime:<10} SKIP {reason}");
                line.text("skip", &reason)
            }
        });
    }
    lines
}

/// The child's part: prints its figures.
pub(crate) fn weigh_here(weight: &str, runtime: &str) -> Result<(), String> {
    let weight = WEIGHTS.iter().find(|known| known.name == weight).ok_or("no such weight")?;
    let weigh =
        weight.runtimes.iter().find(|(name, _)| *name == runtime).ok_or("no such runtime")?;
    for (name, value) in weigh.1(weight.count)? {
        println!("{name} {value}");
    }
    Ok(())
}

fn child(weight: &Weight, runtime: &str) -> Result<Vec<(String, f64)>, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new(program).args(["--weigh", weight.name, "--run", runtime]).output();
    let output = output.map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        return Err(text.trim().to_owned());
    }
    let figure = |line: &str| {
        let (name, value) = line.split_once(' ')?;
        Some((name.to_owned(), value.parse().ok()?))
    };
    Ok(text.lines().filter_map(figure).collect())
}
