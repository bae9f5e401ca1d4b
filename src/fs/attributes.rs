//! What is changed about a file beside its bytes: its length, permissions and times.
//!
//! The ring has no operation for these, or only that of newer kernels, and the calls wait for the journal of the file
//! system: they go to the pool of blocking threads, with a descriptor of their own.

use std::fs::{FileTimes, Permissions};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::SystemTime;

use super::File;
use super::operating::settle;
use crate::blocking::{self, Wait};
use crate::op::open_file::OpenFile;

impl File {
    /// Cuts the file to `len` bytes, or lengthens it by zeroes that take up no space. It waits first for the writes
    /// whose futures were dropped.
    ///
    /// If the future is dropped, it happens all the same, unless it still waited for a place in the queue of the pool;
    /// the next sync, close or change of the length waits for it, and if it failed the next write, sync or close of
    /// this handle says so.
    ///
    /// # Errors
    ///
    /// That of a write whose future was dropped; otherwise as `ftruncate(2)`.
    pub async fn set_len(&self, len: u64) -> io::Result<()> {
        settle(&self.file).await?;
        self.change("File::set_len", move |file| file.set_len(len)).await
    }

    /// Changes the permissions.
    ///
    /// If the future is dropped: as for [`set_len`](Self::set_len).
    ///
    /// # Errors
    ///
    /// As `fchmod(2)`.
    pub async fn set_permissions(&self, permissions: Permissions) -> io::Result<()> {
        self.change("File::set_permissions", move |file| file.set_permissions(permissions)).await
    }

    /// Changes when the content was read and changed last, as far as `times` has them.
    ///
    /// If the future is dropped: as for [`set_len`](Self::set_len).
    ///
    /// # Errors
    ///
    /// As `futimens(2)`.
    pub async fn set_times(&self, times: FileTimes) -> io::Result<()> {
        self.change("File::set_times", move |file| file.set_times(times)).await
    }

    /// Changes when the content was changed last; see [`set_times`](Self::set_times).
    ///
    /// # Errors
    ///
    /// As for [`set_times`](Self::set_times).
    pub async fn set_modified(&self, time: SystemTime) -> io::Result<()> {
        self.set_times(FileTimes::new().set_modified(time)).await
    }

    /// Has a thread change something, with a descriptor of its own.
    pub(super) async fn change(
        &self,
        name: &str,
        change: impl FnOnce(std::fs::File) -> io::Result<()> + Send + 'static,
    ) -> io::Result<()> {
        let file = std::fs::File::from(self.file.duplicate()?);
        let wait = Some(Box::pin(blocking::run(name, move || change(file))));
        Changing { file: &self.file, wait }.await
    }
}

/// Waits for a change; dropped before its end, it leaves it to the file.
struct Changing<'a> {
    file: &'a OpenFile,
    /// `None` once it ended.
    wait: Option<Pin<Box<Wait<io::Result<()>>>>>,
}

impl Future for Changing<'_> {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let wait = self.wait.as_mut().expect("a change was polled after its end");
        let ended = ready!(wait.as_mut().poll(cx));
        self.wait = None;
        Poll::Ready(ended?)
    }
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        // One that has no place yet is taken back: it would hold up those behind it.
        if let Some(wait) = self.wait.take().filter(|wait| wait.is_queued()) {
            self.file.keep(Box::pin(async move { wait.await? }));
        }
    }
}
