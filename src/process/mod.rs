//! Children: other programs, started, fed, read and awaited.
//!
//! [`Command`] starts a [`Child`], as in std and tokio. Its streams are ends of pipes that are read and written
//! through the ring; its end is one operation, by its number where the kernel has that (Linux 6.7), else by a
//! descriptor. Nobody listens to `SIGCHLD`, and nobody waits for children that are not annulus's own.
//!
//! A child that has ended is reaped when its end is seen, or its handle dropped: there are no zombies but those whose
//! handle somebody keeps without looking, and those that end after their runtime, until the process starts another
//! child.
//!
//! All descriptors of annulus are closed in the child, accepted sockets and rings included. A child inherits the mask
//! of signals of the thread that starts it: on a thread of a [`blocking::Pool`](crate::blocking::Pool) that is all of
//! them, which the child would not hear of.
//!
//! # What a dropped future does
//!
//! | method | if its future is dropped before it is done |
//! | --- | --- |
//! | [`Child::wait`] | nothing is lost: the next one gives the status |
//! | [`Child::communicate`] | what was gathered stays with the child, the input is written on, and the next call goes on |
//! | [`Child::kill`] | after its first poll the child was killed |
//! | [`Child::wait_with_output`], [`Command::status`], [`Command::output`] | the child's handle is dropped with it: the child runs on and is reaped when it ends, or is killed, as [`Command::kill_on_drop`] says; what was gathered is lost |
//! | [`ChildStdout`]'s and [`ChildStderr`]'s `recv`, `read`, `read_exact`, `read_owned`, `read_to_end`, `into_fd`; [`ChildStdin`]'s `write`, `write_all`, `write_owned`, `write_all_owned`, `flush`, `into_fd` | as those of [`io::pipe`](mod@crate::io::pipe) |

mod child;
mod command;
mod pre_exec;
mod stdio;

pub use std::process::{ExitStatus, Output, Stdio};

pub use child::Child;
pub use command::Command;
pub use stdio::{ChildStderr, ChildStdin, ChildStdout};
