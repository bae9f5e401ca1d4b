//! What the integration tests stand on: memory that is watched, leaks that are named, one form of
//! skip.

pub(crate) mod guard;
pub(crate) mod leak;
pub(crate) mod skip;
