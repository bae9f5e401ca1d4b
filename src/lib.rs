//! A thread-per-core async runtime for Linux on io_uring.

pub mod buf;
mod driver;
mod op;
mod sys;

pub mod task;
pub mod time;

mod executor;
