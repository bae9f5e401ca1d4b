//! `select!`: the first of a few futures in one task, and what to do with it.
//!
//! The macro builds a list of branches, each a future and a test of its pattern; what polls the list is code of this
//! file. tokio's works here too, but comes with tokio and with a procedural macro.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

/// Awaits several futures at once, in one task, until one is ready, and runs the code of that branch.
///
/// The form is that of `tokio::select!`: `<pattern> = <future> [, if <condition>] => <code>`, and at the end, at will,
/// `else => <code>`. The conditions are asked first, and a branch whose condition is false is not polled. An output
/// that does not match its pattern switches its branch off; when all are off, `else` runs. The futures are dropped
/// before the code runs, which may use what they borrowed, and `?`, `break` and `.await`.
///
/// Which branch is asked first is drawn anew at every poll, so none starves another; after `biased;` it is always the
/// first written.
///
/// ```
/// use annulus::time::{Duration, sleep};
///
/// annulus::run(async {
///     let mut numbers = vec![1, 2];
///     let text = annulus::select! {
///         _ = sleep(Duration::from_secs(3600)) => String::from("late"),
///         Some(number) = async { numbers.pop() } => {
///             numbers.clear();
///             format!("got {number}")
///         }
///     };
///     assert_eq!(text, "got 2");
///     Ok::<_, std::io::Error>(())
/// })
/// # .unwrap();
/// ```
///
/// What a branch that loses had done is dropped with its future: the table of [`net`](crate::net) and the page of each
/// future say what that is; for what arrives on a socket it is nothing.
///
/// `tokio::select!` and `futures::select!` work here as well. This one differs from tokio's in that `mut` and `ref`
/// may not stand inside a pattern; `mut name` alone may.
///
/// # Panics
///
/// When all branches are off and there is no `else`.
#[macro_export]
macro_rules! select {
    // A pattern, ...
    (@pattern $start:tt $branches:tt) => {
        $crate::select!(@emit $start $branches [
            panic!("all branches of select! are off and there is no else branch")
        ])
    };
    (@pattern $start:tt $branches:tt else => $code:expr $(,)?) => {
        $crate::select!(@emit $start $branches [$code])
    };
    (@pattern $start:tt $branches:tt mut $name:ident = $($rest:tt)*) => {
        $crate::select!(@future $start $branches [[mut $name] [_]] $($rest)*)
    };
    (@pattern $start:tt $branches:tt $pattern:pat = $($rest:tt)*) => {
        $crate::select!(@future $start $branches [[$pattern] [$pattern]] $($rest)*)
    };
    // ... a future with its condition, ...
    (@future $start:tt $branches:tt $pattern:tt $future:expr, if $on:expr => $($rest:tt)*) => {
        $crate::select!(@code $start $branches $pattern [$future] [$on] $($rest)*)
    };
    (@future $start:tt $branches:tt $pattern:tt $future:expr => $($rest:tt)*) => {
        $crate::select!(@code $start $branches $pattern [$future] [true] $($rest)*)
    };
    // ... and the code.
    (@code $start:tt [$($branch:tt)*] $pattern:tt $future:tt $on:tt $code:block, $($rest:tt)*) => {
        $crate::select!(@pattern $start [$($branch)* {$pattern $future $on [$code]}] $($rest)*)
    };
    (@code $start:tt [$($branch:tt)*] $pattern:tt $future:tt $on:tt $code:block $($rest:tt)*) => {
        $crate::select!(@pattern $start [$($branch)* {$pattern $future $on [$code]}] $($rest)*)
    };
    (@code $start:tt [$($branch:tt)*] $pattern:tt $future:tt $on:tt $code:expr, $($rest:tt)*) => {
        $crate::select!(@pattern $start [$($branch)* {$pattern $future $on [$code]}] $($rest)*)
    };
    (@code $start:tt [$($branch:tt)*] $pattern:tt $future:tt $on:tt $code:expr) => {
        $crate::select!(@pattern $start [$($branch)* {$pattern $future $on [$code]}])
    };
    (@emit [$start:ident] [$($branch:tt)+] [$otherwise:expr]) => {{
        let output = {
            let on = $crate::select!(@conditions $($branch)+);
            let branches = ::std::pin::pin!($crate::select!(@list [on] $($branch)+));
            $crate::__macros::select(branches, $crate::__macros::Start::$start).await
        };
        match output {
            ::std::option::Option::Some(output) => $crate::select!(@match output $($branch)+),
            ::std::option::Option::None => $otherwise,
        }
    }};
    (@conditions) => { () };
    (@conditions {$pattern:tt $future:tt [$on:expr] $code:tt} $($rest:tt)*) => {
        ($on, $crate::select!(@conditions $($rest)*))
    };
    (@list $on:tt) => { $crate::__macros::NoBranch };
    (@list [$($on:tt)*] {[$bind:tt [$test:pat]] [$future:expr] $c:tt $code:tt} $($rest:tt)*) => {
        $crate::__macros::Branch::new(
            $($on)*.0,
            $future,
            |output| {
                #[allow(unused_variables, unreachable_patterns, reason = "whatever the pattern")]
                let matches = match output {
                    $test => true,
                    _ => false,
                };
                matches
            },
            $crate::select!(@list [$($on)*.1] $($rest)*),
        )
    };
    (@match $output:ident) => { match $output {} };
    (@match $output:ident {[[$($bind:tt)+] $test:tt] $future:tt $on:tt [$code:expr]} $($rest:tt)*) => {
        match $output {
            $crate::__macros::Either::This($($bind)+) => $code,
            #[allow(unreachable_patterns, reason = "most patterns match always")]
            $crate::__macros::Either::This(_) => unreachable!("the branch tests its pattern"),
            $crate::__macros::Either::Other(output) => $crate::select!(@match output $($rest)*),
        }
    };
    (biased; $($rest:tt)+) => { $crate::select!(@pattern [First] [] $($rest)+) };
    ($($rest:tt)+) => { $crate::select!(@pattern [Random] [] $($rest)+) };
}

/// Where a poll begins.
#[derive(Clone, Copy, Debug)]
pub enum Start {
    /// With the branch written first.
    First,
    /// With any.
    Random,
}

/// Waits for the first branch to be ready; `None` if all are off.
pub async fn select<B: Branches>(mut branches: Pin<&mut B>, start: Start) -> Option<B::Output> {
    poll_fn(|cx| {
        let first = match start {
            Start::First => 0,
            Start::Random => random(B::COUNT),
        };
        let mut waits = false;
        let mut index = first;
        for _ in 0..B::COUNT {
            match branches.as_mut().poll(index, cx) {
                Step::Ready(output) => return Poll::Ready(Some(output)),
                Step::Pending => waits = true,
                Step::Off => {}
            }
            index = if index + 1 == B::COUNT { 0 } else { index + 1 };
        }
        if waits { Poll::Pending } else { Poll::Ready(None) }
    })
    .await
}

/// What a poll of a branch gave.
#[derive(Debug)]
pub enum Step<T> {
    /// An output that matches the pattern.
    Ready(T),
    /// The future waits.
    Pending,
    /// The branch is off.
    Off,
}

/// The output of this branch, or of one further down the list.
#[derive(Debug)]
pub enum Either<A, B> {
    /// Of this one.
    This(A),
    /// Of another.
    Other(B),
}

/// A list of branches.
pub trait Branches {
    /// The output of one of them, wrapped as deep as it lies.
    type Output;
    /// How many there are.
    const COUNT: usize;

    /// Polls the branch at `index`.
    fn poll(self: Pin<&mut Self>, index: usize, cx: &mut Context<'_>) -> Step<Self::Output>;
}

/// The end of the list.
#[derive(Debug)]
pub struct NoBranch;

impl Branches for NoBranch {
    type Output = Infallible;
    const COUNT: usize = 0;

    fn poll(self: Pin<&mut Self>, _: usize, _: &mut Context<'_>) -> Step<Infallible> {
        Step::Off
    }
}

pin_project! {
    /// A branch, and the list of those after it.
    #[derive(Debug)]
    pub struct Branch<F, M, R> {
        // `None` when the branch is off.
        #[pin]
        future: Option<F>,
        matches: M,
        #[pin]
        rest: R,
    }
}

impl<F: Future, M: Fn(&F::Output) -> bool, R: Branches> Branch<F, M, R> {
    /// A branch before `rest`.
    pub fn new(
        on: bool,
        future: impl IntoFuture<IntoFuture = F, Output = F::Output>,
        matches: M,
        rest: R,
    ) -> Self {
        Self { future: on.then(|| future.into_future()), matches, rest }
    }
}

impl<F: Future, M: Fn(&F::Output) -> bool, R: Branches> Branches for Branch<F, M, R> {
    type Output = Either<F::Output, R::Output>;
    const COUNT: usize = R::COUNT + 1;

    #[inline]
    fn poll(self: Pin<&mut Self>, index: usize, cx: &mut Context<'_>) -> Step<Self::Output> {
        let mut this = self.project();
        if index > 0 {
            return match this.rest.poll(index - 1, cx) {
                Step::Ready(output) => Step::Ready(Either::Other(output)),
                Step::Pending => Step::Pending,
                Step::Off => Step::Off,
            };
        }
        let Some(future) = this.future.as_mut().as_pin_mut() else { return Step::Off };
        match future.poll(cx) {
            Poll::Ready(output) if (this.matches)(&output) => Step::Ready(Either::This(output)),
            Poll::Ready(_) => {
                this.future.set(None);
                Step::Off
            }
            Poll::Pending => Step::Pending,
        }
    }
}

/// A number below `count` that no pattern of polls can foresee; a linear congruence is enough for that.
fn random(count: usize) -> usize {
    thread_local! {
        static SEED: Cell<u64> = const { Cell::new(0x9e37_79b9_7f4a_7c15) };
    }
    let seed = SEED.get().wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
    SEED.set(seed);
    ((seed >> 33) as usize) % count
}
