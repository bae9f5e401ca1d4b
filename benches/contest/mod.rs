//! What a bench of small operations is made of: cells, the contestants that run them, and samples.

pub(crate) mod rounds;

use crate::support::cpu::{monotonic_ns, process_ns};

pub(crate) struct Cell {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// Operations of a timed sample: about a tenth of a second.
    pub(crate) operations: u64,
    /// Operations of the short run under callgrind, of which the long one does three times as many; 0 where
    /// instructions say nothing.
    pub(crate) counted: u64,
}

pub(crate) type Run = fn(u64) -> Sample;

/// One runtime or crate, with the cells it can run.
pub(crate) struct Contestant {
    pub(crate) name: &'static str,
    pub(crate) cells: &'static [(&'static str, Run)],
}

impl Contestant {
    pub(crate) fn cell(&self, name: &str) -> Option<Run> {
        self.cells.iter().find(|(cell, _)| *cell == name).map(|(_, run)| *run)
    }
}

/// What one run of a cell gave.
pub(crate) struct Sample {
    pub(crate) operations: u64,
    pub(crate) wall_ns: u64,
    pub(crate) cpu_ns: u64,
    /// Figures that only this cell has, by name.
    pub(crate) extras: Vec<(&'static str, f64)>,
}

/// The time from here to `stop`, and the processor time of the whole process, so that no runtime can hide work
/// in another thread.
pub(crate) struct Stopwatch {
    wall_ns: u64,
    cpu_ns: u64,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self { wall_ns: monotonic_ns(), cpu_ns: process_ns() }
    }

    pub(crate) fn stop(&self, operations: u64) -> Sample {
        let cpu_ns = process_ns() - self.cpu_ns;
        Sample { operations, wall_ns: monotonic_ns() - self.wall_ns, cpu_ns, extras: Vec::new() }
    }
}
