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

use annulus::mesh::{Builder, Cores, Mesh, Shard, shard};

use crate::support::leak::LeakGuard;

type Result<T> = std::io::Result<T>;

/// A mesh of so many shards on whatever processors there are, with rings small enough for every user.
pub(crate) fn mesh(shards: usize) -> Builder {
    let builder = Mesh::builder().cores(Cores::Count(shards)).pin(false);
    builder.runtime(|builder| builder.ring_entries(32, 128))
}

/// Runs the body on shard 0 of two; the other serves.
fn from_shard_0(body: impl AsyncFn(Shard) -> Result<()> + Sync) {
    let _leaks = LeakGuard::new();
    let outcome = mesh(2).run(async |me| match me.index() {
        0 => body(shard(1)).await,
        _ => Ok(()),
    });
    outcome.map(drop).expect("all is well");
}
