//! The cells with plain cells of std: the least that such a tool can cost.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::hint::black_box;
use std::rc::Rc;

use super::{CAPACITY, Run, Sample, Stopwatch, repeat};

pub(super) static CELLS: &[(&str, Run)] = &[
    ("mutex", mutex),
    ("rwlock_read", rwlock_read),
    ("semaphore", semaphore),
    ("channel_self", channel_self),
    ("oneshot", one_value),
];

fn mutex(operations: u64) -> Sample {
    let value = &*black_box(Box::new(RefCell::new(0)));
    repeat!(operations, *black_box(value.borrow_mut()) += 1)
}

fn rwlock_read(operations: u64) -> Sample {
    let value = &*black_box(Box::new(RefCell::new(0)));
    repeat!(operations, drop(black_box(value.borrow())))
}

fn semaphore(operations: u64) -> Sample {
    let free = &*black_box(Box::new(Cell::new(3)));
    repeat!(operations, {
        free.set(free.get() - 1);
        free.set(black_box(free).get() + 1);
    })
}

fn channel_self(operations: u64) -> Sample {
    let queue = RefCell::new(VecDeque::with_capacity(CAPACITY));
    let watch = Stopwatch::start();
    for number in 0..operations {
        queue.borrow_mut().push_back(number);
        black_box(queue.borrow_mut().pop_front());
    }
    watch.stop(operations)
}

fn one_value(operations: u64) -> Sample {
    let watch = Stopwatch::start();
    for number in 0..operations {
        let value = Rc::new(Cell::new(None));
        black_box(&value).set(Some(number));
        black_box(value.take());
    }
    watch.stop(operations)
}
