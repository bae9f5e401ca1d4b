//! Every core: a runtime on each, that share nothing and call each other.
//!
//! [`Mesh`] starts them, [`Shard`] is one of them as the others know it, [`Stop`] asks them to end, and [`Sharded`]
//! is one value on each.
//!
//! ```
//! use annulus::mesh::{Cores, Mesh, Shard};
//!
//! let outputs = Mesh::builder().cores(Cores::Count(2)).pin(false).run(async |shard| {
//!     // Every shard comes by here.
//!     if shard.index() > 0 {
//!         return Ok(0); // It goes on with what others ask of it.
//!     }
//!     let mut sum = 0;
//!     for index in Shard::broadcast(async || Shard::current().index()).await {
//!         sum += index?;
//!     }
//!     Ok::<_, std::io::Error>(sum)
//! })?;
//! assert_eq!(outputs, [1, 0]);
//! # Ok::<_, std::io::Error>(())
//! ```
//!
//! # What a dropped future does
//!
//! | method | if its future is dropped before it is done |
//! | --- | --- |
//! | [`Shard::call`], [`Shard::broadcast`], [`Handle::call`] | what has not begun never happens; of what has begun, the future is dropped on its core, as it would be here |
//! | the handle of [`Shard::spawn`], [`Handle::spawn`] | the task runs on; its output is dropped on its core |
//! | [`Stop::stopped`], [`Shard::stopped`] | nothing |
//! | [`Sharded::new`] | the values that were made are dropped, each on its core |
//!
//! What is sent and never begins is dropped on the core it was sent to, or where it was sent from, if that core has
//! ended; it is `Send` for that.

mod builder;
mod error;
mod placement;
mod run;
mod shard;
mod sharded;
mod start;
mod stop;
mod values;

pub use self::builder::Builder;
pub use self::error::MeshError;
pub use self::placement::Cores;
pub use self::shard::{Shard, shard};
pub use self::sharded::Sharded;
pub use self::stop::{Stop, Stopped};
pub use crate::runtime::{Handle, RemoteError, RemoteHandle};

/// A runtime on each of several cores; see [`builder`](Self::builder).
#[derive(Debug)]
#[non_exhaustive]
pub struct Mesh;

impl Mesh {
    /// The settings, the last of which is [`run`](Builder::run).
    pub fn builder() -> Builder {
        Builder::new()
    }
}
