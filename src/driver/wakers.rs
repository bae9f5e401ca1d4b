//! The wakers of those who wait for one thing, each under a number of its own, the first come first.

use std::task::Waker;

/// See the head of the file. Most lists never have two, and such a one allocates nothing.
#[derive(Debug, Default)]
pub(crate) struct Wakers {
    first: Option<(u32, Waker)>,
    others: Vec<(u32, Waker)>,
}

impl Wakers {
    /// Of one that waits.
    pub(crate) fn one(id: u32, waker: Waker) -> Self {
        Self { first: Some((id, waker)), others: Vec::new() }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(u32, Waker)> {
        self.first.iter().chain(&self.others)
    }

    /// Has `waker` called for `id`, instead of the one that is returned.
    pub(crate) fn put(&mut self, id: u32, waker: Waker) -> Option<Waker> {
        let mut all = self.first.iter_mut().chain(&mut self.others);
        if let Some((_, present)) = all.find(|(other, _)| *other == id) {
            return Some(std::mem::replace(present, waker));
        }
        match self.first {
            None => self.first = Some((id, waker)),
            Some(_) => self.others.push((id, waker)),
        }
        None
    }

    /// Nobody is woken for `id` any more.
    pub(crate) fn remove(&mut self, id: u32) -> Option<Waker> {
        if let Some((_, mine)) = self.first.take_if(|(first, _)| *first == id) {
            if !self.others.is_empty() {
                self.first = Some(self.others.remove(0));
            }
            return Some(mine);
        }
        let at = self.others.iter().position(|(other, _)| *other == id)?;
        Some(self.others.remove(at).1)
    }

    /// Takes all of them out, first come first. The memory stays.
    #[inline]
    pub(crate) fn drain(&mut self, mut each: impl FnMut(Waker)) {
        if let Some((_, first)) = self.first.take() {
            each(first);
            if !self.others.is_empty() {
                self.others.drain(..).for_each(|(_, waker)| each(waker));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_has_one_waker_and_they_come_out_in_order() {
        let noop = Waker::noop;
        let mut wakers = Wakers::default();
        assert!(wakers.is_empty() && wakers.remove(1).is_none());
        for id in [3, 1, 2, 4] {
            assert!(wakers.put(id, noop().clone()).is_none());
        }
        assert!(wakers.put(1, noop().clone()).is_some(), "the one before");
        let ids = |wakers: &Wakers| wakers.iter().map(|(id, _)| *id).collect::<Vec<_>>();
        assert_eq!(ids(&wakers), [3, 1, 2, 4]);
        assert!(wakers.remove(3).is_some() && wakers.remove(2).is_some());
        assert_eq!(ids(&wakers), [1, 4], "the first is whoever came next");
        assert!(wakers.remove(2).is_none());
        let mut count = 0;
        wakers.drain(|_| count += 1);
        assert!(count == 2 && wakers.is_empty());
        wakers.drain(|_| unreachable!("it is empty"));
        assert!(!Wakers::one(7, noop().clone()).is_empty());
    }
}
