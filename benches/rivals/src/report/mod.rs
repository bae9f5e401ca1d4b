//! Tables and pictures of a record, beside it and named after it.

mod cells;
mod pictures;
mod tables;

use std::fs;
use std::path::{Path, PathBuf};

use crate::record::Record;
use cells::Cells;

/// Reads the record and writes what is made of it.
pub(crate) fn make(path: &Path, seed: u64) -> Result<(), String> {
    let record = Record::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    if record.entries.is_empty() {
        return Err(format!("{} has no samples", path.display()));
    }
    let cells = Cells::of(&record, seed);
    let pictures = pictures::draw(&cells, |what| beside(path, &format!("-{what}.svg")))?;
    let page = beside(path, ".md");
    let text = tables::page(&record, &cells, &pictures);
    fs::write(&page, text).map_err(|error| format!("{}: {error}", page.display()))?;
    println!("{}", tables::overview(&cells));
    println!("{} and {} pictures beside it", page.display(), pictures.len());
    Ok(())
}

/// The record's path with another end.
fn beside(path: &Path, end: &str) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{stem}{end}"))
}
