//! What the integration tests stand on: memory that is watched, leaks that are named, one form of
//! skip, and a runtime of which nothing may be left.

pub(crate) mod buffer;
pub(crate) mod guard;
pub(crate) mod leak;
pub(crate) mod settled;
pub(crate) mod skip;
