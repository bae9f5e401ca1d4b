//! What a server allows, and what it has done.

use std::iter::Sum;
use std::ops::AddAssign;
use std::time::Duration;

/// What [`serve`](super::serve()) allows its connections.
///
/// ```
/// use annulus::net::Limits;
/// use annulus::time::Duration;
///
/// let limits = Limits::new()
///     .connections(10_000)
///     .first_byte(Duration::from_secs(10))
///     .idle(Duration::from_secs(60))
///     .drain(Duration::from_secs(30));
/// # drop(limits);
/// ```
#[derive(Clone, Debug)]
pub struct Limits {
    pub(super) connections: u32,
    pub(super) first_byte: Option<Duration>,
    pub(super) idle: Option<Duration>,
    pub(super) life: Option<Duration>,
    pub(super) drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self::new()
    }
}

impl Limits {
    /// 1024 connections, without a deadline each, and 5 seconds to end when the server does: less than a
    /// [mesh](crate::mesh::Builder::drain) gives its shards.
    pub fn new() -> Self {
        let drain = Duration::from_secs(5);
        Self { connections: 1024, first_byte: None, idle: None, life: None, drain }
    }

    /// How many connections are served at once.
    ///
    /// With so many, no more are taken from the listener until one has ended: further ones wait, and are not refused.
    /// Up to `untaken_max` of the runtime's [`Builder`](crate::Builder) wait accepted, so many descriptors more than
    /// this number may be open, and the others in the kernel's backlog.
    ///
    /// # Panics
    ///
    /// If it is zero.
    #[must_use]
    pub fn connections(mut self, count: u32) -> Self {
        assert!(count > 0, "a server of no connections serves nobody");
        self.connections = count;
        self
    }

    /// How long a connection may be open before its peer has sent a byte, or it is ended.
    ///
    /// Not for protocols in which the server speaks first. For a whole header, whose end only the handler knows, that
    /// has a [`timeout`](crate::time::timeout()) of its own:
    ///
    /// ```
    /// use annulus::io::BufReader;
    /// use annulus::net::TcpStream;
    /// use annulus::time::{Duration, timeout};
    ///
    /// async fn handle(stream: TcpStream) -> std::io::Result<()> {
    ///     let mut reader = BufReader::with_limit(8 * 1024, stream);
    ///     let Some(request) = timeout(Duration::from_secs(10), reader.line()).await?? else {
    ///         return Ok(());
    ///     };
    ///     println!("{} bytes of a header; what follows may take longer", request.len());
    ///     Ok(())
    /// }
    /// # let _ = handle;
    /// ```
    #[must_use]
    pub fn first_byte(mut self, time: Duration) -> Self {
        self.first_byte = Some(time);
        self
    }

    /// How long nothing may move on a connection before it is ended: no byte comes, and the peer takes none.
    ///
    /// It is looked at four times in that time, which costs no timer and no clock for each read or write; so it may
    /// take a quarter longer. On Unix sockets, where the kernel does not tell what the peer takes, a send under way
    /// counts as movement.
    #[must_use]
    pub fn idle(mut self, time: Duration) -> Self {
        self.idle = Some(time);
        self
    }

    /// How long a connection may be served at all, whatever it does.
    #[must_use]
    pub fn life(mut self, time: Duration) -> Self {
        self.life = Some(time);
        self
    }

    /// How long connections may go on when the server is to end; those left then are aborted.
    #[must_use]
    pub fn drain(mut self, time: Duration) -> Self {
        self.drain = time;
        self
    }
}

/// How many connections ended, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Served {
    /// Those whose handler returned `Ok`.
    pub ended: u64,
    /// Those whose handler returned an error.
    pub failed: u64,
    /// Those whose handler panicked.
    pub panicked: u64,
    /// Those that were ended by a deadline of [`Limits`].
    pub late: u64,
    /// Those that were cut off when the server ended.
    pub aborted: u64,
}

impl Served {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.ended + self.failed + self.panicked + self.late + self.aborted
    }
}

impl AddAssign for Served {
    fn add_assign(&mut self, other: Self) {
        self.ended += other.ended;
        self.failed += other.failed;
        self.panicked += other.panicked;
        self.late += other.late;
        self.aborted += other.aborted;
    }
}

impl Sum for Served {
    fn sum<I: Iterator<Item = Self>>(shards: I) -> Self {
        shards.fold(Self::default(), |mut sum, served| {
            sum += served;
            sum
        })
    }
}
