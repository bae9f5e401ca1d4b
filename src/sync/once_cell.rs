//! A value that the first who needs it makes, while the others wait.

use std::cell::OnceCell as StdOnceCell;
use std::fmt;

use super::error::TryAcquireError;
use super::semaphore::Semaphore;

/// A value that is set once, by an async function if need be.
///
/// ```
/// use annulus::sync::OnceCell;
///
/// annulus::run(async {
///     let address = OnceCell::new();
///     let made = address.get_or_init(async || "127.0.0.1:80".to_owned()).await;
///     let found = address.get_or_init(async || unreachable!("it is set")).await;
///     assert_eq!(made, found);
///     Ok::<_, std::io::Error>(())
/// })
/// # .unwrap();
/// ```
///
/// If the task that makes the value is cancelled, panics or fails, the next one who waits makes it.
///
/// It belongs to one thread:
///
/// ```compile_fail,E0277
/// fn is_sync<T: Sync>() {}
/// is_sync::<annulus::sync::OnceCell<u8>>();
/// ```
pub struct OnceCell<T> {
    value: StdOnceCell<T>,
    /// Who holds the one permit makes the value; closed once it is there.
    making: Semaphore,
}

impl<T> OnceCell<T> {
    /// An empty cell.
    pub const fn new() -> Self {
        Self { value: StdOnceCell::new(), making: Semaphore::new(1) }
    }

    /// A cell that is set if there is a `value`.
    pub fn new_with(value: Option<T>) -> Self {
        value.map_or_else(Self::new, Self::from)
    }

    /// The value, if it is set.
    pub fn get(&self) -> Option<&T> {
        self.value.get()
    }

    /// The value, if it is set.
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.value.get_mut()
    }

    /// Whether the value is set.
    pub fn initialized(&self) -> bool {
        self.get().is_some()
    }

    /// The value, made by `init` if it is not set.
    ///
    /// One caller at a time runs its `init`, the others wait; called from within `init` it waits for ever. Dropping
    /// the future drops what `init` was doing, and the next caller runs its own.
    pub async fn get_or_init(&self, init: impl AsyncFnOnce() -> T) -> &T {
        let made = self.get_or_try_init(async || Ok::<T, std::convert::Infallible>(init().await));
        match made.await {
            Ok(value) => value,
            Err(never) => match never {},
        }
    }

    /// The value, made by `init` if it is not set; otherwise as [`get_or_init`](Self::get_or_init).
    ///
    /// # Errors
    ///
    /// That of `init`. The cell stays empty, and the next caller runs its own.
    pub async fn get_or_try_init<E>(
        &self,
        init: impl AsyncFnOnce() -> Result<T, E>,
    ) -> Result<&T, E> {
        if let Some(value) = self.get() {
            return Ok(value);
        }
        // An error says that it was closed meanwhile: the value is there.
        if let Ok(_permit) = self.making.acquire().await {
            let value = init().await?;
            let set = self.value.set(value);
            debug_assert!(set.is_ok(), "who holds the permit is alone");
            self.making.close();
        }
        Ok(self.get().expect("the cell is closed once it is set"))
    }

    /// Sets the value.
    ///
    /// # Errors
    ///
    /// If it is set or being made; the error gives `value` back.
    pub fn set(&self, value: T) -> Result<(), SetError<T>> {
        match self.making.try_acquire() {
            Ok(_permit) => {
                let set = self.value.set(value);
                self.making.close();
                set.map_err(SetError::AlreadyInitializedError)
            }
            Err(TryAcquireError::Closed) => Err(SetError::AlreadyInitializedError(value)),
            Err(TryAcquireError::NoPermits) => Err(SetError::InitializingError(value)),
        }
    }

    /// The value, if it was set.
    pub fn into_inner(self) -> Option<T> {
        self.value.into_inner()
    }

    /// Takes the value out, which leaves the cell empty.
    pub fn take(&mut self) -> Option<T> {
        std::mem::take(self).into_inner()
    }
}

impl<T> From<T> for OnceCell<T> {
    fn from(value: T) -> Self {
        let cell = Self { value: StdOnceCell::from(value), making: Semaphore::new(1) };
        cell.making.close();
        cell
    }
}

impl<T> Default for OnceCell<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for OnceCell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnceCell").field("value", &self.get()).finish()
    }
}

/// Why a [`OnceCell`] could not be set; holds the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetError<T> {
    /// It is set.
    AlreadyInitializedError(T),
    /// Somebody is making the value.
    InitializingError(T),
}

impl<T> fmt::Display for SetError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AlreadyInitializedError(_) => "the cell is set",
            Self::InitializingError(_) => "somebody is making the value of the cell",
        })
    }
}

impl<T: fmt::Debug> std::error::Error for SetError<T> {}
