//! Many cores: how they start and end together, and what goes from one to another.
//!
//! - `calls`: work that is sent, its outcomes, panics, aborts, and the ends of either side.
//! - `connections`: one port on every core, and connections that move.
//! - `life`: outputs, errors, panics, the stop and the time to drain.
//! - `placement`: which processor, which name, and cores that cannot start.
//! - `storm`: all shards call, move connections and die at random moments.
//! - `wakes`: the system calls of a wake.

mod calls;
mod connections;
mod life;
mod placement;
mod storm;
mod wakes;

use annulus::mesh::{Builder, Cores, Mesh};

/// A mesh of so many shards on whatever processors there are, with rings small enough for every user.
pub(crate) fn mesh(shards: usize) -> Builder {
    let builder = Mesh::builder().cores(Cores::Count(shards)).pin(false);
    builder.runtime(|builder| builder.ring_entries(32, 128))
}
