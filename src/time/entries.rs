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

/// The first of the indices that name no entry: a list's ends are among them.
pub(super) const ENDS: u32 = u32::MAX - 1023;

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
    const VACANT: Self = Self { payload: None, deadline_ns: 0, prev: ENDS, next: ENDS };
}

/// 64 places of entries; they have memory while one is occupied.
struct Chunk<T> {
    /// The vacant places; none without memory.
    vacant: u64,
    entries: Option<Box<[Entry<T>; CHUNK_ENTRIES]>>,
}

impl<T> Chunk<T> {
    const NONE: Self = Self { vacant: 0, entries: None };
}

pub(super) struct Entries<T> {
    /// The chunk that is inserted into, and its number. It keeps its memory when it is empty, so that
    /// insert and remove in turn do not allocate.
    current: Chunk<T>,
    current_index: u32,
    /// The other chunks; in the place of the current one nothing.
    chunks: Vec<Chunk<T>>,
    /// Each other chunk that is not full, once.
    roomy: Vec<u32>,
}

impl<T> Entries<T> {
    pub(super) fn new() -> Self {
        let chunks = vec![Chunk::NONE];
        Self { current: Chunk::NONE, current_index: 0, chunks, roomy: Vec::new() }
    }

    /// Takes a vacant place, which `fill` is to fill before anything else.
    ///
    /// # Panics
    ///
    /// With 2^32 - 1024 entries live.
    #[inline]
    pub(super) fn occupy(&mut self) -> Key {
        if self.current.vacant == 0 {
            self.next_chunk();
        }
        let place = self.current.vacant.trailing_zeros();
        self.current.vacant &= self.current.vacant - 1;
        Key(self.current_index << CHUNK_BITS | place)
    }

    /// Puts an entry into the place that was just taken.
    #[inline(always)]
    pub(super) fn fill(&mut self, key: &Key, entry: Entry<T>) {
        let entries = self.current.entries.as_mut().expect("a chunk with room has memory");
        let place = &mut entries[key.0 as usize % CHUNK_ENTRIES];
        assert!(place.payload.is_none(), "a vacant place holds nothing");
        *place = entry;
    }

    /// Frees an entry and returns what it was, for the caller to unlink; also its chunk's memory if
    /// it was the last in it.
    #[inline]
    pub(super) fn remove(&mut self, key: Key) -> Entry<T> {
        let chunk_index = key.0 >> CHUNK_BITS;
        let is_current = chunk_index == self.current_index;
        let chunk = self.chunk_mut(chunk_index);
        let entries = chunk.entries.as_mut().expect("a chunk with an entry has memory");
        let place = key.0 as usize % CHUNK_ENTRIES;
        let Entry { deadline_ns, prev, next, .. } = entries[place];
        let entry = Entry { payload: entries[place].payload.take(), deadline_ns, prev, next };
        let before = chunk.vacant;
        chunk.vacant |= 1 << place;
        if !is_current {
            let after = chunk.vacant;
            if before == 0 || after == u64::MAX {
                self.roomier(chunk_index, before == 0);
            }
        }
        entry
    }

    #[inline]
    fn chunk_mut(&mut self, chunk_index: u32) -> &mut Chunk<T> {
        if chunk_index == self.current_index {
            &mut self.current
        } else {
            &mut self.chunks[chunk_index as usize]
        }
    }

    /// The entries there is memory for, occupied or not.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        let chunks = self.chunks.iter().chain([&self.current]);
        chunks.filter(|chunk| chunk.entries.is_some()).count() * CHUNK_ENTRIES
    }

    /// The current chunk is full, or was never used.
    #[cold]
    fn next_chunk(&mut self) {
        if self.current.entries.is_some() {
            let next = self.roomy.pop().unwrap_or_else(|| {
                self.chunks.push(Chunk::NONE);
                u32::try_from(self.chunks.len() - 1).unwrap_or(ENDS)
            });
            assert!(next < ENDS >> CHUNK_BITS, "fewer than 2^32 - 1024 timers at a time");
            let full = std::mem::replace(&mut self.current, Chunk::NONE);
            self.chunks[self.current_index as usize] = full;
            self.current = std::mem::replace(&mut self.chunks[next as usize], Chunk::NONE);
            self.current_index = next;
        }
        if self.current.entries.is_none() {
            self.current.entries = Some(Box::new([Entry::VACANT; CHUNK_ENTRIES]));
            self.current.vacant = u64::MAX;
        }
    }

    /// A chunk that is not the current one was full, or is empty now.
    #[cold]
    fn roomier(&mut self, chunk_index: u32, was_full: bool) {
        if was_full {
            self.roomy.push(chunk_index);
        } else {
            self.chunks[chunk_index as usize] = Chunk::NONE;
        }
    }
}

impl<T> Index<u32> for Entries<T> {
    type Output = Entry<T>;

    #[inline]
    fn index(&self, index: u32) -> &Entry<T> {
        let chunk_index = index >> CHUNK_BITS;
        let is_current = chunk_index == self.current_index;
        let chunk = if is_current { &self.current } else { &self.chunks[chunk_index as usize] };
        let entries = chunk.entries.as_ref().expect("a chunk with an entry has memory");
        &entries[index as usize % CHUNK_ENTRIES]
    }
}

impl<T> IndexMut<u32> for Entries<T> {
    #[inline]
    fn index_mut(&mut self, index: u32) -> &mut Entry<T> {
        let entries = self.chunk_mut(index >> CHUNK_BITS).entries.as_mut();
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
        let key = entries.occupy();
        entries.fill(&key, Entry { payload: Some(payload), ..Entry::VACANT });
        key
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
        assert_eq!((entries.current_index, entries.roomy.len()), (3, 3));
    }
}
