//! Channels between cores, and between a core and any other thread.
//!
//! | from | to | |
//! | --- | --- | --- |
//! | one sender | one receiver | [`spsc`] |
//! | many senders | one receiver | [`mpsc`] |
//! | tasks of one core | | [`sync`](crate::sync), local and without an atomic |
//!
//! Each end may be anywhere: in a task of a runtime of this crate or of another, or on a plain thread, for which
//! there are the methods named `blocking_`. Messages are [`Send`]. A channel has a bound, and holds back who
//! sends too much.
//!
//! # Waking
//!
//! An end that waits is woken with what its task's runtime has for it; nobody else is, so between ends that are both
//! busy there is no system call. That the other waits is seen without a fence for each message: a core looks again
//! once a turn of its loop. So a task that blocks its whole thread just after it has sent, which no task should, may
//! hold up a receiver that began to wait in the same instant until the turn ends: a fence for each message would take
//! longer than the message (`mesh`, `spsc_plain` against `spsc`), and a `membarrier` by who waits takes about 10 us
//! where the other core is busy. On a thread without a runtime each call looks with a fence; there the forms for many
//! messages pay most.
//!
//! Cores that hand much to each other are quickest if they do not sleep between: an end that waits leaves its core
//! nothing to do, and to wake a core takes as long as to send some thousand messages. So a core whose channel was busy
//! looks for work a little before it sleeps, and stops doing so while that finds nothing:
//! [`Builder::channel_spin`](crate::Builder::channel_spin).
//!
//! # Ends
//!
//! | when | then |
//! | --- | --- |
//! | a sender is dropped, by a panic too, and was the last | the receiver gets what was sent, then `None` |
//! | the receiver is dropped, by a panic too | senders get their messages back, also those that wait; what was not received is dropped, once, most of it by the receiver's thread, what was just being sent by the last end |
//! | the runtime of an end ends | its tasks are dropped, and so are the ends that they hold |
//!
//! # What a dropped future does
//!
//! | method | if its future is dropped before it is done |
//! | --- | --- |
//! | `recv`, `recv_many` | nothing is lost |
//! | `send` | the message was not sent, and is dropped; `take_back` gets it out of the future first |
//! | `send_many` | what was taken out of the iterator is sent, the rest is still in it |

pub(crate) mod adaptive_spin;
mod blocking;
mod intake;
pub(crate) mod later;
pub mod mpsc;
mod padded;
mod parked;
mod patience;
mod prefetch;
mod receiver;
pub mod spsc;
#[cfg(test)]
mod tests;

pub use crate::sync::mpsc::error;

#[track_caller]
fn check_capacity(capacity: usize) {
    assert!(capacity > 0, "a channel of capacity 0 could never send");
    assert!(capacity <= usize::MAX / 4 + 1, "a channel of more than half the address space");
}
