//! The deadlines of one connection, on one timer: it fires for a look, not for each read.

use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::rc::Weak;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use socket2::SockRef;

use super::Limits;
use crate::op::close::Fd;
use crate::op::endpoint::Endpoint;
use crate::op::line::Line;
use crate::op::receive_message::Head;
use crate::sys::options;
use crate::time::{Duration, Instant, Sleep, sleep_until};

/// Looks in the time that a connection may be idle.
const LOOKS: u32 = 4;

pin_project! {
    /// See the head of the file.
    pub(super) struct Watch {
        #[pin]
        timer: Sleep,
        deadlines: Deadlines,
    }
}

struct Deadlines {
    /// Not kept open for it.
    connection: Weak<dyn Movement>,
    /// The end of the time for the first byte, until that has come.
    first_byte: Option<Instant>,
    idle: Option<Idle>,
    end: Option<Instant>,
}

struct Idle {
    /// Between two looks.
    step: Duration,
    next: Instant,
    seen: Moved,
    /// Looks in a row that found nothing new.
    quiet: u32,
}

/// What has moved on a connection so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moved {
    brought: u32,
    sends: u32,
    /// What the peer has taken, where the kernel says.
    taken: Option<u64>,
    sending: bool,
}

impl Watch {
    /// `None` if there is no deadline.
    pub(super) fn new(limits: &Limits, connection: Weak<dyn Movement>) -> Option<Self> {
        if (limits.first_byte, limits.idle, limits.life) == (None, None, None) {
            return None;
        }
        let now = Instant::now();
        // Beyond the clock there is no deadline.
        let after = |time: Option<Duration>| time.and_then(|time| now.checked_add(time));
        let seen = Moved { brought: 0, sends: 0, taken: None, sending: false };
        let idle = limits.idle.and_then(|time| {
            let step = time / LOOKS;
            Some(Idle { step, next: now.checked_add(step)?, seen, quiet: 0 })
        });
        let (first_byte, end) = (after(limits.first_byte), after(limits.life));
        let deadlines = Deadlines { connection, first_byte, idle, end };
        Some(Self { timer: sleep_until(deadlines.next()?), deadlines })
    }

    /// Resolves when a deadline has passed.
    pub(super) fn poll_late(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        loop {
            ready!(this.timer.as_mut().poll(cx));
            if this.deadlines.is_late(Instant::now()) {
                return Poll::Ready(());
            }
            match this.deadlines.next() {
                Some(next) => this.timer.as_mut().reset(next),
                None => return Poll::Pending,
            }
        }
    }
}

impl Deadlines {
    /// When to look next.
    fn next(&self) -> Option<Instant> {
        let idle = self.idle.as_ref().map(|idle| idle.next);
        [self.first_byte, idle, self.end].into_iter().flatten().min()
    }

    fn is_late(&mut self, now: Instant) -> bool {
        if self.end.is_some_and(|end| end <= now) {
            return true;
        }
        let Some(connection) = self.connection.upgrade() else {
            // The handler has closed the connection, or given it away, and does something else.
            (self.first_byte, self.idle) = (None, None);
            return false;
        };
        if self.first_byte.take_if(|end| *end <= now).is_some() && !has_begun(&*connection) {
            return true;
        }
        self.idle
            .as_mut()
            .is_some_and(|idle| idle.next <= now && idle.look(connection.moved(), now))
    }
}

impl Idle {
    /// Whether nothing has moved for the whole time.
    fn look(&mut self, seen: Moved, now: Instant) -> bool {
        let may_move = seen.sending && seen.taken.is_none();
        self.quiet = if seen == self.seen && !may_move { self.quiet + 1 } else { 0 };
        self.seen = seen;
        self.next = now + self.step;
        self.quiet >= LOOKS
    }
}

/// A connection of which can be told whether anything moves on it.
pub(super) trait Movement: fmt::Debug {
    /// What has moved so far.
    fn moved(&self) -> Moved;

    /// Its descriptor.
    fn fd(&self) -> &Fd;
}

impl Movement for Line {
    fn moved(&self) -> Moved {
        Moved {
            brought: self.arrivals.brought(),
            sends: self.outbox.turns(),
            taken: options::acknowledged(self.fd.as_fd()).ok(),
            sending: self.outbox.is_busy(),
        }
    }

    fn fd(&self) -> &Fd {
        &self.fd
    }
}

impl<H: Head + fmt::Debug> Movement for Endpoint<H> {
    fn moved(&self) -> Moved {
        Moved {
            brought: self.inbox.brought(),
            sends: self.sent(),
            taken: None,
            sending: self.is_sending(),
        }
    }

    fn fd(&self) -> &Fd {
        &self.fd
    }
}

/// Whether a byte has come, or waits in the kernel for a handler that does not read yet.
fn has_begun(connection: &dyn Movement) -> bool {
    let peek = || -> io::Result<usize> {
        let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
        SockRef::from(connection.fd()).recv_with_flags(&mut [MaybeUninit::uninit()], flags)
    };
    connection.moved().brought > 0 || peek().is_ok_and(|count| count > 0)
}
