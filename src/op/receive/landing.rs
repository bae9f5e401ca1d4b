//! What every receive of a stream does when a completion has landed.

use super::State;
use crate::driver::{Actions, Wakers};
use crate::sys::Cqe;

impl State {
    /// Notes whether the receive is armed still, ends it if it `should_stop`, and wakes who waits for what came.
    #[inline(always)]
    pub(super) fn landed(&mut self, cqe: Cqe, should_stop: bool, actions: &mut Actions) {
        if !cqe.more() {
            self.armed = None;
            self.cancelling = false;
        } else if !self.cancelling && should_stop {
            self.cancelling = true;
            if let Some(key) = self.armed {
                actions.cancel(key);
            }
        }
        if cqe.result == -libc::ENOBUFS {
            if let Some(reader) = self.reader.take_if(|reader| reader.id != 0) {
                self.queued.found_none(Wakers::one(reader.id, reader.waker), actions);
            }
        } else if let Some(reader) = &mut self.reader
            && std::mem::take(&mut reader.id) != 0
            && !actions.wake_keeping(&reader.waker)
        {
            actions.wake_taken(&mut self.reader.take().map(|reader| reader.waker));
        }
    }
}
