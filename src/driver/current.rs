//! The driver of the runtime that this thread has entered.
//!
//! Constructors of futures and resources read it once; what they make keeps its own handle.

use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::rc::Rc;

use super::Driver;

/// What the thread is in. The guards own it, so the thread's end has nothing to drop: without a destructor the cell
/// can be used by those of others, such as a runtime that lies in a thread local itself.
type Current = Option<ManuallyDrop<Rc<Driver>>>;

thread_local! {
    static CURRENT: RefCell<Current> = const { RefCell::new(None) };
}

/// Restores the driver that was current before.
#[derive(Debug)]
pub(crate) struct EnterGuard {
    previous: Current,
}

/// Makes `driver` the current one until the guard is dropped. Guards nest.
pub(crate) fn enter(driver: &Rc<Driver>) -> EnterGuard {
    let entered = ManuallyDrop::new(Rc::clone(driver));
    EnterGuard { previous: CURRENT.replace(Some(entered)) }
}

impl Drop for EnterGuard {
    fn drop(&mut self) {
        let left = CURRENT.replace(self.previous.take());
        drop(left.map(ManuallyDrop::into_inner));
    }
}

/// The current driver.
///
/// # Panics
///
/// Outside a runtime; `what` names the caller.
#[inline]
pub(crate) fn expect(what: &str) -> Rc<Driver> {
    get().unwrap_or_else(|| outside(what))
}

#[cold]
fn outside(what: &str) -> ! {
    panic!(
        "{what} needs an annulus runtime on this thread: call it inside annulus::run, \
         Runtime::block_on or a spawned task"
    )
}

/// The current driver, if a runtime was entered.
#[inline]
pub(crate) fn get() -> Option<Rc<Driver>> {
    CURRENT.with_borrow(|current| current.as_deref().cloned())
}
