//! UDP: datagrams come whole, with what the kernel knows of them, and none is lost to a dropped future.

mod groups;
mod options;
mod receiving;
mod sending;
