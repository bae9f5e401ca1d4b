//! Unix sockets: what TCP proves of streams and listeners holds here, and what only they have.

mod listening;
mod streams;
