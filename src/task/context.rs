//! The task-local values in scope: a chain of frames, shared by the tasks that were spawned within them.
//!
//! A task outside every scope has no context, and neither spawning nor running it does more than ask. One that is
//! spawned within a scope is boxed together with the chain, which is made current around each of its polls.

use std::any::Any;
use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::rc::Rc;
use std::task;

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

/// A future of a task that was spawned within a scope.
pub(super) struct Inheriting<T> {
    context: Context,
    /// `None` only while it is dropped. Boxed, so that only one type of task is made for each output, and none for
    /// each future, that may never meet a scope.
    future: Option<Pin<Box<dyn Future<Output = T>>>>,
}

impl<T> Inheriting<T> {
    pub(super) fn new(context: Context, future: impl Future<Output = T> + 'static) -> Self {
        Self { context, future: Some(Box::pin(future)) }
    }
}

impl<T> Future for Inheriting<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> task::Poll<T> {
        let this = self.get_mut();
        let _entered = Entered::new(&mut this.context);
        this.future.as_mut().expect("it is not dropped yet").as_mut().poll(cx)
    }
}

impl<T> Drop for Inheriting<T> {
    fn drop(&mut self) {
        let _entered = Entered::new(&mut self.context);
        self.future = None;
    }
}
