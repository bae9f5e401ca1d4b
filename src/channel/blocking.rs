//! The wait of a plain thread: for an end of a channel that has no task to be woken.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

/// A thread that sleeps until it is woken.
struct Sleeper {
    thread: Thread,
    woken: AtomicBool,
}

impl Wake for Sleeper {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Release: the thread sees what came before.
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

/// Polls on this thread until it is done, and sleeps between. The function `name` is named in the panic inside a
/// runtime, whose loop would not turn meanwhile.
#[track_caller]
pub(super) fn block_on<T>(name: &str, mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
    assert!(
        crate::executor::current().is_none(),
        "{name} was called inside a runtime, whose tasks would all wait: use the async form there"
    );
    // Mostly there is nothing to wait for, and to make a sleeper takes longer than a message (`mesh`, `spsc_plain`).
    if let Poll::Ready(output) = poll(&mut Context::from_waker(Waker::noop())) {
        return output;
    }
    let sleeper = Arc::new(Sleeper { thread: thread::current(), woken: AtomicBool::new(false) });
    let waker = Waker::from(Arc::clone(&sleeper));
    loop {
        if let Poll::Ready(output) = poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        while !sleeper.woken.swap(false, Ordering::Acquire) {
            thread::park();
        }
    }
}
