//! What TCP streams, listeners and sockets do, held against the sockets of std.

mod ends;
mod listening;
mod reading;
mod sockets;
mod transfer;
mod turns;
mod writing;
