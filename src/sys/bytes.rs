//! Where a byte is among others. No call of the kernel's, but of the C library's, or unsafe for the same reason: speed.
//!
//! # Safety rules
//!
//! 1. What is read lies within a slice that is borrowed across the call.
//! 2. Every x86-64 has the vectors of SSE2.
//! 3. ASCII is UTF-8.
#![allow(unsafe_code, reason = "the C library's search, and vectors of the processor's")]

use std::str::Utf8Error;

/// Bytes in a [`Block`].
pub(crate) const BLOCK: usize = 64;

/// As many bytes as a mask has bits.
pub(crate) type Block = [u8; BLOCK];

/// The place of the first such byte: `memchr(3)`, which the C library has for each processor. For lines of 64 bytes the
/// crate of that name takes four times as long (`net`, `lines`).
#[inline]
pub(crate) fn find(byte: u8, bytes: &[u8]) -> Option<usize> {
    // SAFETY: rule 1.
    let found = unsafe { libc::memchr(bytes.as_ptr().cast(), i32::from(byte), bytes.len()) };
    (!found.is_null()).then(|| found.addr() - bytes.as_ptr().addr())
}

/// The bytes as a text. Most are ASCII, which is told sooner than what std asks for (`net`, `lines_string`).
#[inline]
pub(crate) fn text(bytes: &[u8]) -> Result<&str, Utf8Error> {
    if bytes.is_ascii() {
        // SAFETY: rule 3.
        return Ok(unsafe { std::str::from_utf8_unchecked(bytes) });
    }
    std::str::from_utf8(bytes)
}

/// A byte that is looked for in blocks, as often as a vector has bytes.
pub(crate) struct Wanted([u8; 16]);

impl Wanted {
    #[inline]
    pub(crate) fn new(byte: u8) -> Self {
        Self([byte; 16])
    }

    #[inline]
    pub(crate) fn byte(&self) -> u8 {
        self.0[0]
    }

    /// The places of all such bytes: the lowest bit is for the first byte.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    pub(crate) fn places(&self, block: &Block) -> u64 {
        use std::arch::x86_64::{_mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8};

        // SAFETY: rules 1 and 2: a vector has 16 bytes, at any address.
        let wanted = unsafe { _mm_loadu_si128(self.0.as_ptr().cast()) };
        let (parts, _) = block.as_chunks::<16>();
        parts.iter().rev().fold(0, |places, part| {
            // SAFETY: as above.
            let part = unsafe { _mm_loadu_si128(part.as_ptr().cast()) };
            // SAFETY: rule 2.
            let same = unsafe { _mm_movemask_epi8(_mm_cmpeq_epi8(part, wanted)) };
            (places << 16) | u64::from(same.cast_unsigned())
        })
    }

    /// As by vectors.
    #[cfg(not(target_arch = "x86_64"))]
    #[inline(always)]
    pub(crate) fn places(&self, block: &Block) -> u64 {
        by_words::places(self.byte(), block)
    }
}

/// The same by words, where no vectors are known of.
#[cfg(any(test, not(target_arch = "x86_64")))]
mod by_words {
    use super::Block;

    const ONES: u64 = 0x0101_0101_0101_0101;
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    /// Moves the lowest bits of eight bytes side by side, into the highest byte.
    const GATHER: u64 = 0x0102_0408_1020_4080;

    pub(crate) fn places(byte: u8, block: &Block) -> u64 {
        let (words, _) = block.as_chunks::<8>();
        words.iter().rev().fold(0, |places, word| {
            let other = u64::from_le_bytes(*word) ^ (ONES * u64::from(byte));
            // Of each byte the highest bit, if it is zero.
            let same = !(((other & LOW) + LOW) | other | LOW);
            (places << 8) | ((same >> 7).wrapping_mul(GATHER) >> 56)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(byte: u8, block: &Block) -> u64 {
        Wanted::new(byte).places(block)
    }

    #[test]
    fn a_byte_is_found_in_each_place_and_nowhere_else() {
        for byte in [0, b'\n', 0x7f, 0x80, 0x81, 0xff] {
            for other in
                [0, 1, b'\n', b'\n' ^ 0x80, 0x7f, 0x80, 0xff].into_iter().filter(|it| *it != byte)
            {
                assert_eq!(places(byte, &[other; BLOCK]), 0);
                assert_eq!(by_words::places(byte, &[other; BLOCK]), 0);
                for at in 0..BLOCK {
                    let mut block = [other; BLOCK];
                    block[at] = byte;
                    block[at * 7 % BLOCK] = byte;
                    let expected = 1 << at | 1 << (at * 7 % BLOCK);
                    assert_eq!(places(byte, &block), expected, "{byte} among {other}");
                    assert_eq!(by_words::places(byte, &block), expected, "{byte} among {other}");
                    assert_eq!(find(byte, &block), Some(at.min(at * 7 % BLOCK)));
                }
            }
        }
        assert_eq!(places(7, &[7; BLOCK]), u64::MAX);
        assert_eq!(by_words::places(7, &[7; BLOCK]), u64::MAX);
        assert_eq!(find(7, &[]), None);
    }
}
