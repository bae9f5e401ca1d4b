//! Making a runtime the current one of its thread: each layer's own `current`, installed together.

use std::rc::Rc;

use crate::blocking::{self, Pool};
use crate::channel::later as channel;
use crate::driver::{self, Driver};
use crate::executor::{self, Executor};
use crate::task::OutOfScope;
use crate::time::timers::{self, Timers};

/// While it lives, constructors of futures find this runtime. Leaving restores what was current before.
#[derive(Debug)]
pub(super) struct Entered {
    _scope: OutOfScope,
    _turns: channel::EnterGuard,
    _time: timers::EnterGuard,
    _executor: executor::EnterGuard,
    _driver: driver::current::EnterGuard,
    _blocking: blocking::current::EnterGuard,
}

impl Entered {
    pub(super) fn new(
        driver: &Rc<Driver>,
        executor: &Rc<Executor>,
        timers: &Rc<Timers>,
        blocking: &Pool,
    ) -> Self {
        Self {
            _scope: OutOfScope::new(),
            _turns: channel::enter(),
            _time: timers.enter(),
            _executor: executor.enter(),
            _driver: driver::current::enter(driver),
            _blocking: blocking::current::enter(blocking),
        }
    }
}
