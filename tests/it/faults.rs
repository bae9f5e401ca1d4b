//! Faults of the environment, of the peer and of the program, and what the user sees of them.
//!
//! Each test makes the fault happen on the real kernel. What would disturb the tests that run beside it (limits of the
//! process, signals, users) happens in a child, and what belongs to a thread (filters, namespaces) in a thread.

mod blocking;
mod buffers;
mod children;
mod cores;
mod disks;
mod ends;
mod exhaustion;
mod fuse;
mod futures;
mod names;
mod networks;
mod peers;
mod processes;
mod ring;
mod selects;
mod signals;
pub(crate) mod start;
mod storms;
mod timers;
