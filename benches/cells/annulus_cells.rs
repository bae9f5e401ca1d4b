//! The cells on annulus.

use super::Run;

/// Not there yet: a cell that is absent here is skipped. Each becomes the function of `tokio_cells.rs` with
/// the imports changed: `annulus::{spawn, yield_now}`, `annulus::time::sleep`, and `annulus::run` for
/// `block_on`; the futures of `futures.rs` serve as they are.
pub(super) static CELLS: &[(&str, Run)] = &[];
