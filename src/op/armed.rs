//! What a resource has standing in the kernel: a receive or an accept, from its arming to its last completion.

use crate::driver::{Actions, Driver, Key};
use crate::sys::Cqe;

/// See the head of the file.
#[derive(Debug, Default)]
pub(super) struct Armed {
    key: Option<Key>,
    /// The kernel was asked to end it.
    ending: bool,
}

impl Armed {
    /// Of what was just put there.
    pub(super) fn under(key: Key) -> Self {
        Self { key: Some(key), ending: false }
    }

    #[inline]
    pub(super) fn is_armed(&self) -> bool {
        self.key.is_some()
    }

    /// A completion came. Whether more will that nobody has asked to end.
    #[inline(always)]
    pub(super) fn goes_on(&mut self, cqe: Cqe) -> bool {
        let more = cqe.more();
        if !more {
            *self = Self::default();
        }
        more && !self.ending
    }

    /// Asks the kernel to end it, at the end of the turn.
    pub(super) fn stop(&mut self, actions: &mut Actions) {
        self.ending = true;
        self.key.into_iter().for_each(|key| actions.cancel(key));
    }

    /// Asks the kernel to end it, unless that was done; whether there is something to end.
    pub(super) fn recall(&mut self, driver: &Driver) -> bool {
        let Some(key) = self.key else { return false };
        if !std::mem::replace(&mut self.ending, true) {
            driver.cancel(key);
        }
        true
    }

    /// Where it is, for whoever abandons it.
    pub(super) fn key(&self) -> Option<Key> {
        self.key
    }
}
