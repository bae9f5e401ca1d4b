//! The storage of a wheel's entries: chunks of 64, each given back when its last entry is freed.
//!
//! A timer is inserted and removed for nearly every request, so both must be cheap; and a burst of
//! a million timers must not keep its memory for ever. Entries are named by index and never move,
//! so that the wheel can link them by `u32`; a chunk's free entries are the zero bits of one word.
//! An entry belongs to whoever holds its key, also after its payload has left, so a key needs no
//! generation and is never stale. Memory is bounded by 64 entries for every chunk that still holds
//! one, one empty chunk, and 20 bytes for every chunk ever in use.

use std::fmt;
use std::ops::{Index, IndexMut};

/// The index that names no entry: the end of a list.
pub(super) const NIL: u32 = u32::MAX;

const CHUNK_BITS: u32 = 6;
const CHUNK_ENTRIES: usize = 1 << CHUNK_BITS;

/// Owns an entry, of one storage: it is neither copied nor made elsewhere, and freeing takes it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Key(u32);

impl Key {
    pub(super) fn index(&self) -> u32 {
        self.0
    }
}

/// A payload, until it is taken out, with its deadline and its neighbours in a slot's list.
pub(super) struct Entry<T> {
    pub(super) payload: Option<T>,
    pub(super) deadline_ns: u64,
    pub(super) prev: u32,
    pub(super) next: u32,
}

impl<T> Entry<T> {
    const VACANT: Self = Self { payload: None, deadline_ns: 0, prev: NIL, next: NIL };
}

/// 64 places of entries; they have memory while one is occupied.
struct Chunk<T> {
    /// The vacant places; none without memory.
    vacant: u64,
    entries: Option<Box<[Entry<T>; CHUNK_ENTRIES]>>,
}

pub(super) struct Entries<T> {
    chunks: Vec<Chunk<T>>,
    /// The chunk that is inserted into. It keeps its memory when it is empty, so that insert and
    /// remove in turn do not allocate.
    current: u32,
    /// Each other chunk that is not full, once.
    roomy: Vec<u32>,
}

impl<T> Entries<T> {
    pub(super) fn new() -> Self {
        let chunks = vec![Chunk { vacant: 0, entries: None }];
        Self { chunks, current: 0, roomy: Vec::new() }
    }

    /// Makes sure of a vacant place for the next `insert`.
    ///
    /// # Panics
    ///
    /// With 2^32 - 64 entries live.
    #[inline]
    pub(super) fn reserve(&mut self) {
        if self.chunks[self.current as usize].vacant == 0 {
            self.next_chunk();
        }
    }

    /// Puts `entry` into the place that `reserve` made sure of.
    #[inline(always)]
    pub(super) fn insert(&mut self, entry: Entry<T>) -> Key {
        let chunk = &mut self.chunks[self.current as usize];
        assert!(chunk.vacant != 0, "there was a call of `reserve`");
        let place = chunk.vacant.trailing_zeros();
        chunk.vacant &= chunk.vacant - 1;
        let entries = chunk.entries.as_mut().expect("a chunk with room has memory");
        let vacant = std::mem::replace(&mut entries[place as usize % CHUNK_ENTRIES], entry);
        assert!(vacant.payload.is_none(), "a vacant place holds nothing");
        Key(self.current << CHUNK_BITS | place)
    }

    /// Frees an entry and returns what it was, for the caller to unlink; also its chunk's memory if
    /// it was the last in it.
    #[inline]
    pub(super) fn remove(&mut self, key: Key) -> Entry<T> {
        let chunk_index = key.0 >> CHUNK_BITS;
        let chunk = &mut self.chunks[chunk_index as usize];
        let entries = chunk.entries.as_mut().expect("a chunk with an entry has memory");
        let place = key.0 as usize % CHUNK_ENTRIES;
        let Entry { deadline_ns, prev, next, .. } = entries[place];
        let entry = Entry { payload: entries[place].payload.take(), deadline_ns, prev, next };
        let was_full = chunk.vacant == 0;
        chunk.vacant |= 1 << place;
        if chunk_index != self.current && (was_full || chunk.vacant == u64::MAX) {
            self.roomier(chunk_index, was_full);
        }
        entry
    }

    /// The entries there is memory for, occupied or not.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.chunks.iter().filter(|chunk| chunk.entries.is_some()).count() * CHUNK_ENTRIES
    }

    /// The current chunk is full, or was never used.
    #[cold]
    fn next_chunk(&mut self) {
        if self.chunks[self.current as usize].entries.is_some() {
            self.current = self.roomy.pop().unwrap_or_else(|| {
                self.chunks.push(Chunk { vacant: 0, entries: None });
                u32::try_from(self.chunks.len() - 1).unwrap_or(NIL)
            });
            assert!(self.current < NIL >> CHUNK_BITS, "fewer than 2^32 - 64 timers at a time");
        }
        let chunk = &mut self.chunks[self.current as usize];
        if chunk.entries.is_none() {
            chunk.entries = Some(Box::new([Entry::VACANT; CHUNK_ENTRIES]));
            chunk.vacant = u64::MAX;
        }
    }

    /// A chunk that is not the current one was full, or is empty now.
    #[cold]
    fn roomier(&mut self, chunk_index: u32, was_full: bool) {
        if was_full {
            self.roomy.push(chunk_index);
        } else {
            self.chunks[chunk_index as usize] = Chunk { vacant: 0, entries: None };
        }
    }
}

impl<T> Index<u32> for Entries<T> {
    type Output = Entry<T>;

    #[inline]
    fn index(&self, index: u32) -> &Entry<T> {
        let entries = self.chunks[(index >> CHUNK_BITS) as usize].entries.as_ref();
        &entries.expect("a chunk with an entry has memory")[index as usize % CHUNK_ENTRIES]
    }
}

impl<T> IndexMut<u32> for Entries<T> {
    #[inline]
    fn index_mut(&mut self, index: u32) -> &mut Entry<T> {
        let entries = self.chunks[(index >> CHUNK_BITS) as usize].entries.as_mut();
        &mut entries.expect("a chunk with an entry has memory")[index as usize % CHUNK_ENTRIES]
    }
}

impl<T> fmt::Debug for Entries<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entries").field("chunks", &self.chunks.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    fn insert<T>(entries: &mut Entries<T>, payload: T) -> Key {
        entries.reserve();
        entries.insert(Entry { payload: Some(payload), ..Entry::VACANT })
    }

    #[test]
    fn an_entry_for_a_waker_is_32_bytes() {
        assert_eq!(size_of::<Entry<Waker>>(), 32);
    }

    #[test]
    fn a_place_is_used_again_and_starts_anew() {
        let mut entries = Entries::new();
        let old = insert(&mut entries, 'a');
        let index = old.index();
        entries[index].deadline_ns = 1;
        assert_eq!(entries.remove(old).payload, Some('a'));
        let new = insert(&mut entries, 'b');
        assert_eq!((new.index(), entries[index].deadline_ns), (index, 0));
        assert_eq!(entries[index].payload, Some('b'));
    }

    #[test]
    fn memory_follows_the_live_entries_down() {
        let mut entries = Entries::new();
        let keys: Vec<_> = (0..1000).map(|n| insert(&mut entries, n)).collect();
        assert_eq!(entries.capacity(), 1024);
        // One survivor in the middle pins its own chunk and nothing else.
        let mut survivor = None;
        for (n, key) in keys.into_iter().enumerate() {
            match n {
                500 => survivor = Some(key),
                _ => assert_eq!(entries.remove(key).payload, Some(n)),
            }
        }
        let survivor = survivor.expect("kept above");
        assert_eq!((entries.capacity(), survivor.index()), (128, 500));
        assert_eq!(entries[500].payload, Some(500));
        // Room is found again before new chunks are made.
        let keys: Vec<_> = (0..1023).map(|n| insert(&mut entries, n)).collect();
        assert_eq!((entries.capacity(), entries.chunks.len()), (1024, 16));
        assert!(keys.iter().all(|key| key.index() != 500));
    }

    #[test]
    fn only_the_current_chunk_keeps_its_memory_when_empty() {
        let mut entries = Entries::new();
        let mut chunks: Vec<Vec<Key>> = Vec::new();
        for chunk in 0..4 {
            chunks.push((0..CHUNK_ENTRIES).map(|n| insert(&mut entries, (chunk, n))).collect());
        }
        for (emptied, keys) in chunks.into_iter().enumerate() {
            for key in keys {
                let _ = entries.remove(key);
            }
            assert_eq!(entries.capacity(), (3 - emptied).max(1) * CHUNK_ENTRIES);
        }
        assert_eq!((entries.current, entries.roomy.len()), (3, 3));
    }
}
