//! What all benches share: measuring on a machine that drifts, and saying how sure one may be.

pub(crate) mod callgrind;
pub(crate) mod cpu;
#[allow(dead_code, reason = "a bench without sockets needs no more files")]
pub(crate) mod files;
pub(crate) mod options;
pub(crate) mod report;
pub(crate) mod shuffle;
pub(crate) mod stats;
