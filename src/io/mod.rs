//! What is about input and output in general.

use std::io;

use crate::driver::{self, Op};
use crate::op::nop::Nop;

/// A round trip through the ring without effect: the cost of an operation as such. Dropping the future has no effect.
///
/// # Errors
///
/// That the runtime is gone.
///
/// # Panics
///
/// Outside a runtime.
pub async fn nop() -> io::Result<()> {
    Op::new(driver::current::expect("annulus::io::nop"), Nop).await
}
