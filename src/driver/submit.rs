//! How an operation gets into its slot and its entry on the way to the kernel, and how it is taken back.

use std::mem::ManuallyDrop;
use std::task::Waker;

use super::depth::HELD;
use super::slots::{Abandoned, Key, Unprepared};
use super::{Driver, Operation, Standing, UnderWay};

impl Driver {
    /// Stages a one-shot operation; `waker` is called when it is over, without one it is the business of `LANDED`.
    /// Gives it back if the runtime is gone.
    #[inline]
    pub(crate) fn submit<T: Operation>(
        &self,
        operation: T,
        waker: Option<Waker>,
    ) -> Result<Key, T> {
        let mut operation = Some(operation);
        let staged = self.stage(&mut operation, waker);
        staged.ok_or_else(|| operation.expect("what was not staged is still there"))
    }

    /// Stages a one-shot operation that nobody waits for: it happens, and its result is an orphan's. Gives it back if
    /// the runtime is gone.
    #[inline]
    pub(crate) fn submit_orphan<T: Operation>(&self, operation: T) -> Result<(), T> {
        let mut operation = Some(operation);
        let Some(key) = self.stage(&mut operation, None) else {
            return Err(operation.expect("what was not staged is still there"));
        };
        self.under_way.borrow_mut().slots.orphan(key);
        Ok(())
    }

    /// As [`submit`](Self::submit), of an operation that is moved from where it lies; `None` if the runtime is gone.
    #[inline]
    pub(crate) fn stage<T: Operation>(
        &self,
        operation: &mut Option<T>,
        waker: Option<Waker>,
    ) -> Option<Key> {
        if !self.is_open() {
            return None;
        }
        let unprepared = self.under_way.borrow_mut().slots.insert(operation, waker);
        Some(self.prepare(unprepared))
    }

    /// As [`stage`](Self::stage), of an operation that is made in its slot.
    #[inline]
    pub(crate) fn stage_made<T: Operation>(
        &self,
        make: impl FnOnce() -> T,
        waker: Option<Waker>,
    ) -> Option<Key> {
        if !self.is_open() {
            return None;
        }
        let unprepared = self.under_way.borrow_mut().slots.insert_made(make, waker);
        Some(self.prepare(unprepared))
    }

    /// Makes the entry of an operation that lies in its slot, and stages it.
    #[inline]
    fn prepare<T: Operation>(&self, mut unprepared: Unprepared<T>) -> Key {
        let key = unprepared.key;
        // With nothing borrowed: the address of a buffer is the user's to say, or to panic instead.
        let unwinding = GiveUp { driver: self, key };
        let entry = unprepared.prepare();
        let _prepared = ManuallyDrop::new(unwinding);
        let entered =
            if T::BOUNDED { self.depth.borrow_mut().enter(key, entry) } else { Some(entry) };
        let UnderWay { slots, staged } = &mut *self.under_way.borrow_mut();
        unprepared.staged(slots, entered.map_or(HELD, |entry| staged.push(entry)));
        key
    }

    /// Stages an operation that belongs to a resource. Gives it back if the runtime is gone.
    pub(crate) fn stand<T: Standing>(&self, operation: T) -> Result<Key, T> {
        if !self.is_open() {
            return Err(operation);
        }
        let UnderWay { slots, staged } = &mut *self.under_way.borrow_mut();
        let (key, entry) = slots.insert_standing(operation, staged.next());
        staged.push(entry);
        Ok(key)
    }

    /// Nobody waits for the operation any more: it is taken back, cancelled or left to finish, by its own policy.
    pub(crate) fn abandon(&self, key: Key) {
        let (waker, abandoned) = {
            let UnderWay { slots, staged } = &mut *self.under_way.borrow_mut();
            slots.abandon(key, staged.first())
        };
        match abandoned {
            Abandoned::Nothing => {}
            Abandoned::Staged { entry, bounded } => {
                self.take_back(key, entry, bounded);
                self.release(key);
            }
            Abandoned::Cancel => self.cancel(key),
            Abandoned::Release => self.release(key),
        }
        drop(waker);
    }

    /// The kernel will not see the entry of this number.
    fn take_back(&self, key: Key, entry: u64, bounded: bool) {
        if entry == HELD {
            self.depth.borrow_mut().take_back(key);
            return;
        }
        self.under_way.borrow_mut().staged.blank(entry);
        if bounded {
            self.depth.borrow_mut().leave(1);
            self.stage_held();
        }
    }

    /// Stages what waited, as far as there is room.
    pub(super) fn stage_held(&self) {
        let mut depth = self.depth.borrow_mut();
        while let Some((key, entry)) = depth.next() {
            let UnderWay { slots, staged } = &mut *self.under_way.borrow_mut();
            slots.renumber(key, staged.push(entry));
        }
    }

    /// Asks the kernel to end an operation. Its own completion says what came of it.
    pub(crate) fn cancel(&self, key: Key) {
        self.under_way.borrow_mut().staged.cancel(key);
    }
}

/// Takes an operation back whose preparation panics.
struct GiveUp<'a> {
    driver: &'a Driver,
    key: Key,
}

impl Drop for GiveUp<'_> {
    fn drop(&mut self) {
        let waker = self.driver.under_way.borrow_mut().slots.give_up(self.key);
        self.driver.release(self.key);
        self.driver.catching(|| drop(waker));
    }
}
