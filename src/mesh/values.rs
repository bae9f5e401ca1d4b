//! What a shard keeps of values that every shard has one of.

use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;

/// The values of one shard, each under the number that its [`Sharded`](super::Sharded) has on all of them.
#[derive(Default)]
pub(super) struct Values {
    map: RefCell<HashMap<u64, Rc<dyn Any>>>,
}

impl Values {
    pub(super) fn insert(&self, number: u64, value: Rc<dyn Any>) {
        let before = self.map.borrow_mut().insert(number, value);
        drop(before);
    }

    pub(super) fn get<T: 'static>(&self, number: u64) -> Option<Rc<T>> {
        let value = self.map.borrow().get(&number).cloned();
        value.and_then(|value| value.downcast().ok())
    }

    /// Lets go of a value, with nothing borrowed when it is dropped.
    pub(super) fn remove(&self, number: u64) {
        let value = self.map.borrow_mut().remove(&number);
        drop(value);
    }

    /// Lets go of all, also of what their destructors insert.
    pub(super) fn clear(&self) {
        loop {
            let map = self.map.take();
            if map.is_empty() {
                return;
            }
            drop(map);
        }
    }
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Values").field("count", &self.map.borrow().len()).finish()
    }
}
