//! Where a resource waits whose receive found no buffer: one place in the driver's queue, whoever reads.

use std::task::Waker;

use super::waiting::Id;
use crate::driver::{Actions, Driver, Place, Wakers};

/// See the head of the file.
#[derive(Debug, Default)]
pub(super) struct Queued {
    place: Option<Place>,
}

impl Queued {
    /// Whether a reader waits here before it arms a receive: where one found no buffer, or others wait for theirs.
    #[inline]
    pub(super) fn is_due(&self, driver: &Driver) -> bool {
        self.place.is_some() || driver.is_starved()
    }

    /// The receive found no buffer: who waited for it waits here, if anybody does.
    #[cold]
    pub(super) fn found_none(&mut self, wakers: Wakers, actions: &mut Actions) {
        if !wakers.is_empty() {
            self.place = Some(actions.wake_when_fed(wakers));
        }
    }

    /// Has `waker` called for `id` at this resource's turn, instead of the one that is returned. Gives it back as an
    /// error if that turn has come: the receive is to be armed.
    pub(super) fn join(
        &mut self,
        driver: &Driver,
        id: Id,
        waker: Waker,
    ) -> Result<Option<Waker>, Waker> {
        let Some(place) = self.place else {
            self.place = Some(driver.wake_when_fed(Wakers::one(id, waker)));
            return Ok(None);
        };
        match driver.place(place) {
            Some(mut wakers) => Ok(wakers.put(id, waker)),
            None => Err(waker),
        }
    }

    /// Takes who else waits here.
    pub(super) fn take_other(&self, driver: &Driver, id: Id) -> Option<Waker> {
        let mut wakers = driver.place(self.place?)?;
        let other = wakers.iter().map(|(other, _)| *other).find(|other| *other != id)?;
        wakers.remove(other)
    }

    /// Nobody is woken for `id` any more.
    #[inline]
    pub(super) fn leave(&self, driver: &Driver, id: Id) -> Option<Waker> {
        driver.place(self.place?)?.remove(id)
    }

    /// The receive is armed.
    pub(super) fn end(&mut self) {
        self.place = None;
    }
}
