//! Buffers for direct I/O that the kernel knows already.

use std::fmt;
use std::io;
use std::rc::Rc;

use crate::buf::{AlignedBuf, Registration};
use crate::driver;

/// Buffers of one size whose memory this core's ring knows (`IORING_REGISTER_BUFFERS`), for
/// [`DirectFile`](super::DirectFile).
///
/// A direct read or write of other memory has the kernel find, pin and release its pages each time; of these it need
/// not (`READ_FIXED`, `WRITE_FIXED`). All files of the runtime share them, and beside direct I/O they are buffers like
/// others.
///
/// The memory is one range, locked and charged to the user's `RLIMIT_MEMLOCK` as long as the pool or one of its buffers
/// lives; the last of them frees it, when the kernel is done with the last operation on it. A pool and its buffers stay
/// on their thread, and may outlive the runtime; in another runtime they are buffers as those of the heap.
///
/// ```no_run
/// use annulus::fs::{DirectFile, RegisteredPool};
///
/// annulus::run(async {
///     let pool = RegisteredPool::new(4096, 64)?;
///     let file = DirectFile::open("data").await?;
///     let buf = pool.get().unwrap_or_else(|| file.buffer(4096));
///     let (count, buf) = file.read_at(buf, 0).await?;
///     assert!(buf.is_registered() && count <= 4096);
///     drop(buf);
///     assert_eq!(pool.available(), 64);
///     Ok::<_, std::io::Error>(())
/// })
/// # .unwrap();
/// ```
#[derive(Clone)]
pub struct RegisteredPool {
    memory: Rc<Registration>,
}

impl RegisteredPool {
    /// Maps and registers `count` buffers of `size` bytes, rounded up to a multiple of 4096; each begins at such a
    /// multiple, and all together have at most 1 GiB.
    ///
    /// A system call that takes as long as the kernel needs to provide all the pages, 0.2 to 1 us each: make pools when
    /// the service starts.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if that is no byte, or more than 1 GiB; `OutOfMemory` where the user may not lock as much memory,
    /// with the bytes needed; one that says so if the places that
    /// [`Builder::registered_pools`](crate::Builder::registered_pools) gives are taken, or the runtime has shut down.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub fn new(size: usize, count: u32) -> io::Result<Self> {
        let driver = driver::current::expect("RegisteredPool::new");
        let table = Rc::clone(driver.registered()?);
        Ok(Self { memory: Registration::new(table, size, count)? })
    }

    /// An empty buffer that nobody has; `None` if all are in use. Its drop gives it back.
    #[must_use]
    pub fn get(&self) -> Option<AlignedBuf> {
        self.memory.take()
    }

    /// How many buffers nobody has.
    #[must_use]
    pub fn available(&self) -> usize {
        self.memory.spare()
    }

    /// The size of each buffer, in bytes.
    #[must_use]
    pub fn buffer_size(&self) -> usize {
        self.memory.size()
    }
}

impl fmt::Debug for RegisteredPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("RegisteredPool");
        debug.field("buffer_size", &self.buffer_size()).field("available", &self.available());
        debug.finish_non_exhaustive()
    }
}
