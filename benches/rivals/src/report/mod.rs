//! Tables and pictures of a record, beside it and named after it.

mod against;
mod cells;
mod pictures;
mod tables;

use std::fs;
use std::path::{Path, PathBuf};

use crate::record::Record;
use cells::Cells;

/// Reads the record and writes what is made of it: with a second one, no verdicts but those that it repeats.
pub(crate) fn make(path: &Path, second: Option<&Path>, seed: u64) -> Result<(), String> {
    let record = read(path)?;
    let mut cells = Cells::of(&record, seed);
    if let Some(second) = second {
        let second = Cells::of(&read(second)?, seed);
        print!("{}", against::text(&cells, &second));
        cells = cells.confirmed_by(second);
    }
    let pictures = pictures::draw(&cells, |what| beside(path, &format!("-{what}.svg")))?;
    let page = beside(path, ".md");
    let text = tables::page(&record, &cells, &pictures);
    fs::write(&page, text).map_err(|error| format!("{}: {error}", page.display()))?;
    println!("{}", tables::overview(&cells));
    println!("{} and {} pictures beside it", page.display(), pictures.len());
    Ok(())
}

fn read(path: &Path) -> Result<Record, String> {
    let record = Record::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    match record.entries.is_empty() && record.counts.is_empty() {
        true => Err(format!("{} has no samples", path.display())),
        false => Ok(record),
    }
}

/// The record's path with another end.
fn beside(path: &Path, end: &str) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{stem}{end}"))
}
