//! Room 2: memory that the kernel may read or write while an operation is under way.
//!
//! `traits` is the contract of a caller's buffer, `slice` a part of one, `pool` the buffers that the kernel picks
//! from when data arrives, `buffer` one of them, and `chunk` the handle of one that the kernel filled; `aligned` is for
//! direct I/O, `registered` memory of that kind that the kernel knows by number.

mod aligned;
mod buffer;
mod chunk;
mod pool;
mod registered;
mod slice;
mod traits;

pub use aligned::AlignedBuf;
pub use chunk::Chunk;
pub(crate) use pool::{Account, Class, Demand, Pool, PoolOptions};
pub use registered::Registration;
pub(crate) use registered::Table;
pub use slice::Slice;
pub(crate) use traits::fill;
pub use traits::{BufError, BufResult, IoBuf, IoBufMut};
