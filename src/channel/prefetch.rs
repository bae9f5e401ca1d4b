//! Having a cache line fetched before it is needed.
//!
//! A line that another core wrote takes some hundred nanoseconds to come. A core waits for several at once, but only
//! for those whose loads and stores it has come to; and of stores it has room for some dozens, of which a message from
//! a task is five or more. Who knows that it goes through memory in order asks for what comes later (`mesh`, `spsc`).
//!
//! # Safety rules
//!
//! 1. A prefetch changes nothing that a program can see, and takes any address.
#![allow(unsafe_code, reason = "an instruction that has no stable function")]

/// Slots whose lines are asked for together: to do so for each alone would take a good part of what a value takes
/// (`mesh`, `spsc`).
pub(super) const GROUP: usize = 16;

/// From a position to the group whose lines are asked for at it. A line that another core has takes as long to come as
/// some thirty values.
const AHEAD: usize = 3 * GROUP;

/// Bytes of a cache line.
const LINE_SIZE: usize = 64;

/// Whether lines are to be asked for at this position, from which on so many slots are known to be this end's.
#[inline(always)]
pub(super) fn is_due(position: usize, known: usize) -> bool {
    position.is_multiple_of(GROUP) && known >= AHEAD + GROUP
}

/// Has the lines of the group fetched that is due at this position; of large slots, one each. A function of its own,
/// because it is rare, and what is in a loop over values is then little.
#[inline(never)]
pub(super) fn group<'a, S: 'a>(
    position: usize,
    slot: impl Fn(usize) -> &'a S,
    prefetch: impl Fn(*const S),
) {
    let lines = size_of::<S>().saturating_mul(GROUP).div_ceil(LINE_SIZE).min(GROUP);
    let first = position.wrapping_add(AHEAD);
    (0..lines).for_each(|line| prefetch(slot(first.wrapping_add(line * GROUP / lines))));
}

/// For this core alone, which is going to write it. Processors that cannot do this do nothing.
#[inline(always)]
pub(super) fn to_write<T>(at: *const T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: rule 1.
    unsafe {
        std::arch::asm!("prefetchw [{}]", in(reg) at.addr(), options(nomem, nostack, preserves_flags));
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = at;
}

/// For reading.
#[inline(always)]
pub(super) fn to_read<T>(at: *const T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: rule 1.
    unsafe {
        std::arch::asm!("prefetcht0 [{}]", in(reg) at.addr(), options(nomem, nostack, preserves_flags));
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = at;
}
