//! What files do, held against those of std.

mod attributes;
mod cursors;
mod direct;
mod directories;
mod dropped;
mod handles;
mod oracle;
mod registered;
mod streams;
mod transfers;
mod wholes;
