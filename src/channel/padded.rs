//! A value on cache lines of its own, so that who writes it disturbs nobody who reads what lies beside.

use std::ops::Deref;

/// Two lines: processors fetch the neighbour of a line too.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Padded<T>(pub(super) T);

impl<T> Deref for Padded<T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        &self.0
    }
}
