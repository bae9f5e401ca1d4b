//! The two forms of the bell that wakes a core: a message to its ring, and an eventfd that the ring polls.

use std::sync::LazyLock;

use annulus::Builder;
use annulus::runtime::Feature;

use super::settled::is_switched_off;

static BY_MESSAGE: LazyLock<bool> = LazyLock::new(|| {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    let mut number = || numbers.next()?.parse::<u32>().ok();
    let is_sound = number().zip(number()).is_some_and(|release| release >= (6, 16));
    is_sound && !is_switched_off(Feature::RingMessage)
});

/// Whether a core is rung by a message here, unless its builder disables that.
pub(crate) fn by_message() -> bool {
    *BY_MESSAGE
}

/// The best form that there is, which may be the second one; and the second one.
pub(crate) fn both_bells() -> [Builder; 2] {
    [Builder::new(), Builder::new().disable(Feature::RingMessage)]
}
