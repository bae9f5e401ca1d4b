//! Unix sockets: what TCP proves of streams and listeners holds here, and what only they have.

mod alike;
mod descriptors;
mod listening;
mod messages;
mod passing;
mod streams;
