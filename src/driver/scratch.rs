//! Memory for what an operation shows the kernel beside its buffers: a path, the place of an answer.
//!
//! A slot has no room for it, and an allocation for each path and each answer was a third of what a small operation
//! costs (`file`, `metadata_d32`). So there are blocks of one size, which go round within their core.

use std::ffi::CString;
use std::fmt;
use std::rc::Rc;

use super::Driver;

/// How long a path may be that lies in a block, with its end.
const SHORT: usize = 256;

/// Paths are looked at in pieces of so many bytes, the last of which may go beyond the end.
const PIECE: usize = 16;

/// How many blocks are kept for the next operations.
const SPARE_MAX: usize = 128;

/// See the head of the file. Nothing in it is cleared between two operations but what lies elsewhere.
pub(crate) struct Block {
    /// Where the kernel answers; the largest answer is a `struct statx`.
    pub(crate) answer: [u64; 32],
    /// A short path.
    bytes: [u8; SHORT + PIECE],
    /// One that is longer.
    long: Option<CString>,
    /// The next one that nobody has.
    next: Option<Box<Self>>,
}

/// The blocks that nobody has, one behind the other.
#[derive(Debug, Default)]
pub(super) struct Spare {
    first: Option<Box<Block>>,
    count: usize,
}

impl Spare {
    #[inline]
    fn pop(&mut self) -> Option<Box<Block>> {
        let mut block = self.first.take()?;
        self.first = block.next.take();
        self.count -= 1;
        Some(block)
    }

    #[inline]
    fn push(&mut self, mut block: Box<Block>) {
        if self.count < SPARE_MAX {
            self.count += 1;
            block.next = self.first.take();
            self.first = Some(block);
        }
    }
}

impl Block {
    /// Puts a path here, with a zero behind; false if there is one in it.
    ///
    /// It is copied first and looked at then, piece by piece and without a branch on its bytes: a search, which has to
    /// say where, takes some 20 instructions more (`file`, `metadata_d32`).
    #[inline]
    pub(crate) fn put_path(&mut self, path: &[u8]) -> bool {
        let len = path.len();
        if len >= SHORT {
            self.long = CString::new(path).ok();
            return self.long.is_some();
        }
        self.bytes[..len].copy_from_slice(path);
        // Beyond the end are no zeroes to be found.
        self.bytes[len..len + PIECE].fill(1);
        let (pieces, _) = self.bytes[..len.next_multiple_of(PIECE)].as_chunks::<PIECE>();
        let zero = pieces.iter().fold(false, |zero, piece| zero | has_zero(piece));
        self.bytes[len] = 0;
        !zero
    }

    /// The path that was put here last.
    #[inline]
    pub(crate) fn path(&self) -> *const libc::c_char {
        match &self.long {
            None => self.bytes.as_ptr().cast(),
            Some(long) => long.as_ptr(),
        }
    }
}

#[inline]
fn has_zero(piece: &[u8; PIECE]) -> bool {
    piece.iter().fold(false, |zero, byte| zero | (*byte == 0))
}

/// A block, until it is dropped. It is one allocation that does not move with the value.
pub(crate) struct Scratch {
    /// `None` while it is dropped.
    block: Option<Box<Block>>,
    driver: Rc<Driver>,
}

impl Scratch {
    #[inline]
    pub(crate) fn new(driver: &Rc<Driver>) -> Self {
        let spare = driver.spare_blocks.borrow_mut().pop();
        Self { block: Some(spare.unwrap_or_else(fresh)), driver: Rc::clone(driver) }
    }

    #[inline]
    pub(crate) fn driver(&self) -> &Rc<Driver> {
        &self.driver
    }

    #[inline]
    pub(crate) fn block(&self) -> &Block {
        self.block.as_ref().expect("a block is there until its drop")
    }

    #[inline]
    pub(crate) fn block_mut(&mut self) -> &mut Block {
        self.block.as_mut().expect("a block is there until its drop")
    }
}

#[cold]
fn fresh() -> Box<Block> {
    Box::new(Block { answer: [0; 32], bytes: [0; SHORT + PIECE], long: None, next: None })
}

impl Drop for Scratch {
    #[inline]
    fn drop(&mut self) {
        let Some(mut block) = self.block.take() else {
            return;
        };
        if block.long.is_some() {
            block.long = None;
        }
        self.driver.spare_blocks.borrow_mut().push(block);
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Block").finish_non_exhaustive()
    }
}

impl fmt::Debug for Scratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scratch").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_any_length_is_there_with_its_end_and_a_zero_anywhere_in_it_is_seen() {
        let mut block = fresh();
        for len in (0..70).chain(SHORT - 20..SHORT + 20).chain([4096]) {
            let mut path = vec![b'x'; len];
            block.long = None;
            assert!(block.put_path(&path), "{len}");
            if len < SHORT {
                assert_eq!((&block.bytes[..len], block.bytes[len]), (path.as_slice(), 0));
                assert!(block.long.is_none());
            } else {
                assert_eq!(block.long.as_ref().map(|long| long.as_bytes()), Some(path.as_slice()));
            }
            for at in 0..len.min(300) {
                path[at] = 0;
                assert!(!block.put_path(&path), "{at} of {len}");
                path[at] = b'y';
            }
        }
    }
    #[test]
    fn no_more_than_the_bound_is_kept_and_all_of_that_comes_back() {
        let mut spare = Spare::default();
        assert!(spare.pop().is_none());
        (0..SPARE_MAX + 3).for_each(|_| spare.push(fresh()));
        assert_eq!((0..).take_while(|_| spare.pop().is_some()).count(), SPARE_MAX);
        assert!(spare.first.is_none() && spare.count == 0);
    }
}
