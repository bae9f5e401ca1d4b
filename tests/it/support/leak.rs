//! A guard that fails a test which leaves a file descriptor open or a runtime counter above zero.
//!
//! Tests run side by side in one process, so "how many descriptors are open" means nothing there.
//! The guard gives its thread a descriptor table of its own, empty above stderr; threads that the
//! test starts later share it, and so do the kernel's workers of its rings. A descriptor made
//! before the guard is not visible after it: make the guard the test's first line. A thread's second guard
//! empties the table of the first: the kernel's workers of a thread outlive its rings and keep the table
//! that they were started with.
#![allow(unsafe_code, reason = "close_range has no safe form")]

use crate::support::skip::skip;
use std::cell::Cell;
use std::fmt::Write;
use std::time::{Duration, Instant};

/// How long what was dropped may take to be gone: closes and cancels end a little later, and later still on a machine
/// that is busy with others.
const PATIENCE: Duration = Duration::from_secs(30);

/// Checks when dropped, unless the test is failing already; see the head of the file.
#[must_use = "the check is made when the guard is dropped"]
pub(crate) struct LeakGuard {
    counters: Vec<(&'static str, Counter)>,
    patience: Duration,
}

type Counter = Box<dyn Fn() -> usize>;

thread_local! {
    /// This thread has a descriptor table of its own.
    static IS_UNSHARED: Cell<bool> = const { Cell::new(false) };
}

impl LeakGuard {
    /// Gives this thread an empty descriptor table and starts the watch.
    pub(crate) fn new() -> Self {
        let flags = if IS_UNSHARED.replace(true) { 0 } else { libc::CLOSE_RANGE_UNSHARE };
        // SAFETY: the table is this thread's own after the call, or was before; no other thread loses a
        // descriptor.
        let status = unsafe { libc::close_range(3, u32::MAX, flags as i32) };
        assert_eq!(status, 0, "close_range: {}", std::io::Error::last_os_error());
        Self { counters: Vec::new(), patience: PATIENCE }
    }

    /// Adds a counter that must be zero in the end, as of operations, buffers or tasks.
    pub(crate) fn counter(
        mut self,
        name: &'static str,
        read: impl Fn() -> usize + 'static,
    ) -> Self {
        self.counters.push((name, Box::new(read)));
        self
    }

    /// What is left now, one line each; empty when nothing is.
    fn leaks(&self) -> String {
        let mut text = String::new();
        for (fd, name) in open_fds() {
            let _ = writeln!(text, "fd {fd} is open: {name}");
        }
        for (name, read) in &self.counters {
            match read() {
                0 => {}
                count => _ = writeln!(text, "{name}: {count}"),
            }
        }
        text
    }
}

impl Drop for LeakGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let start = Instant::now();
        let mut leaks = self.leaks();
        while !leaks.is_empty() && start.elapsed() < self.patience {
            std::thread::sleep(Duration::from_millis(1));
            leaks = self.leaks();
        }
        crate::GUARD.verify();
        assert!(leaks.is_empty(), "left behind:\n{leaks}");
    }
}

/// This thread's descriptors above stderr, with the names that the kernel gives them.
fn open_fds() -> Vec<(u32, String)> {
    let table = std::fs::read_dir("/proc/thread-self/fd").expect("list descriptors");
    let fds: Vec<u32> = table
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|fd| *fd > 2)
        .collect();
    // The descriptor of the listing itself is closed by now and has no name any more.
    let name = |fd| std::fs::read_link(format!("/proc/thread-self/fd/{fd}")).ok();
    fds.into_iter().filter_map(|fd| Some((fd, name(fd)?.display().to_string()))).collect()
}

mod tests {
    use super::{Duration, LeakGuard, open_fds, skip};
    use std::cell::Cell;
    use std::fs::File;
    use std::os::fd::IntoRawFd;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::rc::Rc;

    fn failure(test: impl FnOnce()) -> String {
        let payload = catch_unwind(AssertUnwindSafe(test)).expect_err("the guard saw nothing");
        *payload.downcast::<String>().expect("a text")
    }

    #[test]
    fn an_open_file_is_named() {
        if !std::path::Path::new("/proc/thread-self/fd").exists() {
            skip!("/proc is not mounted");
        }
        let text = failure(|| {
            let mut leaks = LeakGuard::new();
            leaks.patience = Duration::ZERO;
            let _fd = File::open("/dev/null").expect("open").into_raw_fd();
            drop(leaks);
        });
        assert!(text.contains("is open: /dev/null"), "{text}");
    }

    #[test]
    fn a_counter_above_zero_is_named() {
        let text = failure(|| {
            let mut leaks = LeakGuard::new().counter("tasks", || 3);
            leaks.patience = Duration::ZERO;
            drop(leaks);
        });
        assert_eq!(text, "left behind:\ntasks: 3\n");
    }

    #[test]
    fn what_ends_late_is_waited_for() {
        let left = Rc::new(Cell::new(3));
        let counted = left.clone();
        let _leaks = LeakGuard::new().counter("operations", move || {
            counted.set(counted.get() - 1);
            counted.get()
        });
        drop(File::open("/dev/null").expect("open"));
        assert_eq!(left.get(), 3);
    }

    #[test]
    fn other_threads_keep_their_descriptors() {
        let outside = File::open("/dev/null").expect("open");
        std::thread::spawn(|| {
            let _leaks = LeakGuard::new();
            assert_eq!(open_fds(), []);
        })
        .join()
        .expect("nothing leaked");
        outside.metadata().expect("still open");
    }
}
