//! What may be waited for on a descriptor, and what was found.

use std::fmt;
use std::ops::{BitOr, BitOrAssign};

use crate::op::poll::Direction;

/// What to wait for on a descriptor; several are joined by `|`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Interest(u8);

impl Interest {
    /// That it can be read, or that its other end was closed.
    pub const READABLE: Self = Self(1);
    /// That it can be written to, or that its other end was closed.
    pub const WRITABLE: Self = Self(2);
    /// That something urgent is there, as `POLLPRI` of `poll(2)` says.
    pub const PRIORITY: Self = Self(4);

    /// Both of them.
    #[must_use]
    pub const fn add(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether reading is among it.
    pub const fn is_readable(self) -> bool {
        self.0 & Self::READABLE.0 != 0
    }

    /// Whether writing is among it.
    pub const fn is_writable(self) -> bool {
        self.0 & Self::WRITABLE.0 != 0
    }

    /// Whether what is urgent is among it.
    pub const fn is_priority(self) -> bool {
        self.0 & Self::PRIORITY.0 != 0
    }

    pub(super) fn directions(self) -> impl Iterator<Item = Direction> {
        Direction::ALL.into_iter().filter(move |direction| self.0 & 1 << *direction as u8 != 0)
    }
}

impl BitOr for Interest {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.add(other)
    }
}

impl BitOrAssign for Interest {
    fn bitor_assign(&mut self, other: Self) {
        *self = self.add(other);
    }
}

impl fmt::Debug for Interest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (self.is_readable(), "READABLE"),
            (self.is_writable(), "WRITABLE"),
            (self.is_priority(), "PRIORITY"),
        ];
        write_names(f, &names)
    }
}

/// What was found of a descriptor.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Ready(u32);

impl Ready {
    /// Nothing.
    pub const EMPTY: Self = Self(0);

    /// The events of `poll(2)`.
    pub(super) fn from_events(events: u32) -> Self {
        Self(events)
    }

    fn has(self, events: libc::c_short) -> bool {
        self.0 & u32::from(events.cast_unsigned()) != 0
    }

    /// Whether there is nothing in it.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// A read will not wait: there is something, or the end, or an error.
    pub fn is_readable(self) -> bool {
        self.has(libc::POLLIN | libc::POLLPRI) || self.is_read_closed() || self.is_error()
    }

    /// A write will not wait: there is room, or nobody who reads, or an error.
    pub fn is_writable(self) -> bool {
        self.has(libc::POLLOUT) || self.is_write_closed()
    }

    /// Nothing more will come than what is there.
    pub fn is_read_closed(self) -> bool {
        self.has(libc::POLLHUP | libc::POLLRDHUP)
    }

    /// Nobody reads any more what would be written.
    pub fn is_write_closed(self) -> bool {
        self.has(libc::POLLHUP | libc::POLLERR)
    }

    /// Something urgent is there.
    pub fn is_priority(self) -> bool {
        self.has(libc::POLLPRI)
    }

    /// The descriptor says that it is in error.
    pub fn is_error(self) -> bool {
        self.has(libc::POLLERR)
    }
}

impl BitOr for Ready {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Ready {
    fn bitor_assign(&mut self, other: Self) {
        *self = *self | other;
    }
}

impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (self.is_readable(), "READABLE"),
            (self.is_writable(), "WRITABLE"),
            (self.is_read_closed(), "READ_CLOSED"),
            (self.is_write_closed(), "WRITE_CLOSED"),
            (self.is_priority(), "PRIORITY"),
            (self.is_error(), "ERROR"),
        ];
        write_names(f, &names)
    }
}

fn write_names(f: &mut fmt::Formatter<'_>, names: &[(bool, &str)]) -> fmt::Result {
    let held: Vec<&str> = names.iter().filter(|(held, _)| *held).map(|(_, name)| *name).collect();
    f.write_str(if held.is_empty() { "EMPTY" } else { "" })?;
    f.write_str(&held.join(" | "))
}
