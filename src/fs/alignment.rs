//! What direct I/O asks of offsets, lengths and addresses, and the refusal of what is not so.

use std::io;
use std::rc::Rc;

use crate::driver::Op;
use crate::op::open_file::OpenFile;
use crate::op::place::Place;
use crate::op::statx::Statx;

/// What a file asks of direct reads and writes, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Alignment {
    /// Buffers begin at a multiple of it, a power of two.
    pub memory: usize,
    /// Offsets and lengths are multiples of it, a power of two.
    pub offset: usize,
}

/// The smallest block of any disk.
const SECTOR: usize = 512;

/// Where a file system does not say what it asks, its block is taken, up to this: no larger page or sector is known
/// that would ask for more without saying so.
const BLOCK_MAX: usize = 4096;

impl Alignment {
    /// Asks the kernel about an open file.
    ///
    /// # Errors
    ///
    /// `Unsupported` if it does no direct I/O on this file; otherwise as `statx(2)`.
    pub(super) async fn of(file: &Rc<OpenFile>) -> io::Result<Self> {
        let place = Place::of_file(file);
        let statx = Statx::new(place, libc::AT_EMPTY_PATH, libc::STATX_DIOALIGN);
        let statx = Op::new(Rc::clone(file.driver()), statx).await?;
        let told = statx.stx_mask & libc::STATX_DIOALIGN != 0;
        let asked = (statx.stx_dio_mem_align as usize, statx.stx_dio_offset_align as usize);
        match told.then_some(asked) {
            Some((0, _) | (_, 0)) => Err(unsupported()),
            Some((memory, offset)) if memory.is_power_of_two() && offset.is_power_of_two() => {
                Ok(Self { memory, offset })
            }
            Some(other) => Err(io::Error::other(format!("{other:?} is no alignment"))),
            None => Ok(Self::guessed(statx.stx_blksize as usize)),
        }
    }

    /// That of a file system with blocks of this size that does not say what it asks.
    fn guessed(block: usize) -> Self {
        let block =
            if block.is_power_of_two() { block.clamp(SECTOR, BLOCK_MAX) } else { BLOCK_MAX };
        Self { memory: block, offset: block }
    }

    /// # Errors
    ///
    /// `InvalidInput` if one of them is no multiple of what it should be.
    #[inline]
    pub(super) fn check(self, offset: u64, address: usize, len: usize) -> io::Result<()> {
        // Both are powers of two: no division.
        let in_file = (offset | len as u64) & (self.offset as u64 - 1);
        if in_file == 0 && address & (self.memory - 1) == 0 {
            return Ok(());
        }
        Err(self.refusal(offset, address, len))
    }

    /// As [`check`](Self::check), of buffers that follow one another, each by its address and length.
    pub(super) fn check_all(
        self,
        offset: u64,
        mut parts: impl Iterator<Item = (usize, usize)>,
    ) -> io::Result<()> {
        self.check(offset, 0, 0)?;
        // Each begins where whole units end.
        parts.try_for_each(|(address, len)| self.check(offset, address, len))
    }

    #[cold]
    fn refusal(self, offset: u64, address: usize, len: usize) -> io::Error {
        let Self { memory, offset: unit } = self;
        let text = if !offset.is_multiple_of(unit as u64) {
            format!("at a multiple of {unit} bytes in the file, not at {offset}")
        } else if !len.is_multiple_of(unit) {
            format!("of a multiple of {unit} bytes, not of {len}")
        } else {
            format!("with a buffer at a multiple of {memory} bytes in memory, not at {address:#x}")
        };
        let text = format!("direct I/O on this file has to be {text}");
        io::Error::new(io::ErrorKind::InvalidInput, text)
    }
}

/// The error where the file system, or this file of it, has no direct I/O.
pub(super) fn unsupported() -> io::Error {
    let text = "this file cannot be read and written past the page cache: its file system has no direct I/O, or not \
                for a file like this (encrypted, compressed, or with data in its journal)";
    io::Error::new(io::ErrorKind::Unsupported, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Alignment = Alignment { memory: 4, offset: 512 };

    #[test]
    fn whole_units_pass_and_nothing_is_one_too() {
        for (offset, address, len) in [(0, 4, 512), (1 << 40, 8, 1 << 20), (512, 4, 0)] {
            HERE.check(offset, address, len).unwrap();
        }
    }

    #[test]
    fn a_refusal_names_what_is_wanted_and_what_was_given() {
        let text = |offset, address, len| {
            let error = HERE.check(offset, address, len).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            error.to_string()
        };
        assert!(text(513, 4, 512).ends_with("at a multiple of 512 bytes in the file, not at 513"));
        assert!(text(512, 4, 100).ends_with("of a multiple of 512 bytes, not of 100"));
        assert!(text(512, 6, 512).ends_with("at a multiple of 4 bytes in memory, not at 0x6"));
        assert!(text(u64::MAX, 4, 512).contains("not at 18446744073709551615"));
    }

    #[test]
    fn where_nothing_is_said_it_is_a_block_and_never_more_than_a_page() {
        for (block, unit) in
            [(0, 4096), (1, 512), (1024, 1024), (4096, 4096), (1 << 20, 4096), (1000, 4096)]
        {
            assert_eq!(Alignment::guessed(block), Alignment { memory: unit, offset: unit });
        }
    }
}
