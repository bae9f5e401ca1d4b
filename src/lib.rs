//! A thread-per-core async runtime for Linux on io_uring.

pub mod task;
pub mod time;

mod executor;
