//! How a record and the head of a segment lie on the disk.
//!
//! A record is `checksum: u32 | length: u32 | index: u64 | payload`, little endian. The checksum (CRC32C) is over all
//! the rest and the number of the segment, so bytes that an earlier use of the space left are no record of this one.
//! Sixteen zeroes are no record: a segment is zeroes before it is written, and indices begin at 1.

use std::fmt;

/// What is written at once begins and ends at a multiple of this.
pub(crate) const BLOCK: usize = 4096;
/// What a record takes beside its payload.
pub(crate) const HEAD: usize = 16;
/// The longest payload.
pub(crate) const PAYLOAD_MAX: usize = 64 * 1024;

const MAGIC: &[u8; 8] = b"annulwal";
/// Where the fields of a segment's head end, and its checksum lies.
const SEGMENT_FIELDS: usize = 24;

/// What lies at a place where a record may begin.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found<'a> {
    Record { index: u64, payload: &'a [u8] },
    Nothing,
    Damaged(Damage),
}

/// Why what lies there is no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Damage {
    /// The file ends within it.
    Cut,
    /// It is longer than a record can be.
    Length(u32),
    /// It was not written whole, or not by this segment.
    Checksum,
    /// It is another record than the one that comes next.
    Index(u64),
    /// Nothing is here, and something behind it.
    Hole,
    /// The segment's head is not whole.
    Head,
    /// The segment does not begin where the one before it ended, but with this record.
    Begin(u64),
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut => f.write_str("the file ends within the record"),
            Self::Length(length) => write!(f, "a record cannot have {length} bytes"),
            Self::Checksum => f.write_str("the checksum does not match"),
            Self::Index(index) => write!(f, "the record has the index {index}"),
            Self::Hole => f.write_str("nothing was written here, but behind it"),
            Self::Head => f.write_str("the head of the segment is not whole"),
            Self::Begin(index) => write!(f, "the segment begins with record {index}"),
        }
    }
}

/// The head of a segment, padded to a block.
pub(crate) fn segment_head(segment: u64, first: u64) -> [u8; BLOCK] {
    let mut head = [0; BLOCK];
    head[..8].copy_from_slice(MAGIC);
    head[8..16].copy_from_slice(&segment.to_le_bytes());
    head[16..24].copy_from_slice(&first.to_le_bytes());
    let checksum = crc32c::crc32c(&head[..SEGMENT_FIELDS]);
    head[SEGMENT_FIELDS..SEGMENT_FIELDS + 4].copy_from_slice(&checksum.to_le_bytes());
    head
}

/// The index of a segment's first record, if its head is whole.
pub(crate) fn segment_first(head: &[u8], segment: u64) -> Option<u64> {
    let first = u64::from_le_bytes(head.get(16..24)?.try_into().ok()?);
    let whole = head.get(..BLOCK)? == segment_head(segment, first);
    whole.then_some(first)
}

/// How many bytes behind `at` the next record begins, which then has `payload` bytes, and where it ends: a head never
/// lies across the border of two blocks, so that the rest of a block can be seen to be empty.
pub(crate) fn place(at: usize, payload: usize) -> (usize, usize) {
    let left = BLOCK - at % BLOCK;
    let gap = if left < HEAD { left } else { 0 };
    (gap, at + gap + HEAD + payload)
}

/// The head of a record.
pub(crate) fn head(segment: u64, index: u64, payload: &[u8]) -> [u8; HEAD] {
    let length = u32::try_from(payload.len()).expect("a payload is at most PAYLOAD_MAX");
    let mut head = [0; HEAD];
    head[4..8].copy_from_slice(&length.to_le_bytes());
    head[8..].copy_from_slice(&index.to_le_bytes());
    let checksum = checksum(segment, &head, payload);
    head[..4].copy_from_slice(&checksum.to_le_bytes());
    head
}

/// What lies at the begin of `bytes`, which are those of a segment from some place on.
pub(crate) fn look(bytes: &[u8], segment: u64) -> Found<'_> {
    let Some((head, rest)) = bytes.split_first_chunk::<HEAD>() else {
        let empty = bytes.iter().all(|byte| *byte == 0);
        return if empty { Found::Nothing } else { Found::Damaged(Damage::Cut) };
    };
    if *head == [0; HEAD] {
        return Found::Nothing;
    }
    let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let length = word(4);
    if length as usize > PAYLOAD_MAX {
        return Found::Damaged(Damage::Length(length));
    }
    let Some(payload) = rest.get(..length as usize) else {
        return Found::Damaged(Damage::Cut);
    };
    if word(0) != checksum(segment, head, payload) {
        return Found::Damaged(Damage::Checksum);
    }
    let index = u64::from(word(8)) | u64::from(word(12)) << 32;
    Found::Record { index, payload }
}

fn checksum(segment: u64, head: &[u8; HEAD], payload: &[u8]) -> u32 {
    let checksum = crc32c::crc32c(&segment.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c_append(checksum, &head[4..]), payload)
}
