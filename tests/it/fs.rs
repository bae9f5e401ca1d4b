//! What files do, held against those of std.

mod cursors;
mod dropped;
mod handles;
mod transfers;
