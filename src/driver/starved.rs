//! The queue of tasks whose receive found no buffer. A turn wakes as many as there are buffers, in order, so that the
//! same streams do not win again and again.
//!
//! A stream has one place in it: who reads anew waits in the place of the reader before.

use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::task::Waker;

/// A place in the queue. It is not used again after its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(NonZeroU64);

/// See the head of the file.
#[derive(Debug)]
pub(super) struct Starved {
    waiting: VecDeque<Waker>,
    /// The number of the first in the queue.
    first: NonZeroU64,
}

impl Default for Starved {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), first: NonZeroU64::MIN }
    }
}

impl Starved {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The last place, for the task of `waker`.
    pub(super) fn push(&mut self, waker: Waker) -> Place {
        let place = self.first.saturating_add(self.waiting.len() as u64);
        self.waiting.push_back(waker);
        Place(place)
    }

    /// Who waits in this place; `None` once it had its turn.
    pub(super) fn get_mut(&mut self, place: Place) -> Option<&mut Waker> {
        let index = place.0.get().checked_sub(self.first.get())?;
        self.waiting.get_mut(usize::try_from(index).ok()?)
    }

    /// The first `count`, whose turn it is.
    pub(super) fn take(&mut self, count: usize) -> impl Iterator<Item = Waker> {
        let count = count.min(self.waiting.len());
        self.first = self.first.saturating_add(count as u64);
        self.waiting.drain(..count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wakers(count: usize) -> Vec<Waker> {
        (0..count).map(|_| std::sync::Arc::new(Flag).into()).collect()
    }

    struct Flag;

    impl std::task::Wake for Flag {
        fn wake(self: std::sync::Arc<Self>) {}
    }

    #[test]
    fn a_place_is_kept_until_its_turn_and_never_again() {
        let wakers = wakers(5);
        let mut starved = Starved::default();
        let places: Vec<Place> =
            wakers[..4].iter().map(|waker| starved.push(waker.clone())).collect();
        let first: Vec<Waker> = starved.take(2).collect();
        assert!(first[0].will_wake(&wakers[0]) && first[1].will_wake(&wakers[1]));
        assert!(starved.get_mut(places[0]).is_none() && starved.get_mut(places[1]).is_none());

        *starved.get_mut(places[2]).unwrap() = wakers[4].clone();
        let rest: Vec<Waker> = starved.take(9).collect();
        assert_eq!(rest.len(), 2);
        assert!(rest[0].will_wake(&wakers[4]) && rest[1].will_wake(&wakers[3]));
        assert!(starved.is_empty());

        let last = starved.push(wakers[0].clone());
        assert!(places.iter().all(|place| *place != last && starved.get_mut(*place).is_none()));
        assert!(starved.get_mut(last).is_some());
    }
}
