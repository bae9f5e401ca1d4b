//! The integration tests: one binary, run on the real kernel under a guarding allocator.
//!
//! One binary links once, carries the allocator once, and is one file to copy into the old kernels
//! that `.ci/kernels` boots. Each module says in its first sentence what it holds:
//!
//! - `async_fd`: readiness of descriptors that the ring has no type for.
//! - `asyncio`: the names of Python's asyncio, one test for each row of `docs/asyncio.md`.
//! - `blocking`: the pool for what blocks: jobs, bounds, threads, and the end with work under way.
//! - `calls`: which system calls the loop makes, and how many for what happens at once.
//! - `cancel`: what a dropped future leaves behind, row by row of the table in `annulus::net`.
//! - `compat`: the traits of other crates; built with the features that bridge to them.
//! - `channel`: channels between cores and plain threads, whatever becomes of either end.
//! - `examples`: the example servers, asked to end while they serve.
//! - `faults`: faults of the environment, the peer and the program, and what the user sees of them.
//! - `features`: a representative set, once without each optional feature of the kernel.
//! - `fs`: what files do, held against those of std.
//! - `groups`: task groups and join sets: cancelled, panicking, dropped and nested.
//! - `handle`: foreign threads: work that they send, and channels of other crates.
//! - `kernel`: each operation on the kernel, one module per file of `src/op`.
//! - `limits`: the bounds of a core, reached: untaken bytes and connections, small pools, small rings.
//! - `linger`: streams that end with bytes still to send.
//! - `mesh`: many cores, how they start and end together, and what goes from one to another.
//! - `names`: names of hosts and lists of addresses, looked up beside the loop and tried in turn.
//! - `net_oracle`: the same script against std, tokio and this crate, with the same results.
//! - `pipes`: pipes, FIFOs and the standard streams.
//! - `processes`: children, their ends, streams and surroundings, held against those of std.
//! - `product`: every operation dropped in every state, whoever wins the race and whatever drops it.
//! - `races`: accepts and receives dropped again and again while the other side is busy.
//! - `serve`: the server kit: its limits, deadlines and ends.
//! - `signals`: what listeners of signals are told, each in a process of its own.
//! - `spawning`: task-local values, names, eager starts, and panics that nobody takes.
//! - `spinning`: a core that looks for work before it sleeps.
//! - `streams`: what is written over any stream: lines, lengths, copies, deadlines.
//! - `structured`: tokens, deadlines that move, and waits of sets and collections, on a running core.
//! - `sync`: locks, channels and queues under timeouts, aborts and hogs.
//! - `tasks`: panics, handles, wakers, nesting and hogs, through the public door.
//! - `tcp`: what streams, listeners and sockets do, held against those of std.
//! - `udp`: datagrams, what comes with them, and what is asked of the kernel for them.
//! - `unix`: Unix sockets, which do as TCP's do, and what only they have.
//! - `wal`: the durable log of the example: torn at every byte, its writer killed at random moments.
//! - `support`: what the tests stand on, with its own tests: the allocator, the leak guard,
//!   filters of system calls, `skip!`.

mod async_fd;
mod asyncio;
mod blocking;
mod calls;
mod cancel;
mod channel;
#[cfg(feature = "futures")]
mod compat;
mod examples;
mod faults;
mod features;
mod fs;
mod groups;
mod handle;
mod kernel;
mod limits;
mod linger;
mod mesh;
mod names;
mod net_oracle;
mod pipes;
mod processes;
mod product;
mod races;
mod serve;
mod signals;
mod spawning;
mod spinning;
mod streams;
mod structured;
mod support;
mod sync;
mod tasks;
mod tcp;
mod udp;
mod unix;
mod wal;

#[global_allocator]
static GUARD: support::guard::GuardAlloc = support::guard::GuardAlloc::new();
