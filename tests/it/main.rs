//! The integration tests: one binary, run on the real kernel under a guarding allocator.
//!
//! One binary links once, carries the allocator once, and is one file to copy into the old kernels
//! that `.ci/kernels` boots. Each module says in its first sentence what it holds:
//!
//! - `support`: what the tests stand on, with its own tests: the allocator, the leak guard,
//!   `skip!`;
//! - `tasks`: panics, handles, wakers, nesting and hogs, through the public door.

mod support;
mod tasks;

#[global_allocator]
static GUARD: support::guard::GuardAlloc = support::guard::GuardAlloc::new();
