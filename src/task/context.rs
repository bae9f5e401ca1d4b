//! The task-local values in scope: a chain of frames, shared by the tasks that were spawned within them.
//!
//! A task outside every scope has no context, and neither spawning nor running it does more than ask. One that is
//! spawned within a scope is boxed together with the chain, which is made current around each of its polls.

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::rc::Rc;
use std::task;

use pin_project_lite::pin_project;

/// One value, and those around it.
pub(super) struct Frame<T: ?Sized> {
    /// Whose value it is: the address of its key.
    pub(super) key: usize,
    pub(super) outer: Context,
    pub(super) value: T,
}

/// What is in scope, innermost first.
pub(super) type Context = Option<Rc<Frame<dyn Any>>>;

thread_local! {
    /// Without a destructor, so that those of other thread locals may spawn. The guards put back what was before.
    static CURRENT: Cell<ManuallyDrop<Context>> = const { Cell::new(ManuallyDrop::new(None)) };
}

impl<T: ?Sized> Drop for Frame<T> {
    /// A loop, because tasks that spawn tasks, each in a scope of its own, make a long chain.
    fn drop(&mut self) {
        let mut outer = self.outer.take();
        while let Some(mut frame) = outer {
            outer = Rc::get_mut(&mut frame).and_then(|frame| frame.outer.take());
        }
    }
}

/// What is in scope now.
#[inline]
pub(super) fn current() -> Context {
    let current = CURRENT.replace(ManuallyDrop::new(None));
    let copy = (*current).clone();
    CURRENT.set(current);
    copy
}

/// Makes a context the current one until the guard is dropped, which puts back what was before.
pub(super) struct Entered<'a> {
    /// The other of the two: what was current while this lives, the caller's own before and after.
    other: &'a mut Context,
}

impl<'a> Entered<'a> {
    #[inline]
    pub(super) fn new(context: &'a mut Context) -> Self {
        swap(context);
        Self { other: context }
    }
}

impl Drop for Entered<'_> {
    #[inline]
    fn drop(&mut self) {
        swap(self.other);
    }
}

#[inline]
fn swap(context: &mut Context) {
    let current = CURRENT.replace(ManuallyDrop::new(context.take()));
    *context = ManuallyDrop::into_inner(current);
}

/// Nothing is in scope while this lives: for a runtime, whose tasks have scopes of their own.
pub(crate) struct OutOfScope(Context);

impl OutOfScope {
    pub(crate) fn new() -> Self {
        let mut context = None;
        swap(&mut context);
        Self(context)
    }
}

impl Drop for OutOfScope {
    fn drop(&mut self) {
        swap(&mut self.0);
    }
}

impl fmt::Debug for OutOfScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OutOfScope")
    }
}

pin_project! {
    /// A future with what was in scope where it was made.
    pub(crate) struct Within<F> {
        context: Context,
        // `None` only while it is dropped.
        #[pin]
        future: Option<F>,
    }

    impl<F> PinnedDrop for Within<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let _entered = Entered::new(this.context);
            this.future.set(None);
        }
    }
}

impl<F> Within<F> {
    /// `future`, within what is in scope now; as it was, if that is nothing.
    pub(crate) fn current(future: F) -> Result<Self, F> {
        match current() {
            None => Err(future),
            context => Ok(Self { context, future: Some(future) }),
        }
    }
}

/// The future of a task that was spawned within a scope. Boxed, so that only one type of task is made for each output,
/// and none for each future, that may never meet a scope.
pub(super) type Inheriting<T> = Within<Pin<Box<dyn Future<Output = T>>>>;

impl<T> Inheriting<T> {
    pub(super) fn new(context: Context, future: impl Future<Output = T> + 'static) -> Self {
        Self { context, future: Some(Box::pin(future)) }
    }
}

impl<F: Future> Future for Within<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> task::Poll<F::Output> {
        let this = self.project();
        let _entered = Entered::new(this.context);
        this.future.as_pin_mut().expect("it is not dropped yet").poll(cx)
    }
}
