//! The chunk that a reader takes from, and where in it the delimiter is.

use std::mem;

use crate::buf::Chunk;
use crate::sys::bytes::{BLOCK, Wanted};

/// Blocks that are looked through before the search that is made for long pieces.
const NEAR: usize = 3;

/// See the head of the file.
///
/// What changes with each piece is in as few words as can be (`net`, `lines`).
pub(super) struct Front {
    chunk: Option<Chunk>,
    /// What comes before this was taken.
    start: usize,
    /// The chunk was looked through up to here, a block at a time: where in the last block the delimiter is, what was
    /// taken left out, is in `places`, and nowhere between `start` and that. So where the next piece ends is looked for
    /// without regard to where the last one did, and the processor need not wait for that. Not before `start`.
    ahead: usize,
    places: u64,
    delimiter: Wanted,
}

/// A piece that ends in the block that was looked through, or in one of the next.
pub(super) struct Near {
    start: usize,
    end: usize,
    /// As in the front, with the piece's end among the places.
    ahead: usize,
    places: u64,
}

impl Near {
    /// Bytes of the piece, with the delimiter.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.end - self.start
    }
}

impl Front {
    /// Without a chunk.
    pub(super) fn new(delimiter: u8) -> Self {
        let delimiter = Wanted::new(delimiter);
        Self { chunk: None, start: 0, ahead: 0, places: 0, delimiter }
    }

    pub(super) fn delimiter(&self) -> u8 {
        self.delimiter.byte()
    }

    /// Another delimiter is looked for from now on.
    pub(super) fn set_delimiter(&mut self, delimiter: u8) {
        self.delimiter = Wanted::new(delimiter);
        (self.ahead, self.places) = (self.start, 0);
    }

    /// Goes on with another chunk, or none; what was not taken of the last one.
    pub(super) fn replace(&mut self, chunk: Option<Chunk>) -> Option<Chunk> {
        let mut last = mem::replace(&mut self.chunk, chunk);
        if let Some(last) = &mut last {
            last.advance(self.start);
        }
        (self.start, self.ahead, self.places) = (0, 0, 0);
        last.filter(|rest| !rest.is_empty())
    }

    /// All of the chunk, what was taken and what was not.
    #[inline]
    pub(super) fn whole(&self) -> &[u8] {
        self.chunk.as_deref().unwrap_or_default()
    }

    /// Where what was not taken begins.
    #[inline]
    pub(super) fn start(&self) -> usize {
        self.start
    }

    /// What was not taken.
    #[inline]
    pub(super) fn rest(&self) -> &[u8] {
        &self.whole()[self.start..]
    }

    /// Takes bytes, which are there: they lie in `whole` from the `start` that was.
    #[inline]
    pub(super) fn pass(&mut self, count: usize) {
        self.start += count;
        match self.ahead.checked_sub(self.start) {
            Some(left) => {
                let passed = BLOCK.saturating_sub(left) as u32;
                self.places &= u64::MAX.checked_shl(passed).unwrap_or(0);
            }
            None => (self.ahead, self.places) = (self.start, 0),
        }
    }

    /// The delimiter is nowhere between `start` and this place, at which it may be.
    pub(super) fn known(&self) -> usize {
        if self.places == 0 { self.ahead } else { last(self.ahead, self.places) }
    }

    /// Looks for the next piece of at most `limit` bytes: in what was looked through, then in the next blocks.
    #[inline(always)]
    pub(super) fn look(&self, delimiter: u8, limit: usize) -> Option<Near> {
        if delimiter != self.delimiter.byte() {
            return None;
        }
        let chunk = self.chunk.as_deref()?;
        let (start, mut ahead, mut places) = (self.start, self.ahead, self.places);
        let mut blocks = 0;
        while places == 0 {
            if blocks == NEAR {
                return None;
            }
            places = self.delimiter.places(chunk.get(ahead..ahead + BLOCK)?.first_chunk()?);
            ahead += BLOCK;
            blocks += 1;
        }
        let end = last(ahead, places) + 1;
        let len = end.checked_sub(start)?;
        (len <= limit).then_some(Near { start, end, ahead, places })
    }

    /// The bytes of a piece that was just looked for.
    #[inline(always)]
    pub(super) fn piece(&self, near: &Near) -> &[u8] {
        self.chunk.as_ref().and_then(|chunk| chunk.get(near.start..near.end)).unwrap_or_default()
    }

    /// Takes a piece that was just looked for: its end is the first of the places.
    #[inline(always)]
    pub(super) fn pass_near(&mut self, near: &Near) {
        self.start = near.end;
        self.ahead = near.ahead;
        self.places = near.places & near.places.wrapping_sub(1);
    }
}

/// The first of the places in the block before `ahead`.
#[inline(always)]
fn last(ahead: usize, places: u64) -> usize {
    ahead - BLOCK + places.trailing_zeros() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers by xorshift.
    struct Random(u64);

    impl Random {
        fn below(&mut self, limit: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 % limit as u64) as usize
        }
    }

    /// However bytes are taken, what is known of the delimiter is so, and a piece is the one that is there.
    #[test]
    fn what_is_known_is_so_however_bytes_are_taken() {
        for seed in 1..=2_000 {
            let mut random = Random(seed * 0x9e37_79b9);
            let rare = [2, 30, 90, 400][random.below(4)];
            let len = random.below(700);
            let bytes: Vec<u8> = (0..len).map(|_| u8::from(random.below(rare) == 0)).collect();
            let mut front = Front::new(1);
            assert!(front.replace(Some(Chunk::from(bytes.clone()))).is_none());
            let mut taken = 0;
            while taken < len {
                let rest = &bytes[taken..];
                let at = |wanted| rest.iter().position(|byte| *byte == wanted);
                let wanted = u8::from(random.below(16) > 0);
                if wanted != front.delimiter() {
                    assert!(front.look(wanted, len).is_none());
                    front.set_delimiter(wanted);
                }
                let near = front.look(wanted, len);
                if let Some(near) = &near {
                    assert_eq!(Some(near.len() - 1), at(wanted), "seed {seed}, {taken} taken");
                    assert_eq!(front.piece(near), &rest[..near.len()]);
                    assert!(front.look(wanted, near.len()).is_some());
                    assert!(front.look(wanted, near.len() - 1).is_none());
                }
                let count = match &near {
                    Some(near) if random.below(4) > 0 => {
                        front.pass_near(near);
                        near.len()
                    }
                    _ => {
                        let count = random.below(rest.len().min(150) + 1);
                        front.pass(count);
                        count
                    }
                };
                taken += count;
                assert_eq!((front.start(), front.rest()), (taken, &bytes[taken..]));
                let known = front.known();
                assert!(taken <= known && known <= len);
                assert!(!bytes[taken..known].contains(&wanted), "seed {seed}, {taken} taken");
            }
            assert!(front.replace(None).is_none());
        }
    }

    #[test]
    fn what_was_not_taken_comes_back_when_another_chunk_takes_the_place() {
        let mut front = Front::new(b'\n');
        front.replace(Some(Chunk::from(vec![b'x'; 100])));
        front.pass(90);
        let rest = front.replace(Some(Chunk::from(vec![b'\n'; 70])));
        assert_eq!(rest.as_deref(), Some(&[b'x'; 10][..]));
        let near = front.look(b'\n', 1).expect("it begins with one");
        front.pass_near(&near);
        assert_eq!((front.start(), front.known()), (1, 1));
    }
}
