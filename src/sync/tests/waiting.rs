//! Waiters at their edges: wakers whose own code uses what they wait for, and futures that are forgotten.

use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use crate::sync::{
    Condvar, Mutex, Notify, OnceCell, RwLock, RwLockWriteGuard, Semaphore, SetError,
};

thread_local! {
    /// What the waker of [`meddling`] does when it is called or dropped.
    static MEDDLE: RefCell<Option<Box<dyn FnMut()>>> = const { RefCell::new(None) };
}

fn meddle() {
    let taken = MEDDLE.take();
    if let Some(mut act) = taken {
        act();
        MEDDLE.set(Some(act));
    }
}

struct Meddler;

impl Wake for Meddler {
    fn wake(self: Arc<Self>) {
        meddle();
    }
}

impl Drop for Meddler {
    fn drop(&mut self) {
        meddle();
    }
}

/// A waker that runs `act` when it is called, and when the last of its clones is dropped.
fn meddling(act: impl FnMut() + 'static) -> Waker {
    MEDDLE.set(Some(Box::new(act)));
    Waker::from(Arc::new(Meddler))
}

pub(super) fn poll<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    std::pin::Pin::new(future).poll(&mut Context::from_waker(waker))
}

pub(super) fn poll_noop<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    poll(future, Waker::noop())
}

/// A waker that takes and puts permits while it is woken and while it is dropped finds everything whole.
#[test]
fn wakers_may_use_what_they_wait_for() {
    let semaphore = Rc::new(Semaphore::bounded(2));
    let held = Rc::clone(&semaphore).try_acquire_many_owned(2).expect("free");
    let mut waits: Vec<_> =
        (0..3).map(|_| Box::pin(Rc::clone(&semaphore).acquire_owned())).collect();
    let used = Rc::clone(&semaphore);
    let waker = meddling(move || {
        drop(used.try_acquire());
        let mut wait = pin!(used.acquire());
        let _ = wait.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    });
    for wait in &mut waits {
        assert!(poll(wait, &waker).is_pending());
    }
    drop(waker);
    drop(held);
    let first = poll_noop(&mut waits[0]);
    let second = poll_noop(&mut waits[1]);
    assert!(first.is_ready() && second.is_ready() && poll_noop(&mut waits[2]).is_pending());
    drop((first, second));
    MEDDLE.set(None);
    assert!(poll_noop(&mut waits[2]).is_ready());
    drop(waits);
    assert_eq!(semaphore.available_permits(), 2);
}

/// A future that is leaked while it waits swallows what it is granted, and nothing else goes wrong.
#[test]
fn a_forgotten_waiter_is_sound() {
    let mutex = Rc::new(Mutex::new(1));
    let held = Rc::clone(&mutex).try_lock_owned().expect("free");
    let mut forgotten = ManuallyDrop::new(Box::pin(Rc::clone(&mutex).lock_owned()));
    assert!(poll_noop(&mut *forgotten).is_pending());
    let mut behind = Box::pin(mutex.lock());
    assert!(poll_noop(&mut behind).is_pending());
    drop(held);
    assert!(poll_noop(&mut behind).is_pending(), "the lock is the forgotten one's");
    drop(behind);
    drop(ManuallyDrop::into_inner(forgotten));
    assert!(mutex.try_lock().is_ok());
}

#[test]
fn a_future_may_be_dropped_by_the_wake_of_another() {
    let mutex = Rc::new(Mutex::new(()));
    let held = Rc::clone(&mutex).try_lock_owned().expect("free");
    let second = Rc::new(RefCell::new(Some(Box::pin(Rc::clone(&mutex).lock_owned()))));
    let dropped = Rc::clone(&second);
    let waker = meddling(move || drop(dropped.take()));
    let mut first = Box::pin(mutex.lock());
    assert!(poll(&mut first, &waker).is_pending());
    assert!(poll_noop(second.borrow_mut().as_mut().expect("there")).is_pending());
    drop(held);
    assert!(second.borrow().is_none());
    assert!(poll_noop(&mut first).is_ready());
    MEDDLE.set(None);
}

#[test]
fn closing_a_semaphore_refuses_who_waits_and_leaves_who_holds() {
    let semaphore = Semaphore::new(1);
    let permit = semaphore.try_acquire().expect("free");
    let mut wait = Box::pin(semaphore.acquire());
    assert!(poll_noop(&mut wait).is_pending());
    semaphore.close();
    assert!(matches!(poll_noop(&mut wait), Poll::Ready(Err(_))));
    assert!(matches!(poll_noop(&mut Box::pin(semaphore.acquire())), Poll::Ready(Err(_))));
    drop(permit);
    assert_eq!((semaphore.available_permits(), semaphore.is_closed()), (1, true));
    assert!(semaphore.try_acquire().is_err());
}

#[test]
fn permits_are_merged_split_and_forgotten() {
    let semaphore = Semaphore::bounded(5);
    let mut permit = semaphore.try_acquire_many(3).expect("free");
    permit.merge(semaphore.try_acquire().expect("free"));
    assert_eq!(permit.num_permits(), 4);
    assert!(permit.split(5).is_none());
    let parted = permit.split(3).expect("there are four");
    assert_eq!((permit.num_permits(), parted.num_permits()), (1, 3));
    parted.forget();
    assert_eq!(semaphore.forget_permits(9), 1);
    drop(permit);
    assert_eq!(semaphore.available_permits(), 1);
    let error = semaphore.try_add_permits(5).expect_err("four are gone");
    let text = "5 permits were released that nobody had acquired; there is room for 4";
    assert_eq!(error.to_string(), text);
    semaphore.add_permits(4);
    assert_eq!(semaphore.available_permits(), 5);
}

#[test]
#[should_panic(expected = "1 permits were released that nobody had acquired; there is room for 0")]
fn a_release_without_an_acquire_panics_where_it_is_bounded() {
    Semaphore::bounded(2).add_permits(1);
}

#[test]
#[should_panic(expected = "permits of two semaphores cannot be merged")]
fn permits_of_two_semaphores_do_not_merge() {
    let (one, two) = (Semaphore::new(1), Semaphore::new(1));
    one.try_acquire().expect("free").merge(two.try_acquire().expect("free"));
}

#[test]
fn locks_take_unsized_values_and_show_them() {
    let mutex: Rc<Mutex<[u8]>> = Rc::new(Mutex::new([1, 2]));
    mutex.try_lock().expect("free")[0] = 3;
    let guard = Rc::clone(&mutex).try_lock_owned().expect("free");
    assert_eq!(format!("{mutex:?} {guard:?}"), "Mutex { value: <locked> } [3, 2]");
    drop(guard);
    assert_eq!(format!("{mutex:?}"), "Mutex { value: [3, 2] }");
    let lock = RwLock::with_max_readers(7, 2);
    let (one, two) = (lock.try_read().expect("free"), lock.try_read().expect("free"));
    assert_eq!(format!("{lock:?}"), "RwLock { value: <locked> }");
    assert!(lock.try_read().is_err(), "two at most");
    drop((one, two));
    let reader = RwLockWriteGuard::downgrade(lock.try_write().expect("free"));
    assert_eq!((*reader, lock.try_write().is_err(), lock.try_read().is_ok()), (7, true, true));
    drop(reader);
    assert_eq!(lock.into_inner(), 7);
}

#[test]
fn notify_waiters_reaches_who_was_not_polled_yet_and_keeps_nothing() {
    let notify = Notify::new();
    let mut made = Box::pin(notify.notified());
    notify.notify_waiters();
    assert!(poll_noop(&mut made).is_ready() && poll_noop(&mut made).is_ready(), "for good");
    let mut later = Box::pin(notify.notified());
    assert!(poll_noop(&mut later).is_pending());
    notify.notify_one();
    assert!(later.as_mut().enable());
    drop(later);
    assert!(poll_noop(&mut Box::pin(notify.notified())).is_pending(), "it was used up");
}

#[test]
fn a_condition_that_holds_is_not_waited_for() {
    let (mutex, condvar) = (Mutex::new(1), Condvar::new());
    let guard = mutex.try_lock().expect("free");
    let mut wait = Box::pin(condvar.wait_for(guard, |value| *value == 2));
    assert!(poll_noop(&mut wait).is_pending());
    condvar.notify_one();
    assert!(poll_noop(&mut wait).is_pending(), "it is still 1");
    *mutex.try_lock().expect("free while it waits") = 2;
    condvar.notify_one();
    let Poll::Ready(guard) = poll_noop(&mut wait) else { panic!("it is 2") };
    assert!(poll_noop(&mut Box::pin(condvar.wait_for(guard, |value| *value == 2))).is_ready());
}

#[test]
fn a_once_cell_says_why_it_cannot_be_set() {
    let mut cell = OnceCell::new();
    let mut making = Box::pin(cell.get_or_init(std::future::pending::<i32>));
    assert!(poll_noop(&mut making).is_pending());
    assert_eq!(cell.set(1), Err(SetError::InitializingError(1)));
    drop(making);
    let mut failing = Box::pin(cell.get_or_try_init(async || Err("no")));
    assert_eq!(poll_noop(&mut failing), Poll::Ready(Err("no")));
    drop(failing);
    assert_eq!((cell.set(2), cell.set(3)), (Ok(()), Err(SetError::AlreadyInitializedError(3))));
    assert_eq!(format!("{cell:?}"), "OnceCell { value: Some(2) }");
    assert_eq!(cell.take(), Some(2));
    assert!(!cell.initialized() && OnceCell::new_with(Some(4)).initialized());
}
