//! Lists that run through what waits in them: the slots of a wheel, which need no storage for what they hold.
//!
//! A node lies pinned in its future, so arming a timer allocates nothing, and ending one touches its neighbours alone.
//! Each list is a circle through its end, which stands for a node there: so a node is taken out without a look at
//! which list it is in, and without a branch (`micro`, `timer_create_cancel`).
//!
//! # Safety rules
//!
//! 1. Alive. A link of a queued node, or of an end, names a queued node or an end. A node is queued only through a
//!    pin, which promises that its memory is not used again before it is dropped, and its drop takes it out. One that
//!    is forgotten keeps its memory. The ends lie in a box that never gives them up but in its drop, which takes every
//!    node out before.
//! 2. Circle. Of two neighbours each names the other, and between the ends of a `Lists<T>` there are nodes of that `T`
//!    alone. Every function leaves it so, and none calls code of anybody else's before it has.
//! 3. Shared. Nodes and ends are reached through shared references and change only through cells. `PhantomPinned`
//!    keeps a `&mut` of the future around a node, or a box that is moved, from claiming to be the only way to it.
//!    Nothing here is `Send`.
//! 4. Front. A node's links are its first field, and a link to a node is made from a reference to all of it.
#![allow(unsafe_code, reason = "room 6: intrusive lists through pinned futures")]

use std::array;
use std::cell::Cell;
use std::fmt;
use std::marker::{PhantomData, PhantomPinned};
use std::pin::Pin;
use std::ptr::NonNull;

/// Where a node is, or why it is in no list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In no list: not yet, or not any more.
    Idle,
    /// In a list.
    Queued,
    /// Taken out by whoever owns the lists, and its payload with it.
    Released,
    /// In no list, nor does it want to be.
    Never,
}

/// The neighbours in a circle; of no meaning in a node that is not queued.
struct Links {
    prev: Cell<NonNull<Self>>,
    next: Cell<NonNull<Self>>,
    _pinned: PhantomPinned,
}

/// What can be queued, when it is pinned: a payload and the deadline it is kept for.
#[repr(C)]
pub(super) struct Node<T> {
    links: Links,
    payload: Cell<Option<T>>,
    deadline_ns: Cell<u64>,
    place: Cell<Place>,
}

/// `N` lists, named by their index. It takes its nodes as they come.
pub(super) struct Lists<T, const N: usize> {
    ends: Box<[Links; N]>,
    /// It takes and gives what nodes hold, and has no thread but its own.
    _nodes: PhantomData<Cell<NonNull<Node<T>>>>,
}

impl Links {
    fn alone() -> Self {
        let (prev, next) = (Cell::new(NonNull::dangling()), Cell::new(NonNull::dangling()));
        Self { prev, next, _pinned: PhantomPinned }
    }

    /// Makes this, an end, a circle of its own.
    #[inline]
    fn close(&self) {
        let this = NonNull::from(self);
        self.prev.set(this);
        self.next.set(this);
    }

    /// Puts `node` before this end.
    #[inline]
    fn push_back(&self, node: NonNull<Self>) {
        let end = NonNull::from(self);
        let last = self.prev.replace(node);
        // SAFETY: rule 1; the caller queues it.
        let links = unsafe { node.as_ref() };
        links.prev.set(last);
        links.next.set(end);
        // SAFETY: rule 1.
        unsafe { last.as_ref() }.next.set(node);
    }

    /// Takes a queued node out.
    #[inline]
    fn unlink(&self) {
        let (prev, next) = (self.prev.get(), self.next.get());
        // SAFETY: rule 1.
        unsafe { prev.as_ref() }.next.set(next);
        // SAFETY: rule 1.
        unsafe { next.as_ref() }.prev.set(prev);
    }
}

impl<T> Node<T> {
    /// A node in no list; `place` says why.
    #[inline]
    pub(super) fn new(deadline_ns: u64, place: Place) -> Self {
        assert!(place != Place::Queued, "a node is queued when it is pinned");
        let (deadline_ns, place) = (Cell::new(deadline_ns), Cell::new(place));
        Self { links: Links::alone(), payload: Cell::new(None), deadline_ns, place }
    }

    #[inline]
    pub(super) fn place(&self) -> Place {
        self.place.get()
    }

    #[inline]
    pub(super) fn deadline_ns(&self) -> u64 {
        self.deadline_ns.get()
    }

    /// Whoever has queued the node may have ordered it by this.
    #[inline]
    pub(super) fn set_deadline_ns(&self, deadline_ns: u64) {
        self.deadline_ns.set(deadline_ns);
    }

    /// Keeps `payload`; the one before.
    #[inline]
    pub(super) fn replace(&self, payload: Option<T>) -> Option<T> {
        self.payload.replace(payload)
    }

    /// What `ask` says of the payload, which is out of its place meanwhile; false if there is none.
    #[inline]
    pub(super) fn has(&self, ask: impl FnOnce(&T) -> bool) -> bool {
        let payload = self.payload.take();
        let has = payload.as_ref().is_some_and(ask);
        self.payload.set(payload);
        has
    }

    /// Leaves the list if it is in one, with its payload, and has another `place` from now on. Whether it was in one.
    #[inline]
    pub(super) fn leave(&self, place: Place) -> bool {
        assert!(place != Place::Queued, "only a list makes a node queued");
        let was_queued = self.place.replace(place) == Place::Queued;
        if was_queued {
            self.links.unlink();
        }
        was_queued
    }
}

impl<T> Drop for Node<T> {
    #[inline]
    fn drop(&mut self) {
        if self.place() == Place::Queued {
            self.leave(Place::Released);
        }
    }
}

impl<T, const N: usize> Lists<T, N> {
    pub(super) fn new() -> Self {
        let ends = Box::new(array::from_fn(|_| Links::alone()));
        ends.iter().for_each(Links::close);
        Self { ends, _nodes: PhantomData }
    }

    #[inline]
    pub(super) fn is_empty(&self, list: usize) -> bool {
        let end = &self.ends[list];
        end.prev.get() == NonNull::from(end)
    }

    /// Whether there is more than one node.
    pub(super) fn has_several(&self, list: usize) -> bool {
        let end = &self.ends[list];
        end.prev.get() != end.next.get()
    }

    /// Queues `node` as the last of a list.
    ///
    /// # Panics
    ///
    /// If it is queued already.
    #[inline]
    pub(super) fn push_back(&self, list: usize, node: Pin<&Node<T>>) {
        let end = &self.ends[list];
        let queued_twice = node.place.replace(Place::Queued) == Place::Queued;
        assert!(!queued_twice, "a node is in one list at a time");
        // Rules 1, 3 and 4: pinned, and from a reference to all of it.
        end.push_back(NonNull::from(node.get_ref()).cast());
    }

    /// The deadline of the first node of a list; `None` if there is none.
    pub(super) fn front_deadline_ns(&self, list: usize) -> Option<u64> {
        self.front(list).map(Node::deadline_ns)
    }

    /// Takes the first node of a list out, and its payload out of it.
    pub(super) fn release_front(&self, list: usize) -> Option<T> {
        let node = self.front(list)?;
        node.leave(Place::Released);
        node.payload.take()
    }

    /// Moves the first node of a list, if there is one, to the end of another or of the same.
    pub(super) fn move_front(&self, from: usize, to: usize) {
        let to = &self.ends[to];
        if let Some(node) = self.front(from) {
            node.links.unlink();
            // Rule 4. It was pinned when it was queued, and is queued again.
            to.push_back(NonNull::from(node).cast());
        }
    }

    /// Moves all nodes of a list, in their order, to an empty one.
    ///
    /// # Panics
    ///
    /// If the other list is not empty.
    pub(super) fn move_all(&self, from: usize, to: usize) {
        assert!(self.is_empty(to), "the nodes of another list would be lost");
        if self.is_empty(from) {
            return;
        }
        let (from, to) = (&self.ends[from], &self.ends[to]);
        let (first, last) = (from.next.get(), from.prev.get());
        to.next.set(first);
        to.prev.set(last);
        // SAFETY: rule 1; `from` is not empty, so these are nodes.
        unsafe { first.as_ref() }.prev.set(NonNull::from(to));
        // SAFETY: as above.
        unsafe { last.as_ref() }.next.set(NonNull::from(to));
        from.close();
    }

    /// Not to be kept while others' code runs, which may drop it.
    fn front(&self, list: usize) -> Option<&Node<T>> {
        let first = self.ends[list].next.get();
        // SAFETY: rules 1, 2 and 4: it is not the end, so it is a node of this `T`.
        (!self.is_empty(list)).then(|| unsafe { first.cast::<Node<T>>().as_ref() })
    }
}

impl<T, const N: usize> Drop for Lists<T, N> {
    fn drop(&mut self) {
        for list in 0..N {
            // The payload stays where it is: a drop of it here might come back.
            while self.front(list).is_some_and(|node| node.leave(Place::Released)) {}
        }
    }
}

impl<T> fmt::Debug for Node<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Node");
        shown.field("place", &self.place()).field("deadline_ns", &self.deadline_ns());
        shown.finish_non_exhaustive()
    }
}

impl<T, const N: usize> fmt::Debug for Lists<T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let occupied = (0..N).filter(|list| !self.is_empty(*list)).count();
        f.debug_struct("Lists").field("occupied", &occupied).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::ManuallyDrop;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    fn node<T>(deadline_ns: u64, payload: T) -> Pin<Box<Node<T>>> {
        let node = Box::pin(Node::new(deadline_ns, Place::Idle));
        assert!(node.replace(Some(payload)).is_none());
        node
    }

    /// The deadlines of a list, which is empty afterwards.
    fn drain<T, const N: usize>(lists: &Lists<T, N>, list: usize) -> Vec<u64> {
        let mut all = Vec::new();
        while let Some(deadline_ns) = lists.front_deadline_ns(list) {
            all.push(deadline_ns);
            assert!(lists.release_front(list).is_some());
        }
        assert!(lists.is_empty(list) && !lists.has_several(list));
        all
    }

    #[test]
    fn nodes_leave_from_the_front_the_middle_and_the_back() {
        let lists = Lists::<char, 2>::new();
        let nodes: Vec<_> = (0..5).map(|n| node(n, 'a')).collect();
        for left in 0..5 {
            nodes.iter().for_each(|node| lists.push_back(1, node.as_ref()));
            assert!(nodes[left].leave(Place::Idle));
            assert!(!nodes[left].leave(Place::Never), "once");
            assert_eq!((nodes[left].place(), lists.has_several(1)), (Place::Never, true));
            assert_eq!(nodes[left].replace(None), Some('a'), "its payload stays with it");
            let rest: Vec<_> = (0..5).filter(|n| *n != left as u64).collect();
            assert_eq!(drain(&lists, 1), rest);
            assert!(nodes.iter().all(|node| node.place() != Place::Queued));
            nodes.iter().for_each(|node| _ = node.replace(Some('a')));
        }
        assert!(lists.is_empty(0));
    }

    #[test]
    fn a_node_that_is_dropped_has_left() {
        let lists = Lists::<char, 1>::new();
        let mut nodes: Vec<_> = (0..3).map(|n| node(n, 'a')).collect();
        nodes.iter().for_each(|node| lists.push_back(0, node.as_ref()));
        drop(nodes.remove(1));
        assert_eq!(drain(&lists, 0), [0, 2]);
    }

    #[test]
    fn what_is_queued_twice_is_named_and_stays_where_it_is() {
        let lists = Lists::<char, 2>::new();
        let once = node(7, 'a');
        lists.push_back(0, once.as_ref());
        assert!(catch_unwind(AssertUnwindSafe(|| lists.push_back(1, once.as_ref()))).is_err());
        assert!(lists.is_empty(1));
        assert_eq!(drain(&lists, 0), [7]);
    }

    #[test]
    fn lists_are_moved_whole_and_node_by_node() {
        let lists = Lists::<char, 3>::new();
        lists.move_all(0, 1);
        assert!(lists.is_empty(0) && lists.is_empty(1));
        let nodes: Vec<_> = (0..4).map(|n| node(n, 'a')).collect();
        nodes.iter().for_each(|node| lists.push_back(0, node.as_ref()));
        lists.move_all(0, 1);
        assert!(lists.is_empty(0));
        lists.move_front(1, 2);
        lists.move_front(1, 1);
        lists.move_front(1, 2);
        lists.move_front(0, 2);
        assert!(catch_unwind(AssertUnwindSafe(|| lists.move_all(1, 2))).is_err());
        assert_eq!((drain(&lists, 1), drain(&lists, 2)), (vec![3, 1], vec![0, 2]));
    }

    #[test]
    fn lists_that_go_first_let_their_nodes_go() {
        let lists = Lists::<char, 2>::new();
        let nodes: Vec<_> = (0..4).map(|n| node(n, 'a')).collect();
        nodes.iter().enumerate().for_each(|(n, node)| lists.push_back(n % 2, node.as_ref()));
        // Moved, as a box may be.
        let lists = Some(lists);
        drop(lists);
        for node in nodes {
            assert_eq!((node.place(), node.replace(None)), (Place::Released, Some('a')));
        }
    }

    #[test]
    fn a_forgotten_node_stays_in_its_list() {
        let lists = Lists::<char, 1>::new();
        let (first, forgotten, last) = (node(0, 'a'), node(1, 'b'), node(2, 'c'));
        for node in [&first, &forgotten, &last] {
            lists.push_back(0, node.as_ref());
        }
        // Leaked on purpose, as by whoever leaks a future.
        let forgotten = ManuallyDrop::new(forgotten);
        drop((first, last));
        assert_eq!(lists.front_deadline_ns(0), Some(1));
        assert_eq!(lists.release_front(0), Some('b'));
        drop(ManuallyDrop::into_inner(forgotten));
    }

    #[test]
    fn a_payload_is_asked_and_stays() {
        let node = node(0, 'a');
        assert!(node.has(|payload| *payload == 'a') && !node.has(|payload| *payload == 'b'));
        assert_eq!(node.replace(None), Some('a'));
        assert!(!node.has(|_| true));
    }
}
