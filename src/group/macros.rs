//! What `join!`, `try_join!` and `select!` expand to. No part of the interface.

pub use super::join::{JoinSlot, Turns, count};
pub use super::select::{Branch, Branches, Either, NoBranch, Start, Step, select};
