//! The threads of this process as the kernel knows them: their numbers, and whether they sleep.

use std::time::{Duration, Instant};

use super::settled::PATIENCE;

/// The kernel's number of this thread.
pub(crate) fn this_thread() -> i32 {
    let link = std::fs::read_link("/proc/thread-self").expect("/proc is mounted");
    let number = link.file_name().expect("pid/task/tid").to_string_lossy();
    number.parse().expect("a number")
}

/// Whether a thread of this process sleeps.
pub(crate) fn is_asleep(thread: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat"));
    // The state follows the name, which is in brackets and may hold any character.
    stat.is_ok_and(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S')))
}

/// Waits until `condition` holds and the thread sleeps, for a few looks: it does not sleep over a lock.
#[track_caller]
pub(crate) fn wait_until_asleep(thread: i32, condition: impl Fn() -> bool) {
    let (start, mut looks) = (Instant::now(), 0);
    while looks < 3 {
        assert!(start.elapsed() < PATIENCE, "thread {thread} does not sleep");
        looks = if condition() && is_asleep(thread) { looks + 1 } else { 0 };
        std::thread::sleep(Duration::from_micros(100));
    }
}
