//! A thread-per-core async runtime for Linux on io_uring.

pub mod buf;
mod driver;
mod executor;
pub mod fs;
pub mod io;
mod loom;
pub mod net;
mod op;
pub mod runtime;
mod sys;
pub mod task;
pub mod time;

pub use runtime::{Builder, Runtime, run};
pub use task::spawn;
