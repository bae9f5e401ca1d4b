//! Who waits, in order: a list that runs through the waiting futures themselves.
//!
//! A waiter lies pinned in its future, so waiting allocates nothing, and dropping the future takes it out of the
//! list at a constant cost. Whoever releases the first waiter says with what verdict; the future finds it at its
//! next poll, or its owner's drop finds it and hands on what nobody will use.
//!
//! # Safety rules
//!
//! 1. Alive. A link or a list names only nodes whose place is `Queued`. A node gets there only by way of a pinned
//!    waiter, and pinning promises that its memory is not used again before it is dropped; the drop takes it out.
//!    A future that is forgotten keeps its memory, so its node may stay in the list.
//! 2. List. A waiter borrows its list for as long as it may be dropped. The list therefore neither moves nor goes
//!    while a waiter is in it, except for one that is leaked: that one's drop never comes, and its node is still
//!    memory that a link may name.
//! 3. Shared. Nodes are reached through shared references and change only through cells. `PhantomPinned` keeps a
//!    `&mut` of the future around a node from claiming to be the only way to it. Nothing here is `Send`.
//! 4. Calling out. No waker is called, cloned or dropped while a link is half changed; what one does may change
//!    the list, so whoever called it looks at the list again.
#![allow(unsafe_code, reason = "room 6: an intrusive list through pinned futures")]

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomPinned;
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context, Waker};

/// Where a waiter is, or what it was told when it was released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Not in the list: it never was, or it left.
    Out,
    /// In the list.
    Queued,
    /// Released with something in hand, which is lost unless it is used or handed on.
    Granted,
    /// Released with nothing in hand: what there is to know, the resource says.
    Dismissed,
}

type Link<T> = Option<NonNull<Node<T>>>;

/// The waiters of one resource, oldest first. `T` is what each of them says it wants.
pub(super) struct Waiters<T> {
    head: Cell<Link<T>>,
    tail: Cell<Link<T>>,
    /// The number of the next waiter to come.
    next_number: Cell<u64>,
}

/// A place in the list of `'a`, to be pinned.
pub(super) struct Waiter<'a, T> {
    list: &'a Waiters<T>,
    node: Node<T>,
}

struct Node<T> {
    previous: Cell<Link<T>>,
    next: Cell<Link<T>>,
    place: Cell<Place>,
    /// Grows along the list.
    number: Cell<u64>,
    waker: Cell<Option<Waker>>,
    /// What it wants, and after a release what it was told.
    word: Cell<T>,
    _pinned: PhantomPinned,
}

impl<T> Waiters<T> {
    pub(super) const fn new() -> Self {
        Self { head: Cell::new(None), tail: Cell::new(None), next_number: Cell::new(0) }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.head.get().is_none()
    }

    /// Takes the first waiter out, tells it `place` and wakes it; `false` if nobody waits.
    ///
    /// Runs a waker: the caller's own state is whole by now, and may be another afterwards.
    #[inline]
    pub(super) fn release_first(&self, place: Place) -> bool {
        self.release(self.head.get(), place)
    }

    /// Releases all who wait now, and not those who come while the wakers run.
    pub(super) fn release_all(&self, place: Place) {
        self.release_some(usize::MAX, place);
    }

    /// Releases the first `count` of those who wait now.
    pub(super) fn release_some(&self, count: usize, place: Place) {
        let number = self.next_number.get();
        for _ in 0..count {
            if self.first_number().is_none_or(|first| first >= number) {
                return;
            }
            self.release_first(place);
        }
    }

    fn first_number(&self) -> Option<u64> {
        // SAFETY: rule 1.
        self.head.get().map(|first| unsafe { first.as_ref() }.number.get())
    }

    #[inline]
    fn release(&self, node: Link<T>, place: Place) -> bool {
        let Some(node) = node else { return false };
        // SAFETY: rule 1; it is not used after the waker was called.
        let node = unsafe { node.as_ref() };
        self.unlink(node, place);
        let waker = node.waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    fn push_back(&self, node: &Node<T>) {
        let this = NonNull::from(node);
        let last = self.tail.replace(Some(this));
        node.previous.set(last);
        node.next.set(None);
        match last {
            // SAFETY: rule 1.
            Some(last) => unsafe { last.as_ref() }.next.set(Some(this)),
            None => self.head.set(Some(this)),
        }
        node.place.set(Place::Queued);
        node.number.set(self.next_number.get());
        self.next_number.set(self.next_number.get() + 1);
    }

    /// Takes a node of this list out.
    #[inline]
    fn unlink(&self, node: &Node<T>, place: Place) {
        debug_assert_eq!(node.place.get(), Place::Queued);
        let (previous, next) = (node.previous.get(), node.next.get());
        match previous {
            // SAFETY: rule 1.
            Some(previous) => unsafe { previous.as_ref() }.next.set(next),
            None => self.head.set(next),
        }
        match next {
            // SAFETY: rule 1.
            Some(next) => unsafe { next.as_ref() }.previous.set(previous),
            None => self.tail.set(previous),
        }
        node.place.set(place);
    }
}

impl<T: Copy> Waiters<T> {
    /// What the first waiter wants, or `None` if nobody waits.
    #[inline]
    pub(super) fn first(&self) -> Option<T> {
        // SAFETY: rule 1.
        self.head.get().map(|first| unsafe { first.as_ref() }.word.get())
    }

    /// Releases all who wait now, each with a word of its own.
    pub(super) fn release_each(&self, place: Place, mut word: impl FnMut() -> T) {
        let number = self.next_number.get();
        while self.first_number().is_some_and(|first| first < number) {
            let word = word();
            if let Some(first) = self.head.get() {
                // SAFETY: rule 1.
                unsafe { first.as_ref() }.word.set(word);
            }
            self.release_first(place);
        }
    }
}

impl<T: Copy> Waiter<'_, T> {
    /// What it wants, or what it was told when it was released.
    #[inline]
    pub(super) fn word(&self) -> T {
        self.node.word.get()
    }
}

impl<'a, T> Waiter<'a, T> {
    /// A waiter that is not in the list yet.
    #[inline]
    pub(super) const fn new(list: &'a Waiters<T>, wants: T) -> Self {
        let node = Node {
            previous: Cell::new(None),
            next: Cell::new(None),
            place: Cell::new(Place::Out),
            number: Cell::new(0),
            waker: Cell::new(None),
            word: Cell::new(wants),
            _pinned: PhantomPinned,
        };
        Self { list, node }
    }

    #[inline]
    pub(super) fn place(&self) -> Place {
        self.node.place.get()
    }

    /// Keeps the waker of `cx`, which is then the one that a release wakes.
    ///
    /// Clones and drops wakers, whose code may release this waiter or what it is about to wait for: look again
    /// before [`join`](Self::join), and at [`place`](Self::place) if it was in the list.
    pub(super) fn keep_waker(&self, cx: &Context<'_>) {
        // Out of the cell while the waker's own code may run (rule 4).
        let kept = self.node.waker.take();
        let waker = match kept {
            Some(waker) if waker.will_wake(cx.waker()) => waker,
            _ => cx.waker().clone(),
        };
        let stale = self.node.waker.replace(Some(waker));
        drop(stale);
    }

    /// Goes to the end of the list.
    ///
    /// # Panics
    ///
    /// When it is in the list.
    pub(super) fn join(self: Pin<&Self>) {
        assert_ne!(self.place(), Place::Queued, "a waiter waits once at a time");
        // Rules 1 to 3: pinned, and borrowing this list.
        let this = self.get_ref();
        this.list.push_back(&this.node);
    }

    /// Forgets a verdict that was acted on.
    pub(super) fn settle(&self) {
        debug_assert_ne!(self.place(), Place::Queued);
        self.node.place.set(Place::Out);
    }

    /// Leaves the list if it is there. Keeps the waker.
    pub(super) fn leave(&self) {
        if self.place() == Place::Queued {
            self.list.unlink(&self.node, Place::Out);
        }
    }
}

impl<T> Drop for Waiter<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.leave();
    }
}

impl<T> fmt::Debug for Waiters<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiters").field("is_empty", &self.is_empty()).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Waiter<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiter").field("place", &self.place()).finish_non_exhaustive()
    }
}
