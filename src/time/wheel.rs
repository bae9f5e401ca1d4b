//! A hierarchical timing wheel: nodes by deadline, inserted and removed in constant time.
//!
//! Most timers are timeouts that are cancelled, so a heap's O(log n) and its reordering are paid
//! for nothing. The wheel is scheme 7 of Varghese & Lauck, "Hashed and Hierarchical Timing Wheels"
//! (SOSP 1987): nine levels of 64 slots, where a slot of level 0 spans one tick of 2^14 ns (16.384
//! us) and a slot of the next level 64 times as much, so that every `u64` of nanoseconds has its
//! slot.
//!
//! A node stands at the level of the highest base-64 digit in which its tick differs from that of
//! `now`, in the slot of that digit. Hence the three facts all else rests on: a node's slot
//! follows from its deadline and `now` alone; all of a level's nodes come before all of the next
//! level's; within a level, slots come in order. When `now` enters a slot of an upper level its
//! nodes move down ("cascade"), in list order, so nodes of one tick stay first-in, first-out.
//!
//! The price is that a whole slot cascades at once: with a million timers spread over 30 s, an
//! `advance` that enters a slot of level 3 (4.3 s wide) moves some 140,000 of them.
//!
//! It is pure: no clock, no code of a payload's. A node brings its own place, so nothing is allocated after the wheel
//! itself, and everything changes through cells: whoever has the wheel may use it while another does.

use std::array;
use std::cell::Cell;
use std::fmt;
use std::pin::Pin;

use super::lists::{Lists, Node, Place};

const TICK_BITS: u32 = 14;
const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
const LEVELS: usize = (u64::BITS - TICK_BITS).div_ceil(SLOT_BITS) as usize;

/// The list of nodes that are on their way from a slot to others; empty otherwise. Before it come those of the slots,
/// each of nodes whose ticks agree from its level's digit up.
const MOVING: usize = LEVELS * SLOTS;

/// See the file's head.
pub(super) struct Wheel<T> {
    /// The latest time `advance` was told, and the origin of all slots.
    now_ns: Cell<u64>,
    /// For each level, the bits of its slots: of all that are not empty, and of some that were left by their last node
    /// since somebody looked. So who leaves need not know its slot.
    occupied: [Cell<u64>; LEVELS],
    /// For each slot that is not empty, a time before which none of its nodes is due: the earliest deadline since it
    /// was last empty. Exact until that one is removed or put off.
    earliest_ns: Box<[Cell<u64>; MOVING]>,
    lists: Lists<T, { MOVING + 1 }>,
    /// The nodes that are queued.
    live: Cell<usize>,
}

impl<T> Wheel<T> {
    /// An empty wheel at time 0.
    pub(super) fn new() -> Self {
        Self {
            now_ns: Cell::new(0),
            occupied: array::from_fn(|_| Cell::new(0)),
            earliest_ns: Box::new(array::from_fn(|_| Cell::new(0))),
            lists: Lists::new(),
            live: Cell::new(0),
        }
    }

    /// Keeps a node until its deadline; one that is past is due at the next `advance`. O(1).
    ///
    /// The deadline may be set to a later one meanwhile.
    ///
    /// # Panics
    ///
    /// If the node is queued already.
    #[inline]
    pub(super) fn insert(&self, node: Pin<&Node<T>>) {
        // Before now it would be in a slot that is never reached.
        self.insert_at(node, node.deadline_ns().max(self.now_ns()));
    }

    /// As `insert`, for a node whose deadline is this and has not passed by `now_ns`: the common way, with a shorter
    /// chain of what waits for the other (`micro`, `timer_create_cancel`).
    ///
    /// # Panics
    ///
    /// As `insert`.
    #[inline]
    pub(super) fn insert_at(&self, node: Pin<&Node<T>>, deadline_ns: u64) {
        let slot = self.slot_for(deadline_ns);
        self.lists.push_back(slot, node);
        self.live.set(self.live.get() + 1);
    }

    /// Ends what `insert` began, whose node of this wheel has another `place` from now on, and its payload with it.
    /// O(1).
    #[inline]
    pub(super) fn remove(&self, node: &Node<T>, place: Place) {
        if node.leave(place) {
            self.live.set(self.live.get() - 1);
        }
    }

    /// Moves the payload of every node due at `now_ns` to the end of `due`, none that is due later.
    ///
    /// They come in the order of their ticks, and as they were inserted within one. A `now_ns`
    /// before an earlier one counts as that one. Costs O(payloads moved + nodes cascaded); a
    /// node cascades at most eight times in its life, most never.
    pub(super) fn advance(&self, now_ns: u64, due: &mut Vec<T>) {
        let now_ns = now_ns.max(self.now_ns.get());
        while let Some((level, slot)) = self.first_occupied() {
            let earliest_ns = self.earliest_ns[slot].get();
            let reached = if level == 0 { earliest_ns } else { self.start_ns(level, slot) };
            if reached > now_ns {
                break;
            }
            // Up to its earliest node there is nothing to stop at: going there at once saves the
            // levels between.
            self.now_ns.set(self.now_ns.get().max(earliest_ns.min(now_ns)));
            self.empty(level, slot, now_ns, due);
        }
        self.now_ns.set(now_ns);
    }

    /// Moves every payload to `out`, in no order, and goes to the end of time.
    pub(super) fn clear(&self, out: &mut Vec<T>) {
        for slot in 0..MOVING {
            while self.lists.front_deadline_ns(slot).is_some() {
                out.extend(self.lists.release_front(slot));
            }
        }
        self.live.set(0);
        self.now_ns.set(u64::MAX);
    }

    /// A time not after the earliest deadline, and that deadline itself unless a still earlier one
    /// was removed from the same slot, or put off: then `advance` there finds nothing and the next answer is
    /// exact.
    pub(super) fn next_deadline_ns(&self) -> Option<u64> {
        self.first_occupied().map(|(_, slot)| self.earliest_ns[slot].get())
    }

    /// When to stop for the earliest deadline, so that one stop serves what is due up to `slack_ns`
    /// after it: no sooner than `next_deadline_ns`, later only where that gathers more. O(slack).
    ///
    /// Only the level of the earliest deadline is looked at, and in a slot of several nodes only
    /// the earliest is known.
    pub(super) fn gathered_deadline_ns(&self, slack_ns: u64) -> Option<u64> {
        let (level, first) = self.first_occupied()?;
        let mut gathered_ns = self.earliest_ns[first].get();
        let latest_ns = gathered_ns.saturating_add(slack_ns);
        let mut occupied = self.occupied[level].get();
        while occupied != 0 {
            let slot = level * SLOTS + occupied.trailing_zeros() as usize;
            occupied &= occupied - 1;
            if self.lists.is_empty(slot) {
                continue;
            }
            let earliest_ns = self.earliest_ns[slot].get();
            if earliest_ns > latest_ns {
                break;
            }
            let several = self.lists.has_several(slot);
            let last_ns = if several { self.last_ns(level, earliest_ns) } else { earliest_ns };
            gathered_ns = last_ns.min(latest_ns);
        }
        Some(gathered_ns)
    }

    /// The latest time `advance` was told: whatever is due by then would be so at the next one.
    #[inline]
    pub(super) fn now_ns(&self) -> u64 {
        self.now_ns.get()
    }

    /// The number of nodes in the wheel.
    #[inline]
    pub(super) fn live(&self) -> usize {
        self.live.get()
    }

    /// Takes each node of a slot out of it, and its payload into `due`, or to where it now belongs.
    fn empty(&self, level: usize, slot: usize, now_ns: u64, due: &mut Vec<T>) {
        let occupied = &self.occupied[level];
        occupied.set(occupied.get() & !(1 << (slot % SLOTS)));
        // Away first: some may belong where they were.
        self.lists.move_all(slot, MOVING);
        while let Some(deadline_ns) = self.lists.front_deadline_ns(MOVING) {
            // Only level 0 is in the order of deadlines.
            if level == 0 && deadline_ns <= now_ns {
                due.extend(self.lists.release_front(MOVING));
                self.live.set(self.live.get() - 1);
            } else {
                self.lists.move_front(MOVING, self.slot_for(deadline_ns));
            }
        }
    }

    /// The slot of a deadline that is not before `now`, ready for a node to come.
    #[inline]
    fn slot_for(&self, deadline_ns: u64) -> usize {
        debug_assert!(deadline_ns >= self.now_ns(), "it would be in a slot that is never reached");
        let tick = deadline_ns >> TICK_BITS;
        let differing = tick ^ (self.now_ns.get() >> TICK_BITS);
        let level = (differing | 1).ilog2() / SLOT_BITS;
        let digit = (tick >> (level * SLOT_BITS)) as usize % SLOTS;
        let slot = level as usize * SLOTS + digit;
        let occupied = &self.occupied[level as usize];
        occupied.set(occupied.get() | 1 << digit);
        let earliest_ns = &self.earliest_ns[slot];
        let before_ns = if self.lists.is_empty(slot) { u64::MAX } else { earliest_ns.get() };
        earliest_ns.set(before_ns.min(deadline_ns));
        slot
    }

    /// The first nanosecond of a slot in the present turn of its level.
    fn start_ns(&self, level: usize, slot: usize) -> u64 {
        let shift = TICK_BITS + SLOT_BITS * level as u32;
        // `<< SLOT_BITS` apart from `shift`: at the top level the sum would be 68.
        let turn = self.now_ns.get() >> shift >> SLOT_BITS << SLOT_BITS;
        (turn | (slot % SLOTS) as u64) << shift
    }

    /// The last nanosecond of the slot of this level that holds `deadline_ns`.
    fn last_ns(&self, level: usize, deadline_ns: u64) -> u64 {
        deadline_ns | u64::MAX >> (u64::BITS - TICK_BITS - SLOT_BITS * level as u32)
    }

    /// The level and the slot that holds the earliest deadline.
    fn first_occupied(&self) -> Option<(usize, usize)> {
        for (level, occupied) in self.occupied.iter().enumerate() {
            while occupied.get() != 0 {
                let slot = level * SLOTS + occupied.get().trailing_zeros() as usize;
                if !self.lists.is_empty(slot) {
                    return Some((level, slot));
                }
                // Its last node left, as each that came may once.
                occupied.set(occupied.get() & (occupied.get() - 1));
            }
        }
        None
    }
}

impl<T> fmt::Debug for Wheel<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wheel")
            .field("now_ns", &self.now_ns())
            .field("next_deadline_ns", &self.next_deadline_ns())
            .field("live", &self.live())
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

        fn put_off(&mut self, id: u64, deadline_ns: u64) {
            if self.remove(id).is_some() {
                self.insert(deadline_ns, id);
            }
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

    type Boxed<T> = Pin<Box<Node<T>>>;

    fn insert<T>(wheel: &Wheel<T>, deadline_ns: u64, payload: T) -> Boxed<T> {
        let node = Box::pin(Node::new(deadline_ns, Place::Idle));
        assert!(node.replace(Some(payload)).is_none());
        wheel.insert(node.as_ref());
        node
    }

    fn remove<T>(wheel: &Wheel<T>, node: &Node<T>) -> Option<T> {
        wheel.remove(node, Place::Idle);
        node.replace(None)
    }

    fn advance<T>(wheel: &Wheel<T>, now_ns: u64) -> Vec<T> {
        let mut due = Vec::new();
        wheel.advance(now_ns, &mut due);
        due
    }

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Changes {
        None,
        Removals,
        /// Removals as well.
        PutOffs,
    }

    /// A schedule of inserts, changes and advances, the same on the wheel and on the model. Without changes the next
    /// deadline must be exact; what was put off within a tick comes in any order.
    fn compare_with_model(seed: u64, steps: u64, advance_bits: u64, changes: Changes) {
        let ordered = |mut ids: Vec<u64>| {
            if changes == Changes::PutOffs {
                ids.sort_unstable();
            }
            ids
        };
        let mut random = XorShift(seed);
        let wheel = Wheel::new();
        let mut model = Model::default();
        let mut nodes = Vec::new();
        for id in 0..steps {
            let context = format!("seed {seed:#x}, step {id}");
            match random.next() % 8 {
                0..4 => {
                    let ahead_ns = random.magnitude(64);
                    let deadline_ns = match random.next() % 8 {
                        0 => ahead_ns,
                        _ => model.now_ns.saturating_add(ahead_ns),
                    };
                    nodes.push((id, insert(&wheel, deadline_ns, id)));
                    model.insert(deadline_ns, id);
                }
                4 if changes == Changes::PutOffs && !nodes.is_empty() => {
                    let (id, node) = &nodes[random.next() as usize % nodes.len()];
                    let deadline_ns = node.deadline_ns().saturating_add(random.magnitude(40));
                    node.set_deadline_ns(deadline_ns);
                    model.put_off(*id, deadline_ns);
                }
                4..6 if changes != Changes::None && !nodes.is_empty() => {
                    let (id, node) = nodes.swap_remove(random.next() as usize % nodes.len());
                    assert_eq!(remove(&wheel, &node), model.remove(id), "{context}");
                }
                6 => {
                    let now_ns = model.now_ns.saturating_add(random.magnitude(advance_bits));
                    let due = [advance(&wheel, now_ns), model.advance(now_ns)].map(ordered);
                    assert_eq!(due[0], due[1], "{context}");
                }
                _ => {
                    let Some(hint_ns) = wheel.next_deadline_ns() else {
                        assert_eq!(model.next_deadline_ns(), None, "{context}");
                        continue;
                    };
                    assert!(hint_ns <= model.next_deadline_ns().unwrap(), "{context}");
                    if changes == Changes::None {
                        assert_eq!(Some(hint_ns), model.next_deadline_ns(), "{context}");
                    }
                    let due = [advance(&wheel, hint_ns), model.advance(hint_ns)].map(ordered);
                    assert_eq!(due[0], due[1], "{context}");
                }
            }
            assert_eq!(wheel.live(), model.entries.len(), "{context}");
        }
        let due = [advance(&wheel, u64::MAX), model.advance(u64::MAX)].map(ordered);
        assert_eq!(due[0], due[1], "seed {seed:#x}");
        assert_eq!((wheel.live(), wheel.first_occupied()), (0, None));
        assert!(nodes.into_iter().all(|(_, node)| remove(&wheel, &node).is_none()));
    }

    #[test]
    fn it_does_what_the_model_does() {
        for seed in 1..=40_u64 {
            let seed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            for changes in [Changes::None, Changes::Removals, Changes::PutOffs] {
                compare_with_model(seed, 1000, 16 + seed % 48, changes);
            }
        }
    }

    #[test]
    fn each_side_of_every_level_boundary_fires_on_time() {
        for bit in 0..u64::BITS {
            for deadline_ns in [(1 << bit) - 1, 1 << bit, (1 << bit) + 1] {
                for now_ns in [0, 1, TICK_NS, deadline_ns / 2] {
                    let wheel = Wheel::new();
                    assert!(advance(&wheel, now_ns).is_empty());
                    let _node = insert(&wheel, deadline_ns, ());
                    assert_eq!(wheel.next_deadline_ns(), Some(deadline_ns.max(now_ns)));
                    if deadline_ns > now_ns {
                        assert!(advance(&wheel, deadline_ns - 1).is_empty());
                    }
                    assert_eq!(advance(&wheel, deadline_ns.max(now_ns)), [()]);
                }
            }
        }
    }

    #[test]
    fn a_far_timer_costs_one_stop() {
        for bit in 0..u64::BITS {
            let wheel = Wheel::new();
            let _node = insert(&wheel, 1 << bit, ());
            let next_ns = wheel.next_deadline_ns().unwrap();
            assert_eq!(advance(&wheel, next_ns), [()]);
        }
    }

    #[test]
    fn zero_past_and_present_fire_at_the_next_advance() {
        let wheel = Wheel::new();
        let _zero = insert(&wheel, 0, "zero");
        assert_eq!(advance(&wheel, 0), ["zero"]);
        assert!(advance(&wheel, 1 << 40).is_empty());
        let _present = insert(&wheel, 1 << 40, "present");
        let past = insert(&wheel, 7, "past");
        assert_eq!(wheel.next_deadline_ns(), Some(1 << 40));
        assert_eq!(advance(&wheel, 0), ["present", "past"]);
        assert_eq!((past.deadline_ns(), past.place()), (7, Place::Released));
    }

    #[test]
    fn the_last_nanosecond_is_a_deadline_like_any_other() {
        let wheel = Wheel::new();
        let _node = insert(&wheel, u64::MAX, ());
        assert!(advance(&wheel, u64::MAX - 1).is_empty());
        assert_eq!(wheel.next_deadline_ns(), Some(u64::MAX));
        assert_eq!(advance(&wheel, u64::MAX), [()]);
        let _node = insert(&wheel, u64::MAX, ());
        assert_eq!(advance(&wheel, u64::MAX), [()]);
    }

    #[test]
    fn one_tick_is_first_in_first_out_across_cascades() {
        let tick_ns = 1_000_000 * TICK_NS;
        let wheel = Wheel::new();
        let mut nodes = Vec::new();
        for (order, now_ns) in [0, tick_ns / 2, tick_ns - TICK_NS, tick_ns].iter().enumerate() {
            assert!(advance(&wheel, *now_ns).is_empty());
            nodes.push(insert(&wheel, tick_ns + 9 - order as u64, order));
        }
        assert_eq!(advance(&wheel, tick_ns + TICK_NS), [0, 1, 2, 3]);
    }

    #[test]
    fn a_removed_deadline_is_stopped_at_once_at_most() {
        let wheel = Wheel::new();
        let early = insert(&wheel, 1 << 40, "early");
        let _late = insert(&wheel, (1 << 40) + 99, "late");
        assert_eq!(remove(&wheel, &early), Some("early"));
        assert_eq!(wheel.next_deadline_ns(), Some(1 << 40));
        assert!(advance(&wheel, 1 << 40).is_empty());
        assert_eq!(wheel.next_deadline_ns(), Some((1 << 40) + 99));
    }

    #[test]
    fn what_is_put_off_comes_up_where_it_was_and_moves_on() {
        for later_ns in [5, 6, 5 + TICK_NS, 1 << 20, 1 << 40, u64::MAX] {
            let wheel = Wheel::new();
            let node = insert(&wheel, 5, ());
            node.set_deadline_ns(later_ns);
            assert_eq!(wheel.next_deadline_ns(), Some(5));
            assert_eq!(advance(&wheel, 5).len(), usize::from(later_ns == 5));
            assert_eq!(wheel.next_deadline_ns(), Some(later_ns).filter(|ns| *ns > 5));
            assert!(advance(&wheel, later_ns - 1).is_empty());
            assert_eq!(advance(&wheel, later_ns).len(), usize::from(later_ns != 5));
        }
    }

    #[test]
    fn a_slot_that_was_left_is_not_stopped_at() {
        let wheel = Wheel::new();
        let far = insert(&wheel, 1 << 50, "far");
        for ns in [5, 7 * TICK_NS, 1 << 30] {
            let near = insert(&wheel, ns, "near");
            let slots = [wheel.next_deadline_ns(), wheel.gathered_deadline_ns(9)];
            assert_eq!(slots, [Some(ns), Some(ns)]);
            assert_eq!(remove(&wheel, &near), Some("near"));
            let slots = [wheel.next_deadline_ns(), wheel.gathered_deadline_ns(9)];
            assert_eq!(slots, [Some(1 << 50), Some(1 << 50)]);
            // Nor does it remember when it was left.
            let later = insert(&wheel, ns + 3, "later");
            assert_eq!(wheel.next_deadline_ns(), Some(ns + 3));
            assert_eq!(remove(&wheel, &later), Some("later"));
        }
        assert_eq!(remove(&wheel, &far), Some("far"));
        assert_eq!((wheel.live(), wheel.next_deadline_ns()), (0, None));
        assert_eq!(wheel.gathered_deadline_ns(9), None);
    }

    #[test]
    fn a_stop_gathers_beyond_a_slot_that_was_left() {
        let wheel = Wheel::new();
        let _first = insert(&wheel, 5, ());
        let between = insert(&wheel, TICK_NS + 5, ());
        let _last = insert(&wheel, 2 * TICK_NS + 5, ());
        assert!(remove(&wheel, &between).is_some());
        assert_eq!(wheel.gathered_deadline_ns(3 * TICK_NS), Some(2 * TICK_NS + 5));
    }

    #[test]
    fn clearing_gives_every_payload_and_ends_time() {
        let wheel = Wheel::new();
        let nodes: Vec<_> = (0..u64::BITS).map(|bit| insert(&wheel, 1 << bit, bit)).collect();
        let mut all = Vec::new();
        wheel.clear(&mut all);
        all.sort_unstable();
        assert_eq!(all, (0..u64::BITS).collect::<Vec<_>>());
        assert!(nodes.iter().all(|node| node.place() == Place::Released));
        assert_eq!((wheel.live(), wheel.now_ns(), wheel.next_deadline_ns()), (0, u64::MAX, None));
    }

    #[test]
    fn a_stop_gathers_what_is_due_soon_after_and_waits_for_nothing_else() {
        let slack_ns = 3 * TICK_NS;
        let gathered = |deadlines: &[u64]| {
            let wheel = Wheel::new();
            assert!(advance(&wheel, 1 << 40).is_empty());
            let insert = |ns| insert(&wheel, (1 << 40) + ns, ());
            let _nodes: Vec<_> = deadlines.iter().map(insert).collect();
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
    fn a_million_timers_cancelled_leave_nothing() {
        let wheel = Wheel::new();
        let nodes: Vec<_> = (0..1_000_000).map(|n| insert(&wheel, n << 13, n)).collect();
        assert_eq!(wheel.live(), 1_000_000);
        for (n, node) in nodes.into_iter().enumerate() {
            assert_eq!(remove(&wheel, &node), Some(n as u64));
        }
        assert_eq!((wheel.live(), wheel.next_deadline_ns()), (0, None));
    }
}
