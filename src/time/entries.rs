//! The storage of a wheel's entries: chunks of 64, each given back when its last entry is freed.
//!
//! A timer is inserted and removed for nearly every request, so both must be cheap; and a burst of
//! a million timers must not keep its memory for ever. Entries are named by index and never move,
//! so that the wheel can link them by `u32`; a chunk's free entries are the zero bits of one word.
//! Memory is bounded by 64 entries for every chunk that still holds one, one spare chunk, and 16
//! bytes for every chunk ever in use.

use std::fmt;
use std::num::NonZeroU64;
use std::ops::{Index, IndexMut};

/// The index that names no entry: the end of a list.
pub(super) const NIL: u32 = u32::MAX;

const CHUNK_BITS: u32 = 6;
const CHUNK_ENTRIES: usize = 1 << CHUNK_BITS;

/// Names one insertion. It matches nothing once that entry was removed: generations are never
/// reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    index: u32,
    generation: NonZeroU64,
}

impl Key {
    pub(super) fn index(self) -> u32 {
        self.index
    }
}

/// A payload with its deadline and its neighbours in a slot's list.
pub(super) struct Entry<T> {
    payload: Option<T>,
    /// Zero while vacant.
    generation: u64,
    pub(super) deadline_ns: u64,
    pub(super) prev: u32,
    pub(super) next: u32,
}

impl<T> Entry<T> {
    fn vacant() -> Self {
        Self { payload: None, generation: 0, deadline_ns: 0, prev: NIL, next: NIL }
    }
}

/// 64 places of entries; they have memory exactly while one is occupied.
struct Chunk<T> {
    occupied: u64,
    entries: Option<Box<[Entry<T>; CHUNK_ENTRIES]>>,
}

pub(super) struct Entries<T> {
    chunks: Vec<Chunk<T>>,
    /// Each chunk that is not full, once. Only the last one is inserted into.
    roomy: Vec<u32>,
    /// The memory of the chunk emptied last, so that insert and remove in turn do not allocate.
    spare: Option<Box<[Entry<T>; CHUNK_ENTRIES]>>,
    generation: NonZeroU64,
    live: usize,
}

impl<T> Entries<T> {
    pub(super) fn new() -> Self {
        Self {
            chunks: Vec::new(),
            roomy: Vec::new(),
            spare: None,
            generation: NonZeroU64::MIN,
            live: 0,
        }
    }

    /// Takes a vacant entry for `payload`; the caller links it.
    ///
    /// # Panics
    ///
    /// With 2^32 - 64 entries live.
    pub(super) fn insert(&mut self, deadline_ns: u64, payload: T) -> Key {
        let chunk_index = match self.roomy.last() {
            Some(&index) => index,
            None => self.push_chunk(),
        };
        let chunk = &mut self.chunks[chunk_index as usize];
        let place = (!chunk.occupied).trailing_zeros();
        chunk.occupied |= 1 << place;
        if chunk.occupied == u64::MAX {
            self.roomy.pop();
        }
        let entries = chunk.entries.get_or_insert_with(|| {
            self.spare.take().unwrap_or_else(|| Box::new(std::array::from_fn(|_| Entry::vacant())))
        });
        let generation = self.generation;
        self.generation = generation.checked_add(1).expect("fewer than 2^64 insertions");
        self.live += 1;
        entries[place as usize] = Entry {
            payload: Some(payload),
            generation: generation.get(),
            deadline_ns,
            prev: NIL,
            next: NIL,
        };
        Key { index: chunk_index << CHUNK_BITS | place, generation }
    }

    /// The index `key` names, if its entry is still there.
    pub(super) fn find(&self, key: Key) -> Option<u32> {
        let entries = self.chunks.get((key.index >> CHUNK_BITS) as usize)?.entries.as_ref()?;
        let entry = &entries[key.index as usize % CHUNK_ENTRIES];
        (entry.generation == key.generation.get()).then_some(key.index)
    }

    /// Frees the entry, which the caller has unlinked, and its chunk's memory if it was the last in
    /// it.
    pub(super) fn remove(&mut self, index: u32) -> T {
        let entry = &mut self[index];
        entry.generation = 0;
        let payload = entry.payload.take().expect("an entry in a list has a payload");
        let chunk = &mut self.chunks[(index >> CHUNK_BITS) as usize];
        if chunk.occupied == u64::MAX {
            self.roomy.push(index >> CHUNK_BITS);
        }
        chunk.occupied &= !(1 << (index as usize % CHUNK_ENTRIES));
        if chunk.occupied == 0 {
            self.spare = chunk.entries.take();
        }
        self.live -= 1;
        payload
    }

    pub(super) fn payload_mut(&mut self, index: u32) -> &mut T {
        self[index].payload.as_mut().expect("an entry in a list has a payload")
    }

    pub(super) fn live(&self) -> usize {
        self.live
    }

    /// The entries there is memory for, live or not.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        let chunks = self.chunks.iter().filter(|chunk| chunk.entries.is_some()).count();
        (chunks + usize::from(self.spare.is_some())) * CHUNK_ENTRIES
    }

    fn push_chunk(&mut self) -> u32 {
        let index = u32::try_from(self.chunks.len()).unwrap_or(NIL);
        assert!(index < NIL >> CHUNK_BITS, "fewer than 2^32 - 64 timers at a time");
        self.chunks.push(Chunk { occupied: 0, entries: None });
        self.roomy.push(index);
        index
    }
}

impl<T> Index<u32> for Entries<T> {
    type Output = Entry<T>;

    fn index(&self, index: u32) -> &Entry<T> {
        let entries = self.chunks[(index >> CHUNK_BITS) as usize].entries.as_ref();
        &entries.expect("a chunk with an entry has memory")[index as usize % CHUNK_ENTRIES]
    }
}

impl<T> IndexMut<u32> for Entries<T> {
    fn index_mut(&mut self, index: u32) -> &mut Entry<T> {
        let entries = self.chunks[(index >> CHUNK_BITS) as usize].entries.as_mut();
        &mut entries.expect("a chunk with an entry has memory")[index as usize % CHUNK_ENTRIES]
    }
}

impl<T> fmt::Debug for Entries<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entries").field("live", &self.live).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    #[test]
    fn an_entry_for_a_waker_is_40_bytes() {
        assert_eq!(size_of::<Entry<Waker>>(), 40);
    }

    #[test]
    fn a_stale_key_finds_nothing_even_when_its_place_is_taken() {
        let mut entries = Entries::new();
        let old = entries.insert(1, 'a');
        assert_eq!(entries.remove(entries.find(old).unwrap()), 'a');
        assert_eq!(entries.find(old), None);
        let new = entries.insert(2, 'b');
        assert_eq!(new.index, old.index);
        assert_eq!(entries.find(old), None);
        assert_eq!(entries.find(new), Some(new.index));
    }

    #[test]
    fn memory_follows_the_live_entries_down() {
        let mut entries = Entries::new();
        let keys: Vec<_> = (0..1000).map(|n| entries.insert(n, n)).collect();
        assert_eq!((entries.live(), entries.capacity()), (1000, 1024));
        // One survivor in the middle pins its own chunk and nothing else.
        for (n, key) in keys.iter().enumerate().filter(|(n, _)| *n != 500) {
            assert_eq!(entries.remove(entries.find(*key).unwrap()), n as u64);
        }
        assert_eq!((entries.live(), entries.capacity()), (1, 128));
        assert_eq!(entries.find(keys[500]), Some(500));
        // Room is found again before new chunks are made.
        for n in 0..1023 {
            entries.insert(n, n);
        }
        assert_eq!((entries.live(), entries.capacity(), entries.chunks.len()), (1024, 1024, 16));
    }
}
