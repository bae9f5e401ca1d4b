//! Each operation on the kernel: one module per file of `src/op`, through the public interface.

mod accept;
mod bell;
mod close;
mod connect;
mod nop;
mod read_at;
mod receive;
mod send;
mod send_vectored;
mod signal;
mod timeout;
mod write_at;
