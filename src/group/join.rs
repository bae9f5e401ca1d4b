//! `join!` and `try_join!`: a few futures in one task, all of them awaited at once.
//!
//! std has no such macro yet and tokio's comes with tokio. These are small because std has `pin!` and `poll_fn`.

use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

/// Awaits several futures at once, in one task, and gives their outputs as a tuple.
///
/// They may borrow, and need not be of one type. They start in turn, so that none can use up the task's budget every
/// time. `tokio::join!`, `futures::join!` and the adapters of `futures-concurrency` work here as well; this one needs
/// no further crate. For many futures, or to run them as tasks, see [`gather`](crate::task::gather).
///
/// ```
/// annulus::run(async {
///     let word = String::from("seven");
///     let (size, number) = annulus::join!(async { word.len() }, annulus::spawn(async { 7 }));
///     assert_eq!((size, number?), (5, 7));
///     Ok::<_, std::io::Error>(())
/// })
/// # .unwrap();
/// ```
///
/// Dropping the future that awaits drops them all.
#[macro_export]
macro_rules! join {
    (@slots [$($slot:ident)+]) => {{
        let mut turns = $crate::__macros::Turns::of([$($crate::__macros::count(&$slot)),+]);
        ::std::future::poll_fn(|cx| {
            let done = turns.all(|mut place| {
                $(
                    if place == 0 {
                        return $slot.as_mut().poll(cx);
                    }
                    place -= 1;
                )+
                unreachable!("there are {place} slots too few")
            });
            if !done {
                return ::std::task::Poll::Pending;
            }
            ::std::task::Poll::Ready(($($slot.as_mut().take(),)+))
        })
        .await
    }};
    (@slots [$($slot:ident)*] $future:expr, $($rest:tt)*) => {{
        let mut slot = ::std::pin::pin!($crate::__macros::JoinSlot::new($future));
        $crate::join!(@slots [$($slot)* slot] $($rest)*)
    }};
    ($($future:expr),+ $(,)?) => { $crate::join!(@slots [] $($future,)+) };
}

/// As [`join!`](crate::join!), of futures that give a `Result`: `Ok` with a tuple, or the first error.
///
/// With the error the other futures are dropped. Where several fail in one poll it is that of the one written first.
///
/// ```
/// annulus::run(async {
///     let good = annulus::try_join!(async { "6".parse::<u32>() }, async { "7".parse::<u32>() });
///     assert_eq!(good, Ok((6, 7)));
///     let bad = annulus::try_join!(std::future::pending(), async { "no".parse::<u32>() });
///     assert!(bad.map(|(_, _): ((), _)| ()).is_err());
///     Ok::<_, std::io::Error>(())
/// })
/// # .unwrap();
/// ```
#[macro_export]
macro_rules! try_join {
    (@slots [$($slot:ident)+]) => {{
        let mut turns = $crate::__macros::Turns::of([$($crate::__macros::count(&$slot)),+]);
        ::std::future::poll_fn(|cx| {
            let done = turns.all(|mut place| {
                $(
                    if place == 0 {
                        return $slot.as_mut().poll(cx);
                    }
                    place -= 1;
                )+
                unreachable!("there are {place} slots too few")
            });
            $(
                if let ::std::option::Option::Some(error) = $slot.as_mut().take_error() {
                    return ::std::task::Poll::Ready(::std::result::Result::Err(error));
                }
            )+
            if !done {
                return ::std::task::Poll::Pending;
            }
            ::std::task::Poll::Ready(::std::result::Result::Ok(($($slot.as_mut().take_ok(),)+)))
        })
        .await
    }};
    (@slots [$($slot:ident)*] $future:expr, $($rest:tt)*) => {{
        let mut slot = ::std::pin::pin!($crate::__macros::JoinSlot::new($future));
        $crate::try_join!(@slots [$($slot)* slot] $($rest)*)
    }};
    ($($future:expr),+ $(,)?) => { $crate::try_join!(@slots [] $($future,)+) };
}

/// Whose turn it is to be polled first: at each poll another one's.
#[derive(Debug)]
pub struct Turns<const COUNT: usize> {
    first: usize,
}

impl<const COUNT: usize> Turns<COUNT> {
    /// One for each of the units.
    pub fn of(_: [(); COUNT]) -> Self {
        Self { first: 0 }
    }

    /// Calls `done` with each place, and tells whether it was true for all.
    #[inline]
    pub fn all(&mut self, mut done: impl FnMut(usize) -> bool) -> bool {
        let mut all = true;
        let mut place = self.first;
        for _ in 0..COUNT {
            all &= done(place);
            place = if place + 1 == COUNT { 0 } else { place + 1 };
        }
        self.first = if self.first + 1 == COUNT { 0 } else { self.first + 1 };
        all
    }
}

/// A unit for each slot, to count them by.
pub fn count<F: Future>(_: &Pin<&mut JoinSlot<F>>) {}

pin_project! {
    /// A future, and then its output.
    #[derive(Debug)]
    pub struct JoinSlot<F: Future> {
        #[pin]
        future: Option<F>,
        output: Option<F::Output>,
    }
}

impl<F: Future> JoinSlot<F> {
    /// A slot of `future`.
    pub fn new(future: impl IntoFuture<IntoFuture = F>) -> Self {
        Self { future: Some(future.into_future()), output: None }
    }

    /// Polls the future unless it is done; whether it is now.
    #[inline]
    pub fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> bool {
        let mut this = self.project();
        let Some(future) = this.future.as_mut().as_pin_mut() else { return true };
        let Poll::Ready(output) = future.poll(cx) else { return false };
        *this.output = Some(output);
        this.future.set(None);
        true
    }

    /// The output of a slot that is done, once.
    #[inline]
    pub fn take(self: Pin<&mut Self>) -> F::Output {
        self.project().output.take().expect("a slot that is done gives its output once")
    }
}

impl<T, E, F: Future<Output = Result<T, E>>> JoinSlot<F> {
    /// The error of a slot that is done with one.
    pub fn take_error(self: Pin<&mut Self>) -> Option<E> {
        self.project().output.take_if(|output| output.is_err())?.err()
    }

    /// The output of a slot that is done without an error.
    pub fn take_ok(self: Pin<&mut Self>) -> T {
        let output = self.take().ok();
        output.expect("errors were taken before")
    }
}
