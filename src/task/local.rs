//! Task-local values: set for a future, seen in all it calls, and inherited by the tasks it spawns.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::ptr;
use std::rc::Rc;
use std::task::{Poll, ready};

use pin_project_lite::pin_project;

use super::context::{self, Context, Entered, Frame};

/// Declares task-local values, as `thread_local!` does thread-local ones, but without a first value.
///
/// ```
/// annulus::task_local! {
///     /// Who asks.
///     static USER: String;
///     static DEPTH: u32;
/// }
/// # annulus::run(async {
/// # DEPTH.scope(1, USER.scope("ann".into(), async { assert_eq!(DEPTH.get(), 1) })).await;
/// # Ok::<_, std::io::Error>(())
/// # }).unwrap();
/// ```
///
/// See [`LocalKey`].
#[macro_export]
macro_rules! task_local {
    ($($(#[$attribute:meta])* $visible:vis static $name:ident: $type:ty);* $(;)?) => {
        $(
            $(#[$attribute])*
            $visible static $name: $crate::task::LocalKey<$type> = $crate::task::LocalKey::new();
        )*
    };
}

/// The name of a task-local value; declared by [`task_local!`](crate::task_local!).
///
/// A value is there while the future it was set for is polled or dropped, and in every task that was spawned
/// meanwhile, for as long as that lives. Such tasks inherit the value itself and not a copy, so what one changes in a
/// `Cell` the others see. What is set around [`block_on`](crate::Runtime::block_on) is seen by its future and what that
/// spawns. Inheriting is what tokio's do not do; the names are tokio's.
///
/// ```
/// annulus::task_local! {
///     static REQUEST: u64;
/// }
///
/// annulus::run(async {
///     let served = REQUEST.scope(7, async {
///         let child = annulus::spawn(async { REQUEST.get() });
///         (REQUEST.get(), child.await)
///     });
///     let (own, inherited) = served.await;
///     assert_eq!((own, inherited?), (7, 7));
///     assert!(REQUEST.try_get().is_err());
///     Ok::<_, std::io::Error>(())
/// })
/// # .unwrap();
/// ```
///
/// Tasks outside every scope pay nothing for this but a test in `spawn`. One that inherits costs an allocation more. To
/// set a value costs an allocation, to read it a walk through the values set since.
pub struct LocalKey<T: 'static> {
    /// Keeps two keys from having one address.
    _size: u8,
    value: PhantomData<fn() -> T>,
}

impl<T: 'static> LocalKey<T> {
    /// A new key. It is its address, so it must be a `static`, and not a `const`.
    #[must_use]
    #[doc(hidden)]
    pub const fn new() -> Self {
        Self { _size: 0, value: PhantomData }
    }

    /// Sets the value for all that `future` does.
    ///
    /// What else is in scope is decided by the first poll. Dropping the future drops `future`, and then the value
    /// unless a task inherited it.
    pub fn scope<F: Future>(&'static self, value: T, future: F) -> TaskLocalFuture<T, F> {
        let state = State::New { key: self.address(), value };
        TaskLocalFuture { state, future: Some(future) }
    }

    /// Sets the value for all that `f` does, and for the tasks it spawns.
    pub fn sync_scope<R>(&'static self, value: T, f: impl FnOnce() -> R) -> R {
        let mut context = State::New { key: self.address(), value }.enter();
        let _entered = Entered::new(&mut context);
        f()
    }

    /// Calls `f` with the value.
    ///
    /// # Panics
    ///
    /// Where the value is not set: see [`try_with`](Self::try_with).
    #[track_caller]
    pub fn with<R>(&'static self, f: impl FnOnce(&T) -> R) -> R {
        match self.try_with(f) {
            Ok(output) => output,
            Err(error) => panic!(
                "{error}: call this within the `scope` of the key, or in a task spawned there"
            ),
        }
    }

    /// Calls `f` with the value.
    ///
    /// # Errors
    ///
    /// [`AccessError`] where the value is not set.
    pub fn try_with<R>(&'static self, f: impl FnOnce(&T) -> R) -> Result<R, AccessError> {
        let mut context = context::current();
        while let Some(frame) = context {
            if frame.key == self.address()
                && let Some(value) = frame.value.downcast_ref()
            {
                return Ok(f(value));
            }
            context = frame.outer.clone();
        }
        Err(AccessError(()))
    }

    fn address(&'static self) -> usize {
        ptr::from_ref(self).addr()
    }
}

impl<T: Clone + 'static> LocalKey<T> {
    /// A clone of the value.
    ///
    /// # Panics
    ///
    /// Where the value is not set.
    #[track_caller]
    pub fn get(&'static self) -> T {
        self.with(T::clone)
    }

    /// A clone of the value.
    ///
    /// # Errors
    ///
    /// [`AccessError`] where the value is not set.
    pub fn try_get(&'static self) -> Result<T, AccessError> {
        self.try_with(T::clone)
    }
}

/// A task-local value was asked for where none is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessError(());

impl fmt::Display for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the task-local value is not set")
    }
}

impl Error for AccessError {}

pin_project! {
    /// A future with a task-local value; made by [`LocalKey::scope`].
    #[must_use = "futures do nothing unless polled"]
    pub struct TaskLocalFuture<T: 'static, F> {
        state: State<T>,
        // `None` once it is done.
        #[pin]
        future: Option<F>,
    }

    impl<T: 'static, F> PinnedDrop for TaskLocalFuture<T, F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if this.future.is_some() {
                let _entered = Entered::new(this.state.context());
                this.future.set(None);
            }
        }
    }
}

/// A value that is set by the first poll.
enum State<T> {
    New { key: usize, value: T },
    Set(Context),
}

impl<T: 'static> State<T> {
    /// The context of the current one and the value.
    fn enter(self) -> Context {
        match self {
            Self::New { key, value } => {
                Some(Rc::new(Frame { key, outer: context::current(), value }) as Rc<Frame<dyn Any>>)
            }
            Self::Set(context) => context,
        }
    }

    fn context(&mut self) -> &mut Context {
        if let Self::New { .. } = self {
            *self = Self::Set(std::mem::replace(self, Self::Set(None)).enter());
        }
        match self {
            Self::Set(context) => context,
            Self::New { .. } => unreachable!("it was set above"),
        }
    }
}

impl<T: 'static, F: Future> Future for TaskLocalFuture<T, F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        let _entered = Entered::new(this.state.context());
        let future = this
            .future
            .as_mut()
            .as_pin_mut()
            .expect("a TaskLocalFuture was polled after it was done");
        let output = ready!(future.poll(cx));
        this.future.set(None);
        Poll::Ready(output)
    }
}

impl<T, F: fmt::Debug> fmt::Debug for TaskLocalFuture<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskLocalFuture").field("future", &self.future).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for LocalKey<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKey").finish_non_exhaustive()
    }
}
