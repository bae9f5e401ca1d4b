//! What `join!`, `try_join!` and `select!` expand to. No part of the interface.

pub use super::join::{JoinSlot, Slot, poll_slots};
pub use super::select::{Branch, Branches, Either, NoBranch, Start, Step, select};
