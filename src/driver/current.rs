//! The driver of the runtime that this thread has entered.
//!
//! Constructors of futures and resources read it once; what they make keeps its own handle.

use std::cell::RefCell;
use std::rc::Rc;

use super::Driver;

thread_local! {
    static CURRENT: RefCell<Option<Rc<Driver>>> = const { RefCell::new(None) };
}

/// Restores the driver that was current before.
#[derive(Debug)]
pub(crate) struct EnterGuard {
    previous: Option<Rc<Driver>>,
}

/// Makes `driver` the current one until the guard is dropped. Guards nest.
pub(crate) fn enter(driver: &Rc<Driver>) -> EnterGuard {
    let previous = CURRENT.with(|current| current.replace(Some(Rc::clone(driver))));
    EnterGuard { previous }
}

impl Drop for EnterGuard {
    fn drop(&mut self) {
        let previous = self.previous.take();
        let left = CURRENT.try_with(|current| current.replace(previous));
        drop(left);
    }
}

/// The current driver.
///
/// # Panics
///
/// Outside a runtime; `what` names the caller.
pub(crate) fn expect(what: &str) -> Rc<Driver> {
    match get() {
        Some(driver) => driver,
        None => panic!(
            "{what} needs an annulus runtime on this thread: call it inside annulus::run, \
             Runtime::block_on or a spawned task"
        ),
    }
}

/// The current driver, if a runtime was entered.
pub(crate) fn get() -> Option<Rc<Driver>> {
    CURRENT.try_with(|current| current.borrow().clone()).ok().flatten()
}
