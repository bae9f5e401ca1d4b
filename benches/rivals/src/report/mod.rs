//! Tables and pictures of a record.

use std::path::Path;

use crate::record::Record;

/// Reads the record and writes what is made of it beside it.
pub(crate) fn make(path: &Path, _seed: u64) -> Result<(), String> {
    let record = Record::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    println!("{} samples", record.entries.len());
    Ok(())
}
