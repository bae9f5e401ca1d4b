//! A hierarchical timing wheel: payloads by deadline, inserted and removed in constant time.
//!
//! Most timers are timeouts that are cancelled, so a heap's O(log n) and its reordering are paid
//! for nothing. The wheel is scheme 7 of Varghese & Lauck, "Hashed and Hierarchical Timing Wheels"
//! (SOSP 1987): nine levels of 64 slots, where a slot of level 0 spans one tick of 2^14 ns (16.384
//! us) and a slot of the next level 64 times as much, so that every `u64` of nanoseconds has its
//! slot.
//!
//! An entry stands at the level of the highest base-64 digit in which its tick differs from that of
//! `now`, in the slot of that digit. Hence the three facts all else rests on: an entry's slot
//! follows from its deadline and `now` alone; all of a level's entries come before all of the next
//! level's; within a level, slots come in order. When `now` enters a slot of an upper level its
//! entries move down ("cascade"), in list order, so entries of one tick stay first-in, first-out.
//!
//! The price is that a whole slot cascades at once: with a million timers spread over 30 s, an
//! `advance` that enters a slot of level 3 (4.3 s wide) moves some 140,000 of them.
//!
//! It is pure: no clock, no waker is called, and a payload is dropped only with the wheel itself.

use std::array;
use std::fmt;

use super::entries::{ENDS, Entries, Entry, Key};

const TICK_BITS: u32 = 14;
const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
const LEVELS: usize = (u64::BITS - TICK_BITS).div_ceil(SLOT_BITS) as usize;

/// A list of entries whose ticks agree from its level's digit up. Beyond its first and its last entry lies its end,
/// which stands for an entry's index there and names the list: so an entry is taken out without a look at where its
/// deadline belongs (`micro`, `timer_create_cancel`).
#[derive(Clone, Copy)]
struct Slot {
    head: u32,
    tail: u32,
    /// No entry of the slot is due before this. Exact until its earliest entry is removed.
    earliest_ns: u64,
}

impl Slot {
    const fn empty(end: u32) -> Self {
        Self { head: end, tail: end, earliest_ns: u64::MAX }
    }

    const fn end(level: usize, slot: usize) -> u32 {
        ENDS + (level * SLOTS + slot) as u32
    }
}

const _: () = assert!(LEVELS * SLOTS <= (u32::MAX - ENDS) as usize + 1, "each list has its end");

/// See the file's head.
pub(super) struct Wheel<T> {
    /// The latest time `advance` was told, and the origin of all slots.
    now_ns: u64,
    /// For each level, the bits of its slots that are not empty.
    occupied: [u64; LEVELS],
    slots: Box<[[Slot; SLOTS]; LEVELS]>,
    entries: Entries<T>,
    /// The payloads that have not left.
    live: usize,
}

impl<T> Wheel<T> {
    /// An empty wheel at time 0.
    pub(super) fn new() -> Self {
        Self {
            now_ns: 0,
            occupied: [0; LEVELS],
            slots: Box::new(array::from_fn(|level| {
                array::from_fn(|slot| Slot::empty(Slot::end(level, slot)))
            })),
            entries: Entries::new(),
            live: 0,
        }
    }

    /// Keeps `payload` until `deadline_ns`; one that is past is due at the next `advance`. The key is
    /// for `remove`, also when the payload has left. O(1).
    pub(super) fn insert(&mut self, deadline_ns: u64, payload: T) -> Key {
        self.insert_coming(deadline_ns.max(self.now_ns), payload)
    }

    /// As `insert`, for a deadline that has not passed by `now_ns`: the common way, which is inlined.
    #[inline(always)]
    pub(super) fn insert_coming(&mut self, deadline_ns: u64, payload: T) -> Key {
        debug_assert!(deadline_ns >= self.now_ns, "it would be in a slot that is never reached");
        // First of all: what is computed before a call that grows would have to be kept across it.
        let key = self.entries.occupy();
        let (level, slot) = self.place(deadline_ns);
        let list = &mut self.slots[level][slot];
        let (prev, next) = (list.tail, Slot::end(level, slot));
        self.entries.fill(&key, Entry { payload: Some(payload), deadline_ns, prev, next });
        self.live += 1;
        list.earliest_ns = list.earliest_ns.min(deadline_ns);
        list.tail = key.index();
        if prev == next {
            list.head = key.index();
            self.occupied[level] |= 1 << slot;
        } else {
            self.entries[prev].next = key.index();
        }
        key
    }

    /// Ends what `insert` began: the payload, if it has not left before. O(1).
    #[inline]
    pub(super) fn remove(&mut self, key: Key) -> Option<T> {
        let entry = self.entries.remove(key);
        let payload = entry.payload?;
        self.live -= 1;
        self.unlink(entry.prev, entry.next);
        Some(payload)
    }

    /// The payload, while it is in the wheel.
    pub(super) fn get_mut(&mut self, key: &Key) -> Option<&mut T> {
        self.entries[key.index()].payload.as_mut()
    }

    /// Moves every payload due at `now_ns` to the end of `due`, none that is due later.
    ///
    /// They come in the order of their ticks, and as they were inserted within one. A `now_ns`
    /// before an earlier one counts as that one. Costs O(payloads moved + entries cascaded); an
    /// entry cascades at most eight times in its life, most never.
    pub(super) fn advance(&mut self, now_ns: u64, due: &mut Vec<T>) {
        let now_ns = now_ns.max(self.now_ns);
        while let Some((level, slot)) = self.first_occupied() {
            let earliest_ns = self.slots[level][slot].earliest_ns;
            let reached = if level == 0 { earliest_ns } else { self.start_ns(level, slot) };
            if reached > now_ns {
                break;
            }
            // Up to its earliest entry there is nothing to stop at: going there at once saves the
            // levels between.
            self.now_ns = self.now_ns.max(earliest_ns.min(now_ns));
            self.empty(level, slot, now_ns, due);
        }
        self.now_ns = now_ns;
    }

    /// A time not after the earliest deadline, and that deadline itself unless a still earlier one
    /// was removed from the same slot: then `advance` there finds nothing and the next answer is
    /// exact.
    pub(super) fn next_deadline_ns(&self) -> Option<u64> {
        self.first_occupied().map(|(level, slot)| self.slots[level][slot].earliest_ns)
    }

    /// When to stop for the earliest deadline, so that one stop serves what is due up to `slack_ns`
    /// after it: no sooner than `next_deadline_ns`, later only where that gathers more. O(slack).
    ///
    /// Only the level of the earliest deadline is looked at, and in a slot of several entries only
    /// the earliest is known.
    pub(super) fn gathered_deadline_ns(&self, slack_ns: u64) -> Option<u64> {
        let (level, first) = self.first_occupied()?;
        let mut gathered_ns = self.slots[level][first].earliest_ns;
        let latest_ns = gathered_ns.saturating_add(slack_ns);
        let mut occupied = self.occupied[level];
        while occupied != 0 {
            let list = self.slots[level][occupied.trailing_zeros() as usize];
            if list.earliest_ns > latest_ns {
                break;
            }
            let several = list.head != list.tail;
            let last_ns =
                if several { self.last_ns(level, list.earliest_ns) } else { list.earliest_ns };
            gathered_ns = last_ns.min(latest_ns);
            occupied &= occupied - 1;
        }
        Some(gathered_ns)
    }

    /// The latest time `advance` was told: whatever is due by then would be so at the next one.
    pub(super) fn now_ns(&self) -> u64 {
        self.now_ns
    }

    /// The number of payloads in the wheel.
    pub(super) fn live(&self) -> usize {
        self.live
    }

    /// Takes each entry of a slot out of it, and into `due` or to where it now belongs.
    fn empty(&mut self, level: usize, slot: usize, now_ns: u64, due: &mut Vec<T>) {
        let mut index = self.slots[level][slot].head;
        let end = Slot::end(level, slot);
        self.slots[level][slot] = Slot::empty(end);
        self.occupied[level] &= !(1 << slot);
        while index != end {
            let entry = &self.entries[index];
            let next = entry.next;
            // Only level 0 is in the order of deadlines.
            if level == 0 && entry.deadline_ns <= now_ns {
                due.extend(self.entries[index].payload.take());
                self.live -= 1;
            } else {
                self.link(index);
            }
            index = next;
        }
    }

    /// Appends an entry to the list of its slot.
    fn link(&mut self, index: u32) {
        let deadline_ns = self.entries[index].deadline_ns;
        let (level, slot) = self.place(deadline_ns);
        let list = &mut self.slots[level][slot];
        list.earliest_ns = list.earliest_ns.min(deadline_ns);
        let tail = std::mem::replace(&mut list.tail, index);
        let end = Slot::end(level, slot);
        if tail == end {
            list.head = index;
            self.occupied[level] |= 1 << slot;
        } else {
            self.entries[tail].next = index;
        }
        let entry = &mut self.entries[index];
        entry.prev = tail;
        entry.next = end;
    }

    /// Takes an entry that was freed, and had these neighbours, out of its list.
    #[inline]
    fn unlink(&mut self, prev: u32, next: u32) {
        if prev == next {
            // Both are the end: nothing is left.
            let list = (prev - ENDS) as usize;
            self.slots.as_flattened_mut()[list] = Slot::empty(prev);
            self.occupied[list / SLOTS] &= !(1 << (list % SLOTS));
            return;
        }
        match prev.checked_sub(ENDS) {
            Some(list) => self.slots.as_flattened_mut()[list as usize].head = next,
            None => self.entries[prev].next = next,
        }
        match next.checked_sub(ENDS) {
            Some(list) => self.slots.as_flattened_mut()[list as usize].tail = prev,
            None => self.entries[next].prev = prev,
        }
    }

    /// The level and slot of a deadline that is not before `now`.
    #[inline]
    fn place(&self, deadline_ns: u64) -> (usize, usize) {
        let tick = deadline_ns >> TICK_BITS;
        let differing = tick ^ (self.now_ns >> TICK_BITS);
        let level = (differing | 1).ilog2() / SLOT_BITS;
        let slot = (tick >> (level * SLOT_BITS)) as usize % SLOTS;
        (level as usize, slot)
    }

    /// The first nanosecond of a slot in the present turn of its level.
    fn start_ns(&self, level: usize, slot: usize) -> u64 {
        let shift = TICK_BITS + SLOT_BITS * level as u32;
        // `<< SLOT_BITS` apart from `shift`: at the top level the sum would be 68.
        let turn = self.now_ns >> shift >> SLOT_BITS << SLOT_BITS;
        (turn | slot as u64) << shift
    }

    /// The last nanosecond of the slot of this level that holds `deadline_ns`.
    fn last_ns(&self, level: usize, deadline_ns: u64) -> u64 {
        deadline_ns | u64::MAX >> (u64::BITS - TICK_BITS - SLOT_BITS * level as u32)
    }

    /// The slot that holds the earliest deadline.
    fn first_occupied(&self) -> Option<(usize, usize)> {
        let level = self.occupied.iter().position(|slots| *slots != 0)?;
        Some((level, self.occupied[level].trailing_zeros() as usize))
    }
}

impl<T> fmt::Debug for Wheel<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wheel")
            .field("now_ns", &self.now_ns)
            .field("next_deadline_ns", &self.next_deadline_ns())
            .field("live", &self.live)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// What the wheel must do, said in the fewest words: a map ordered by tick, then by insertion.
    #[derive(Default)]
    struct Model {
        now_ns: u64,
        entries: BTreeMap<(u64, u64), u64>,
    }

    impl Model {
        fn insert(&mut self, deadline_ns: u64, id: u64) {
            let deadline_ns = deadline_ns.max(self.now_ns);
            self.entries.insert((deadline_ns / TICK_NS, id), deadline_ns);
        }

        fn remove(&mut self, id: u64) -> Option<u64> {
            let key = *self.entries.keys().find(|(_, other)| *other == id)?;
            self.entries.remove(&key).map(|_| id)
        }

        fn advance(&mut self, now_ns: u64) -> Vec<u64> {
            self.now_ns = self.now_ns.max(now_ns);
            let (due, later) = std::mem::take(&mut self.entries)
                .into_iter()
                .partition::<BTreeMap<_, _>, _>(|(_, deadline_ns)| *deadline_ns <= self.now_ns);
            self.entries = later;
            due.into_keys().map(|(_, id)| id).collect()
        }

        fn next_deadline_ns(&self) -> Option<u64> {
            self.entries.values().min().copied()
        }
    }

    const TICK_NS: u64 = 1 << TICK_BITS;

    struct XorShift(u64);

    impl XorShift {
        fn next(&mut self) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0
        }

        /// Small numbers as likely as large ones, so that every level is met.
        fn magnitude(&mut self, bits: u64) -> u64 {
            let shift = 64 - bits + self.next() % bits;
            self.next() >> shift
        }
    }

    fn advance<T>(wheel: &mut Wheel<T>, now_ns: u64) -> Vec<T> {
        let mut due = Vec::new();
        wheel.advance(now_ns, &mut due);
        due
    }

    /// A schedule of inserts, removals and advances, the same on the wheel and on the model.
    /// Without removals the next deadline must be exact.
    fn compare_with_model(seed: u64, steps: u64, advance_bits: u64, removals: bool) {
        let mut random = XorShift(seed);
        let mut wheel = Wheel::new();
        let mut model = Model::default();
        let mut keys = Vec::new();
        for id in 0..steps {
            let context = format!("seed {seed:#x}, step {id}");
            match random.next() % 8 {
                0..4 => {
                    let ahead_ns = random.magnitude(64);
                    let deadline_ns = match random.next() % 8 {
                        0 => ahead_ns,
                        _ => model.now_ns.saturating_add(ahead_ns),
                    };
                    keys.push((id, wheel.insert(deadline_ns, id)));
                    model.insert(deadline_ns, id);
                }
                4..6 if removals && !keys.is_empty() => {
                    let (id, key) = keys.swap_remove(random.next() as usize % keys.len());
                    assert_eq!(wheel.remove(key), model.remove(id), "{context}");
                }
                6 => {
                    let now_ns = model.now_ns.saturating_add(random.magnitude(advance_bits));
                    assert_eq!(advance(&mut wheel, now_ns), model.advance(now_ns), "{context}");
                }
                _ => {
                    let Some(hint_ns) = wheel.next_deadline_ns() else {
                        assert_eq!(model.next_deadline_ns(), None, "{context}");
                        continue;
                    };
                    assert!(hint_ns <= model.next_deadline_ns().unwrap(), "{context}");
                    if !removals {
                        assert_eq!(Some(hint_ns), model.next_deadline_ns(), "{context}");
                    }
                    assert_eq!(advance(&mut wheel, hint_ns), model.advance(hint_ns), "{context}");
                }
            }
            assert_eq!(wheel.live(), model.entries.len(), "{context}");
        }
        assert_eq!(advance(&mut wheel, u64::MAX), model.advance(u64::MAX), "seed {seed:#x}");
        assert_eq!((wheel.live(), wheel.occupied), (0, [0; LEVELS]));
        assert!(keys.into_iter().all(|(_, key)| wheel.remove(key).is_none()));
        assert_eq!(wheel.entries.capacity(), SLOTS);
    }

    #[test]
    fn it_does_what_the_model_does() {
        for seed in 1..=40_u64 {
            let seed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            compare_with_model(seed, 1000, 16 + seed % 48, true);
            compare_with_model(seed, 1000, 16 + seed % 48, false);
        }
    }

    #[test]
    fn each_side_of_every_level_boundary_fires_on_time() {
        for bit in 0..u64::BITS {
            for deadline_ns in [(1 << bit) - 1, 1 << bit, (1 << bit) + 1] {
                for now_ns in [0, 1, TICK_NS, deadline_ns / 2] {
                    let mut wheel = Wheel::new();
                    assert!(advance(&mut wheel, now_ns).is_empty());
                    wheel.insert(deadline_ns, ());
                    assert_eq!(wheel.next_deadline_ns(), Some(deadline_ns.max(now_ns)));
                    if deadline_ns > now_ns {
                        assert!(advance(&mut wheel, deadline_ns - 1).is_empty());
                    }
                    assert_eq!(advance(&mut wheel, deadline_ns.max(now_ns)), [()]);
                }
            }
        }
    }

    #[test]
    fn a_far_timer_costs_one_stop() {
        for bit in 0..u64::BITS {
            let mut wheel = Wheel::new();
            wheel.insert(1 << bit, ());
            let next_ns = wheel.next_deadline_ns().unwrap();
            assert_eq!(advance(&mut wheel, next_ns), [()]);
        }
    }

    #[test]
    fn zero_past_and_present_fire_at_the_next_advance() {
        let mut wheel = Wheel::new();
        wheel.insert(0, "zero");
        assert_eq!(advance(&mut wheel, 0), ["zero"]);
        assert!(advance(&mut wheel, 1 << 40).is_empty());
        wheel.insert(1 << 40, "present");
        wheel.insert(7, "past");
        assert_eq!(wheel.next_deadline_ns(), Some(1 << 40));
        assert_eq!(advance(&mut wheel, 0), ["present", "past"]);
    }

    #[test]
    fn the_last_nanosecond_is_a_deadline_like_any_other() {
        let mut wheel = Wheel::new();
        wheel.insert(u64::MAX, ());
        assert!(advance(&mut wheel, u64::MAX - 1).is_empty());
        assert_eq!(wheel.next_deadline_ns(), Some(u64::MAX));
        assert_eq!(advance(&mut wheel, u64::MAX), [()]);
        wheel.insert(u64::MAX, ());
        assert_eq!(advance(&mut wheel, u64::MAX), [()]);
    }

    #[test]
    fn one_tick_is_first_in_first_out_across_cascades() {
        let tick_ns = 1_000_000 * TICK_NS;
        let mut wheel = Wheel::new();
        for (order, now_ns) in [0, tick_ns / 2, tick_ns - TICK_NS, tick_ns].iter().enumerate() {
            assert!(advance(&mut wheel, *now_ns).is_empty());
            wheel.insert(tick_ns + 9 - order as u64, order);
        }
        assert_eq!(advance(&mut wheel, tick_ns + TICK_NS), [0, 1, 2, 3]);
    }

    #[test]
    fn a_removed_deadline_is_stopped_at_once_at_most() {
        let mut wheel = Wheel::new();
        let early = wheel.insert(1 << 40, "early");
        wheel.insert((1 << 40) + 99, "late");
        assert_eq!(wheel.remove(early), Some("early"));
        assert_eq!(wheel.next_deadline_ns(), Some(1 << 40));
        assert!(advance(&mut wheel, 1 << 40).is_empty());
        assert_eq!(wheel.next_deadline_ns(), Some((1 << 40) + 99));
    }

    #[test]
    fn a_payload_that_left_leaves_its_key_behind() {
        let mut wheel = Wheel::new();
        let mut key = wheel.insert(TICK_NS, "due");
        assert_eq!(wheel.get_mut(&key), Some(&mut "due"));
        assert_eq!(advance(&mut wheel, TICK_NS), ["due"]);
        assert_eq!((wheel.live(), wheel.get_mut(&key)), (0, None));
        // The place is taken by nobody else meanwhile.
        let other = std::mem::replace(&mut key, wheel.insert(2 * TICK_NS, "other"));
        assert_eq!((wheel.remove(other), wheel.remove(key)), (None, Some("other")));
    }

    #[test]
    fn a_stop_gathers_what_is_due_soon_after_and_waits_for_nothing_else() {
        let slack_ns = 3 * TICK_NS;
        let gathered = |deadlines: &[u64]| {
            let mut wheel = Wheel::new();
            assert!(advance(&mut wheel, 1 << 40).is_empty());
            for ns in deadlines {
                let _key = wheel.insert((1 << 40) + ns, ());
            }
            wheel.gathered_deadline_ns(slack_ns).map(|ns| ns - (1 << 40))
        };
        assert_eq!(gathered(&[]), None);
        // Alone, or with none soon enough, a timer is not made to wait.
        assert_eq!(gathered(&[5]), Some(5));
        assert_eq!(gathered(&[5, slack_ns + 6]), Some(5));
        assert_eq!(gathered(&[TICK_NS << 30]), Some(TICK_NS << 30));
        // The last of those within the slack; in a tick of several, its end.
        assert_eq!(gathered(&[5, 2 * TICK_NS + 1, slack_ns + 5]), Some(slack_ns + 5));
        assert_eq!(gathered(&[5, 2 * TICK_NS + 1, slack_ns + 6]), Some(2 * TICK_NS + 1));
        assert_eq!(gathered(&[5, 6]), Some(TICK_NS - 1));
        assert_eq!(gathered(&[5, slack_ns + 4, slack_ns + 9]), Some(slack_ns + 5));
        // Of a crowded slot of an upper level only the earliest is known.
        assert_eq!(gathered(&[TICK_NS << 6, (TICK_NS << 6) + 9]), Some((TICK_NS << 6) + slack_ns));
        assert_eq!(gathered(&[u64::MAX - (1 << 41), 1 << 50]), Some(1 << 50));
    }

    #[test]
    fn a_million_timers_cancelled_give_their_memory_back() {
        let mut wheel = Wheel::new();
        let keys: Vec<_> = (0..1_000_000).map(|n| wheel.insert(n << 13, n)).collect();
        assert_eq!(wheel.live(), 1_000_000);
        for (n, key) in keys.into_iter().enumerate() {
            assert_eq!(wheel.remove(key), Some(n as u64));
        }
        assert_eq!((wheel.live(), wheel.next_deadline_ns()), (0, None));
        assert_eq!(wheel.entries.capacity(), SLOTS);
    }
}
