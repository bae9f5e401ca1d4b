//! Reading a log: all records, in order, up to the first that is not whole.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use annulus::fs;

use super::record::{self, BLOCK, Damage, Found, HEAD};
use super::segment;

/// Where reading stopped, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stop {
    pub(crate) segment: u64,
    /// In the file of the segment, in bytes.
    pub(crate) offset: u64,
    /// Which record would have come next.
    pub(crate) index: u64,
    pub(crate) damage: Damage,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { segment, offset, index, damage } = self;
        write!(f, "segment {segment}, byte {offset}: record {index} is not there: {damage}")
    }
}

/// What a log has in it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Recovered {
    pub(crate) records: u64,
    /// The bytes of their payloads.
    pub(crate) bytes: u64,
    /// The index of the record that comes next.
    pub(crate) next: u64,
    /// The number of the last segment; 0 if there is none.
    pub(crate) last: u64,
    /// Whether the last segment has no record and no damage.
    pub(crate) last_is_empty: bool,
    /// Commits that were never acknowledged, each at the end of what was written before a crash.
    pub(crate) torn: Vec<Stop>,
    /// Behind this lie segments that do not continue what is before it: acknowledged records are lost.
    pub(crate) lost: Option<Stop>,
}

/// How a segment was read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Scanned {
    /// The index of the record that comes next.
    pub(crate) next: u64,
    /// Where reading ended.
    pub(crate) offset: u64,
    pub(crate) damage: Option<Damage>,
}

/// Reads the log in a directory and gives each record to `each`, with its index.
pub(crate) async fn recover(dir: &Path, mut each: impl FnMut(u64, &[u8])) -> io::Result<Recovered> {
    let numbers = segments(dir).await?;
    let last = numbers.last().copied().unwrap_or(0);
    let (torn, lost) = (Vec::new(), None);
    let mut recovered =
        Recovered { records: 0, bytes: 0, next: 1, last, last_is_empty: false, torn, lost };
    for (place, number) in numbers.iter().copied().enumerate() {
        let content = fs::read(segment::path(dir, number)).await?;
        let expected = recovered.next;
        let stop = |offset, index, damage| Stop { segment: number, offset, index, damage };
        let Some(first) = record::segment_first(&content, number) else {
            recovered.lost = Some(stop(0, expected, Damage::Head));
            break;
        };
        // The first may have had others before it that were removed.
        if place > 0 && first != expected {
            recovered.lost = Some(stop(0, expected, Damage::Begin(first)));
            break;
        }
        let scanned = scan(&content, number, first, |index, payload| {
            recovered.records += 1;
            recovered.bytes += payload.len() as u64;
            each(index, payload);
        });
        recovered.next = scanned.next;
        recovered.last_is_empty = scanned.next == first && scanned.damage.is_none();
        recovered
            .torn
            .extend(scanned.damage.map(|damage| stop(scanned.offset, scanned.next, damage)));
    }
    Ok(recovered)
}

/// Reads the content of a segment, whose first record is `first`, up to its end or the first record that is not whole.
pub(crate) fn scan(
    content: &[u8],
    segment: u64,
    first: u64,
    mut each: impl FnMut(u64, &[u8]),
) -> Scanned {
    let (mut at, mut next) = (BLOCK, first);
    let damage = loop {
        let (gap, _) = record::place(at, 0);
        at += gap;
        let rest = content.get(at..).unwrap_or_default();
        match record::look(rest, segment) {
            Found::Record { index, payload } if index == next => {
                each(index, payload);
                next += 1;
                at += HEAD + payload.len();
            }
            Found::Record { index, .. } => break Some(Damage::Index(index)),
            Found::Damaged(damage) => break Some(damage),
            // The rest of a commit's last block: the next one begins with the next block.
            Found::Nothing if at % BLOCK != 0 && !rest.is_empty() => {
                at = at.next_multiple_of(BLOCK);
            }
            Found::Nothing => {
                let hole = rest.iter().any(|byte| *byte != 0);
                break hole.then_some(Damage::Hole);
            }
        }
    };
    Scanned { next, offset: at as u64, damage }
}

/// The numbers of the segments in a directory, in order.
async fn segments(dir: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    let mut entries = fs::read_dir(dir).await?;
    while let Some(entry) = entries.next_entry().await? {
        numbers.extend(PathBuf::from(entry.file_name()).to_str().and_then(segment::number));
    }
    numbers.sort_unstable();
    Ok(numbers)
}
