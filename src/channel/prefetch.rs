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

/// For this core alone, which is going to write it. Processors that cannot do this do nothing.
#[inline(always)]
pub(super) fn to_write<T>(at: *const T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: rule 1.
    unsafe {
        std::arch::asm!("prefetchw [{}]", in(reg) at, options(nomem, nostack, preserves_flags));
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
        std::arch::asm!("prefetcht0 [{}]", in(reg) at, options(nomem, nostack, preserves_flags));
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = at;
}
