//! The queue of tasks whose receive found no buffer. A turn wakes as many as there are buffers, in order, so that the
//! same streams do not win again and again.
//!
//! A stream or a socket of messages has one place in it, with all who wait to read from it: who reads anew waits in
//! the place of the reader before.

use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::task::Waker;

use super::wakers::Wakers;

/// A place in the queue. It is not used again after its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(NonZeroU64);

/// See the head of the file.
#[derive(Debug)]
pub(super) struct Starved {
    waiting: VecDeque<Wakers>,
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

    /// The last place, for those who are in the list.
    pub(super) fn push(&mut self, wakers: Wakers) -> Place {
        let place = self.first.saturating_add(self.waiting.len() as u64);
        self.waiting.push_back(wakers);
        Place(place)
    }

    /// Who waits in this place; `None` once it had its turn.
    pub(super) fn get_mut(&mut self, place: Place) -> Option<&mut Wakers> {
        let index = place.0.get().checked_sub(self.first.get())?;
        self.waiting.get_mut(usize::try_from(index).ok()?)
    }

    /// Those in the first `count` places, whose turn it is. Where all of them went, it is the turn of whoever reads
    /// next.
    pub(super) fn take(&mut self, count: usize, wakers: &mut Vec<Waker>) {
        let count = count.min(self.waiting.len());
        self.first = self.first.saturating_add(count as u64);
        self.waiting.drain(..count).for_each(|mut place| place.drain(|waker| wakers.push(waker)));
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
        let wakers = wakers(6);
        let mut starved = Starved::default();
        let one = |index: usize| Wakers::one(1, wakers[index].clone());
        let places: Vec<Place> = (0..5).map(|index| starved.push(one(index))).collect();
        let mut woken = Vec::new();
        let mut take = |starved: &mut Starved, count, due: &[usize]| {
            starved.take(count, &mut woken);
            assert_eq!(woken.len(), due.len());
            let mut pairs = woken.drain(..).zip(due);
            assert!(pairs.all(|(waker, index)| waker.will_wake(&wakers[*index])));
        };
        take(&mut starved, 2, &[0, 1]);
        assert!(starved.get_mut(places[0]).is_none() && starved.get_mut(places[1]).is_none());

        // Somebody else instead of the next, nobody after it, and a second with the last.
        let next = starved.get_mut(places[2]).expect("it waits");
        assert!(next.put(1, wakers[5].clone()).is_some_and(|waker| waker.will_wake(&wakers[2])));
        assert!(starved.get_mut(places[3]).expect("it waits").remove(1).is_some());
        assert!(starved.get_mut(places[4]).expect("it waits").put(2, wakers[0].clone()).is_none());
        take(&mut starved, 2, &[5]);
        take(&mut starved, 9, &[4, 0]);
        assert!(starved.is_empty());

        let last = starved.push(one(0));
        assert!(places.iter().all(|place| *place != last && starved.get_mut(*place).is_none()));
        assert!(starved.get_mut(last).is_some());
    }
}
