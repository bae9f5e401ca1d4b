//! A thread-per-core async runtime for Linux on io_uring.
//!
//! A runtime is one ring, one executor and one timing wheel on one thread. [`run`] starts it and runs a future:
//!
//! ```
//! annulus::run(async {
//!     let task = annulus::spawn(async { 6 * 7 });
//!     assert_eq!(task.await?, 42);
//!     Ok::<_, std::io::Error>(())
//! })
//! # .unwrap();
//! ```
//!
//! Sockets wait in the ring. What arrives belongs to the stream, so it is read from where the kernel put it, and a
//! future that is dropped, here by a timeout, loses nothing of it:
//!
//! ```
//! use annulus::net::{TcpListener, TcpStream};
//! use annulus::time::{Duration, timeout};
//!
//! annulus::run(async {
//!     let listener = TcpListener::bind("127.0.0.1:0").await?;
//!     let address = listener.local_addr()?;
//!     let echo = annulus::spawn(async move {
//!         let (stream, _peer) = listener.accept().await?;
//!         while let Some(chunk) = stream.recv().await? {
//!             stream.send_all(chunk).await?;
//!         }
//!         Ok::<_, std::io::Error>(())
//!     });
//!     let stream = TcpStream::connect(address).await?;
//!     assert!(timeout(Duration::from_millis(1), stream.recv()).await.is_err(), "nothing was sent");
//!     stream.write_all(b"hello").await?;
//!     let mut answer = [0; 5];
//!     stream.read_exact(&mut answer).await?;
//!     assert_eq!(&answer, b"hello");
//!     drop(stream);
//!     echo.await?
//! })
//! # .unwrap();
//! ```
//!
//! [`net`] has the table of what each dropped future does, [`Builder`] every bound with its default, [`runtime`] the
//! counters; [`blocking`] has threads for what blocks, [`channel`] what connects cores, [`signal`] a recipe for a
//! graceful shutdown; [`buf`] says what a buffer must promise; [`task`], [`time`] and [`sync`] have tokio's names. Who
//! knows Python's asyncio finds its names in a table: [`asyncio`].
//!
//! It needs Linux 6.1 and a kernel that allows io_uring; where there is none, starting fails with the cause and the
//! cure. There is no fallback.
#![doc(test(attr(deny(warnings))))]

pub mod blocking;
pub mod buf;
pub mod channel;
pub mod compat;
mod driver;
mod executor;
pub mod fs;
mod group;
pub mod io;
mod loom;
pub mod mesh;
pub mod net;
mod op;
pub mod process;
pub mod runtime;
pub mod signal;
pub mod sync;
mod sys;
pub mod task;
pub mod time;

pub use blocking::spawn_blocking;
#[doc(hidden)]
pub use group::macros as __macros;
pub use mesh::Mesh;
pub use runtime::{Builder, Runtime, run};
pub use task::spawn;

#[doc = include_str!("../docs/asyncio.md")]
pub mod asyncio {}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
