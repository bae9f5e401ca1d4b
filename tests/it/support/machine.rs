//! A network of a thread's own, in which nobody else sends and routes are the test's to make.
//!
//! # Safety rules
//!
//! 1. A call takes no memory; the namespace is the calling thread's own.
#![allow(unsafe_code, reason = "namespaces are set by system calls")]

use std::io;
use std::process::Command;

/// Gives this thread, and those that it starts, a network of its own; by the number of the thread others name it.
pub(crate) fn own_namespace() -> io::Result<i32> {
    // SAFETY: rule 1.
    match unsafe { libc::unshare(libc::CLONE_NEWNET) } {
        // SAFETY: rule 1.
        0 => Ok(unsafe { libc::gettid() }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Runs a program in the network of this thread; its words are an error if it fails.
pub(crate) fn call(program: &str, arguments: &str) -> io::Result<()> {
    let output = Command::new(program).args(arguments.split(' ')).output()?;
    let text = || String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("{program} {arguments}: {}", text())))
}

pub(crate) fn ip(arguments: &str) -> io::Result<()> {
    call("ip", arguments)
}

/// Runs a test on a thread of its own; why it could not.
pub(crate) fn on_a_thread(test: impl FnOnce() -> io::Result<()> + Send) -> io::Result<()> {
    std::thread::scope(|scope| {
        let near = scope.spawn(test);
        near.join().unwrap_or_else(|payload| std::panic::resume_unwind(payload))
    })
}
