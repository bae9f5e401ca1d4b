//! The schedule of an open loop: when each message is due, whatever has come back.
//!
//! A message counts from the moment it was due, also where the client could not send it then, so that a server that
//! stalls is charged with every message that it delayed and not with one for each connection.

pub(super) struct Pace {
    begun_ns: u64,
    rate_per_s: u64,
    /// Messages issued so far.
    issued: u64,
}

impl Pace {
    pub(super) fn new(rate_per_s: u64, now_ns: u64) -> Self {
        Self { begun_ns: now_ns, rate_per_s, issued: 0 }
    }

    /// The number of the next message and when it is due, if that is not later than now.
    #[inline]
    pub(super) fn due(&self, now_ns: u64) -> Option<(u64, u64)> {
        let after_ns = u128::from(self.issued) * 1_000_000_000 / u128::from(self.rate_per_s);
        let due_ns = self.begun_ns + after_ns as u64;
        (due_ns <= now_ns).then_some((self.issued, due_ns))
    }

    #[inline]
    pub(super) fn issued(&mut self) {
        self.issued += 1;
    }
}
