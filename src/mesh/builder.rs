//! The settings of a mesh.

use std::fmt;
use std::time::Duration;

use super::error::MeshError;
use super::placement::Cores;
use super::run;
use super::shard::Shard;
use super::stop::Stop;
use crate::runtime;

/// Configures the runtime of a shard, on its thread.
type Configure = Box<dyn Fn(runtime::Builder) -> runtime::Builder + Send + Sync>;

/// The settings of a [`Mesh`](super::Mesh).
///
/// ```
/// use annulus::mesh::{Cores, Mesh};
/// use std::time::Duration;
///
/// let outputs = Mesh::builder()
///     .cores(Cores::Count(1))
///     .drain(Duration::from_secs(3))
///     .runtime(|builder| builder.linger(Duration::from_secs(1)))
///     .run(async |shard| Ok::<_, std::io::Error>(shard.index()))?;
/// assert_eq!(outputs, [0]);
/// # Ok::<_, std::io::Error>(())
/// ```
pub struct Builder {
    pub(super) cores: Cores,
    pub(super) pin: bool,
    pub(super) thread_name: String,
    pub(super) stop: Stop,
    pub(super) drain: Duration,
    pub(super) runtime: Configure,
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl Builder {
    /// The defaults, which each setting names.
    pub fn new() -> Self {
        Self {
            cores: Cores::All,
            pin: true,
            thread_name: "shard-".to_owned(),
            stop: Stop::new(),
            drain: Duration::from_secs(10),
            runtime: Box::new(|builder| builder),
        }
    }

    /// How many shards, and where: [`Cores::All`] by default.
    #[must_use]
    pub fn cores(mut self, cores: Cores) -> Self {
        self.cores = cores;
        self
    }

    /// Whether each shard is tied to its processor, as it is by default. Where processors are shared with other
    /// work, as in most containers, the kernel may place threads better than a fixed choice.
    #[must_use]
    pub fn pin(mut self, pin: bool) -> Self {
        self.pin = pin;
        self
    }

    /// What the names of the threads begin with; the index of the shard follows. `shard-` by default. The kernel
    /// keeps 15 bytes.
    ///
    /// # Panics
    ///
    /// If it has a zero byte.
    #[must_use]
    pub fn thread_name(mut self, name: impl Into<String>) -> Self {
        let name = name.into();
        assert!(!name.contains('\0'), "the name of a thread has no zero byte");
        self.thread_name = name;
        self
    }

    /// A signal that stops the mesh, for what is not on one of its shards: a handler of the operating system's
    /// signals, another thread, a second mesh. By default it has one of its own, which [`Shard::stop`] gives.
    #[must_use]
    pub fn stop(mut self, stop: &Stop) -> Self {
        self.stop = stop.clone();
        self
    }

    /// How long the futures of the shards may go on after the stop, 10 seconds by default. Then they are dropped, and
    /// [`run`](Self::run) gives [`MeshError::Overdue`].
    #[must_use]
    pub fn drain(mut self, time: Duration) -> Self {
        self.drain = time;
        self
    }

    /// The settings of each shard's runtime; called on its thread.
    ///
    /// Each has a pool of blocking threads of its own, which are not pinned; for one that all share there is
    /// [`blocking_pool`](runtime::Builder::blocking_pool).
    #[must_use]
    pub fn runtime(
        mut self,
        configure: impl Fn(runtime::Builder) -> runtime::Builder + Send + Sync + 'static,
    ) -> Self {
        self.runtime = Box::new(configure);
        self
    }

    /// Runs `main` on every shard, and returns what each gave, in order, when all have ended.
    ///
    /// Each shard has a thread of its own, which makes its ring; the calling thread waits. `main` is called once
    /// all have started. A shard whose future has ended goes on with its tasks and with what others send it until
    /// the last future has; then its tasks are dropped and its runtime shuts down, as [`Runtime`](crate::Runtime)
    /// does.
    ///
    /// The first error or panic gives the [stop signal](Shard::stopped) to all shards. Their futures then have the
    /// time of [`drain`](Self::drain) to end. A shard that panicked is gone at once, with its tasks; calls to it
    /// fail.
    ///
    /// The worker threads of the kernel are kept off the processors of the shards, if there are others. Each shard
    /// has at most those of [`kernel_workers`](runtime::Builder::kernel_workers).
    ///
    /// # Errors
    ///
    /// [`MeshError`]: which shard did not start, failed, panicked or did not leave, with its error. It converts
    /// into an [`io::Error`](std::io::Error). From inside a runtime, `Unsupported`.
    pub fn run<T: Send, E: Send>(
        &self,
        main: impl AsyncFn(Shard) -> Result<T, E> + Sync,
    ) -> Result<Vec<T>, MeshError<E>> {
        run::run(self, main)
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("cores", &self.cores)
            .field("pin", &self.pin)
            .field("thread_name", &self.thread_name)
            .field("drain", &self.drain)
            .finish_non_exhaustive()
    }
}
