//! Each operation on the kernel: one module per file of `src/op`, through the public interface.

mod accept;
mod bell;
mod cancel_all;
mod close;
mod connect;
mod nop;
mod read_at;
mod receive;
mod receive_message;
mod send;
mod send_message;
mod send_to;
mod send_vectored;
mod signal;
mod timeout;
mod write_at;
