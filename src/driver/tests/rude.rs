//! Code of the user's at its worst: it uses the driver, ends it, or panics, wherever it is called.

use std::cell::RefCell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Wake, Waker};
use std::time::Duration;

use super::{Fate, Probe, driver, turn};
use crate::driver::{Driver, Op, Operation, Outcome, WhenDropped};
use crate::sys::Sqe;

thread_local! {
    /// What the code of the user's does that the tests below have the driver call.
    static RUDE: RefCell<Box<dyn FnMut()>> = RefCell::new(Box::new(|| ()));
}

fn set_rude(rude: Box<dyn FnMut()>) {
    drop(RUDE.replace(rude));
}

fn be_rude() {
    let mut rude = RUDE.replace(Box::new(|| ()));
    rude();
    set_rude(rude);
}

/// A waker that is rude when it is cloned, and when it is dropped.
fn rude_waker() -> Waker {
    const TABLE: RawWakerVTable = RawWakerVTable::new(
        |data| {
            be_rude();
            RawWaker::new(data, &TABLE)
        },
        |_| be_rude(),
        |_| be_rude(),
        |_| be_rude(),
    );
    #[expect(unsafe_code, reason = "std's wakers do nothing when they are cloned")]
    // SAFETY: there is no data, and the functions may be called on any thread.
    unsafe {
        Waker::from_raw(RawWaker::new(std::ptr::null(), &TABLE))
    }
}

/// An operation whose buffer, if it had one, would be rude when asked for its address.
pub(super) struct RudeProbe(Probe);

#[expect(unsafe_code, reason = "a test operation whose entry names no memory")]
// SAFETY: the entry names no memory and no descriptor.
unsafe impl Operation for RudeProbe {
    type Output = i32;
    const KIND: &'static str = "rude probe";
    const WHEN_DROPPED: WhenDropped = WhenDropped::Cancel;

    fn prepare(&mut self) -> Sqe {
        be_rude();
        self.0.prepare()
    }

    fn complete(self, outcome: Outcome) -> i32 {
        self.0.complete(outcome)
    }
}

/// Submits an operation and drops it again, before the kernel saw it; waits for a descriptor meanwhile.
fn use_the_driver(driver: &Rc<Driver>, fate: &Rc<Fate>) {
    let probe = Probe { fate: Rc::clone(fate) };
    let mut cx = Context::from_waker(Waker::noop());
    let mut operation = Op::new(Rc::clone(driver), probe);
    let polled = Pin::new(&mut operation).poll(&mut cx);
    assert_eq!(polled.is_pending(), driver.is_open());
    driver.wait_for_descriptor(Waker::noop().clone());
    driver.descriptor_closed();
}

#[test]
fn a_buffer_may_use_the_driver_while_it_is_asked_for_its_address() {
    let (driver, fate) = (driver(), Rc::new(Fate::default()));
    let kept: Rc<RefCell<Vec<Op<Probe>>>> = Rc::default();
    set_rude(Box::new({
        let (driver, fate, kept) = (Rc::clone(&driver), Rc::clone(&fate), Rc::clone(&kept));
        move || {
            use_the_driver(&driver, &fate);
            let probe = Probe { fate: Rc::clone(&fate) };
            let mut operation = Op::new(Rc::clone(&driver), probe);
            let mut cx = Context::from_waker(Waker::noop());
            assert!(Pin::new(&mut operation).poll(&mut cx).is_pending());
            kept.borrow_mut().push(operation);
        }
    }));
    let mut cx = Context::from_waker(Waker::noop());
    let mut operations = [(); 2].map(|()| {
        let probe = RudeProbe(Probe { fate: Rc::clone(&fate) });
        let mut operation = Op::new(Rc::clone(&driver), probe);
        assert!(Pin::new(&mut operation).poll(&mut cx).is_pending());
        Some(operation)
    });
    assert_eq!((driver.live_operations(), fate.dropped.get()), (4, 2));
    // Taken back before the kernel saw it: its own entry is blanked, and not what was staged meanwhile.
    operations[0] = None;
    assert_eq!((driver.live_operations(), fate.dropped.get()), (3, 3));
    turn(&driver);
    let mut last = operations[1].take().expect("kept");
    assert_eq!(Pin::new(&mut last).poll(&mut cx), Poll::Ready(0));
    for mut operation in kept.take() {
        assert_eq!(Pin::new(&mut operation).poll(&mut cx), Poll::Ready(0));
    }
    assert_eq!((driver.live_operations(), fate.dropped.get()), (0, 6));
    set_rude(Box::new(|| ()));
}

#[test]
fn a_buffer_that_panics_when_asked_for_its_address_takes_no_place() {
    let (driver, fate) = (driver(), Rc::new(Fate::default()));
    set_rude(Box::new(|| panic!("no address today")));
    let probe = RudeProbe(Probe { fate: Rc::clone(&fate) });
    let mut operation = Op::new(Rc::clone(&driver), probe);
    let mut cx = Context::from_waker(Waker::noop());
    let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(&mut operation).poll(&mut cx)));
    set_rude(Box::new(|| ()));
    assert!(polled.is_err());
    assert_eq!((driver.live_operations(), fate.dropped.get()), (0, 1));
    assert!(!driver.needs_enter(), "nothing was staged");
    driver.close(Duration::from_secs(5)).expect("nothing is under way");
}

#[test]
fn a_buffer_may_end_the_runtime_while_it_is_asked_for_its_address() {
    let (driver, fate) = (driver(), Rc::new(Fate::default()));
    set_rude(Box::new({
        let driver = Rc::clone(&driver);
        move || driver.close(Duration::from_secs(5)).expect("nothing is in the kernel")
    }));
    let probe = RudeProbe(Probe { fate: Rc::clone(&fate) });
    let mut operation = Op::new(Rc::clone(&driver), probe);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut operation).poll(&mut cx).is_pending());
    set_rude(Box::new(|| ()));
    // It came too late to be submitted, and as any other that the end left behind it waits for its drop.
    assert!(Pin::new(&mut operation).poll(&mut cx).is_pending());
    assert_eq!((driver.live_operations(), fate.dropped.get()), (1, 0));
    drop(operation);
    assert_eq!((driver.live_operations(), fate.dropped.get(), fate.orphaned.get()), (0, 1, 0));
}

#[test]
fn an_operation_polled_after_its_end_drops_the_waker_with_nothing_borrowed() {
    let (driver, fate) = (driver(), Rc::new(Fate::default()));
    let probe = Probe { fate: Rc::clone(&fate) };
    let mut operation = Op::new(Rc::clone(&driver), probe);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut operation).poll(&mut cx).is_pending());
    turn(&driver);
    assert_eq!(Pin::new(&mut operation).poll(&mut cx), Poll::Ready(0));
    set_rude(Box::new({
        let (driver, fate) = (Rc::clone(&driver), Rc::clone(&fate));
        move || use_the_driver(&driver, &fate)
    }));
    let rude = rude_waker();
    let mut cx = Context::from_waker(&rude);
    let polled = catch_unwind(AssertUnwindSafe(|| Pin::new(&mut operation).poll(&mut cx)));
    assert!(polled.is_err());
    drop((operation, rude));
    set_rude(Box::new(|| ()));
    assert_eq!((driver.live_operations(), driver.caught_panics()), (0, 0));
}

#[test]
fn a_waker_may_use_the_driver_in_all_it_does() {
    let (driver, fate) = (driver(), Rc::new(Fate::default()));
    let probe = Probe { fate: Rc::clone(&fate) };
    let mut operation = Op::new(Rc::clone(&driver), probe);
    assert!(Pin::new(&mut operation).poll(&mut Context::from_waker(Waker::noop())).is_pending());
    set_rude(Box::new({
        let (driver, fate) = (Rc::clone(&driver), Rc::clone(&fate));
        move || use_the_driver(&driver, &fate)
    }));
    let (one, other) = (rude_waker(), Waker::noop());
    for waker in [&one, other, &one] {
        assert!(Pin::new(&mut operation).poll(&mut Context::from_waker(waker)).is_pending());
    }
    driver.wait_for_descriptor(one.clone());
    driver.wait_for_descriptor(one.clone());
    driver.close(Duration::from_secs(5)).expect("nothing is stuck");
    set_rude(Box::new(|| ()));
    drop(operation);
    assert_eq!((driver.live_operations(), driver.caught_panics()), (0, 0));
}

#[test]
fn a_panic_is_caught_whole() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("boom in a payload")
        }
    }
    let driver = driver();
    driver.catching(|| std::panic::panic_any(Bomb));
    assert_eq!(driver.caught_panics(), 1);
}

#[test]
fn wakers_that_panic_when_they_are_dropped_are_dropped_one_by_one_at_the_end() {
    struct Bomb;
    impl Wake for Bomb {
        fn wake(self: Arc<Self>) {}
    }
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("boom in a waker")
        }
    }
    let driver = driver();
    (0..2).for_each(|_| driver.wait_for_descriptor(Arc::new(Bomb).into()));
    driver.close(Duration::from_secs(5)).expect("nothing is under way");
    assert_eq!(driver.caught_panics(), 2);
}
