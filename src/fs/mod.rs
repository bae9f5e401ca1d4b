//! Files, read and written at an offset.

mod file;

pub use file::File;
