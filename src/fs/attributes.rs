//! What is changed about a file beside its bytes: its length, permissions and times.
//!
//! The ring has no operation for these, or only that of newer kernels, and the calls wait for the journal of the file
//! system: they go to the pool of blocking threads, with a descriptor of their own.

use std::fs::{FileTimes, Permissions};
use std::io;
use std::time::SystemTime;

use super::File;
use super::operating::settle;
use crate::blocking;

impl File {
    /// Cuts the file to `len` bytes, or lengthens it by zeroes that take up no space. It waits first for the writes
    /// whose futures were dropped.
    ///
    /// If the future is dropped, it may happen all the same, also after later operations, and an error is lost.
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
    /// If the future is dropped, it may happen all the same, and an error is lost.
    ///
    /// # Errors
    ///
    /// As `fchmod(2)`.
    pub async fn set_permissions(&self, permissions: Permissions) -> io::Result<()> {
        self.change("File::set_permissions", move |file| file.set_permissions(permissions)).await
    }

    /// Changes when the content was read and changed last, as far as `times` has them.
    ///
    /// If the future is dropped, it may happen all the same, and an error is lost.
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

    async fn change(
        &self,
        name: &str,
        change: impl FnOnce(std::fs::File) -> io::Result<()> + Send + 'static,
    ) -> io::Result<()> {
        let file = std::fs::File::from(self.file.duplicate()?);
        blocking::run(name, move || change(file)).await?
    }
}
