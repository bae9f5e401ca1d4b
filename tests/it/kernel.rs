//! Each operation on the kernel: one module per file of `src/op`, through the public interface.

mod accept;
mod bell;
mod close;
mod connect;
mod fadvise;
mod fallocate;
mod fsync;
mod nop;
mod open;
mod read_at;
mod read_vectored;
mod receive;
mod receive_message;
mod send;
mod send_message;
mod send_to;
mod send_vectored;
mod signal;
mod statx;
mod timeout;
mod write_at;
mod write_vectored;
