//! What the integration tests stand on: memory that is watched, leaks that are named, one form of
//! skip, a runtime of which nothing may be left, files without a name, names that nobody has, filters of system
//! calls, networks of a thread's own, threads as the kernel sees them, and tests in a process of their own.

pub(crate) mod buffer;
pub(crate) mod child;
pub(crate) mod files;
pub(crate) mod filter;
pub(crate) mod guard;
pub(crate) mod leak;
pub(crate) mod machine;
pub(crate) mod names;
pub(crate) mod settled;
pub(crate) mod skip;
pub(crate) mod thread;
