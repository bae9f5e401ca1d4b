//! Trees of up to four tokens, of every shape, cancelled and dropped in every order, against a model of one line.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use super::stage::{orders, poll};
use crate::group::{CancellationToken, Cancelled};

#[derive(Default)]
struct Wakes(AtomicU32);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A token with somebody who waits for it.
struct Node {
    token: CancellationToken,
    cancelled: Cancelled,
    wakes: Arc<Wakes>,
}

impl Node {
    fn new(token: CancellationToken) -> Self {
        let (cancelled, wakes) = (token.cancelled(), Arc::default());
        let mut this = Self { token, cancelled, wakes };
        assert!(this.poll().is_pending() && this.poll().is_pending());
        this
    }

    fn poll(&mut self) -> Poll<()> {
        let waker = Waker::from(Arc::clone(&self.wakes));
        Pin::new(&mut self.cancelled).poll(&mut Context::from_waker(&waker))
    }

    fn wakes(&self) -> u32 {
        self.wakes.0.load(Ordering::Relaxed)
    }
}

/// Every way to choose parents: that of token `n` is one before it; token 0 has none.
fn shapes() -> Vec<[usize; 4]> {
    let mut shapes = Vec::new();
    for two in 0..2 {
        for three in 0..3 {
            shapes.push([0, 0, two, three]);
        }
    }
    shapes
}

fn tree(parents: &[usize; 4]) -> Vec<Node> {
    let mut nodes = vec![Node::new(CancellationToken::new())];
    for parent in &parents[1..] {
        let token = nodes[*parent].token.child_token();
        nodes.push(Node::new(token));
    }
    nodes
}

/// Whether `node` is `above`, or below it.
fn is_below(parents: &[usize; 4], mut node: usize, above: usize) -> bool {
    while node != above && node != 0 {
        node = parents[node];
    }
    node == above
}

#[test]
fn cancelling_reaches_what_is_below_and_nothing_else() {
    for parents in shapes() {
        for order in orders(4) {
            for cancels in 1..=4 {
                let mut nodes = tree(&parents);
                for step in 0..cancels {
                    nodes[order[step]].token.cancel();
                    for (index, node) in nodes.iter_mut().enumerate() {
                        let cancelled =
                            order[..=step].iter().any(|above| is_below(&parents, index, *above));
                        assert_eq!(node.token.is_cancelled(), cancelled);
                        assert_eq!(node.poll().is_ready(), cancelled);
                        assert_eq!(node.wakes(), u32::from(cancelled));
                    }
                }
            }
        }
    }
}

#[test]
fn dropping_in_any_order_forgets_the_token_and_cancels_nothing() {
    for parents in shapes() {
        for order in orders(4) {
            for drops in 0..=4 {
                let mut nodes: Vec<_> = tree(&parents).into_iter().map(Some).collect();
                let node = |index: &usize| *index;
                for index in order[..drops].iter().map(node) {
                    let Node { token, cancelled, wakes } = nodes[index].take().expect("there");
                    drop((token, cancelled));
                    assert_eq!(
                        (wakes.0.load(Ordering::Relaxed), Arc::strong_count(&wakes)),
                        (0, 1)
                    );
                }
                // What is left is one tree still: the root's cancellation goes through what was dropped.
                if let Some(root) = &nodes[0] {
                    root.token.cancel();
                    assert!(nodes.iter().flatten().all(|node| node.token.is_cancelled()));
                }
            }
        }
    }
}

#[test]
fn a_child_of_a_cancelled_token_is_cancelled() {
    let token = CancellationToken::new();
    token.cancel();
    token.cancel();
    assert!(token.child_token().is_cancelled());
    assert!(poll(&mut Box::pin(token.child_token().cancelled())).is_ready());
}

#[test]
fn a_chain_of_a_hundred_thousand_is_cancelled_and_dropped() {
    let root = CancellationToken::new();
    let mut last = root.clone();
    for _ in 0..100_000 {
        last = last.child_token();
    }
    root.cancel();
    assert!(last.is_cancelled());
    drop((root, last));
}

#[test]
fn a_guard_cancels_unless_it_is_disarmed() {
    let token = CancellationToken::new();
    let kept = token.clone().drop_guard().disarm();
    assert!(!kept.is_cancelled());
    drop(kept.drop_guard());
    assert!(token.is_cancelled());
}

#[test]
fn a_future_runs_until_it_is_ready_or_the_token_is_cancelled() {
    let token = CancellationToken::new();
    assert_eq!(poll(&mut Box::pin(token.run_until_cancelled(async { 3 }))), Poll::Ready(Some(3)));
    let mut pending = Box::pin(token.run_until_cancelled(std::future::pending::<()>()));
    assert!(poll(&mut pending).is_pending());
    let (both, polls) = (token.clone(), Rc::new(Cell::new(0)));
    let counted = Rc::clone(&polls);
    let mut both = Box::pin(token.run_until_cancelled(async move {
        counted.set(counted.get() + 1);
        both.cancel();
        4
    }));
    assert_eq!(poll(&mut both), Poll::Ready(Some(4)), "an output that is there is not lost");
    assert_eq!(poll(&mut pending), Poll::Ready(None));
    let unpolled = async { polls.set(9) };
    assert_eq!(poll(&mut Box::pin(token.run_until_cancelled(unpolled))), Poll::Ready(None));
    assert_eq!(polls.get(), 1);
}

/// Wakers that panic, and that cancel and drop what they are woken by, wake everybody else none the less.
#[test]
fn wakers_may_do_their_worst() {
    struct Bomb;
    impl Wake for Bomb {
        fn wake(self: Arc<Self>) {
            std::panic::resume_unwind(Box::new("boom"));
        }
    }
    let token = CancellationToken::new();
    let child = token.child_token();
    let mut bombed = child.cancelled();
    let bomb = Waker::from(Arc::new(Bomb));
    assert!(Pin::new(&mut bombed).poll(&mut Context::from_waker(&bomb)).is_pending());
    let nodes = [Node::new(token.clone()), Node::new(child.clone()), Node::new(child)];
    let cancelled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| token.cancel()));
    assert!(cancelled.is_err());
    assert!(nodes.iter().all(|node| node.wakes() == 1));
    drop(bombed);
}
