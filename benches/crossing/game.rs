//! A game of two sleeping cores that wake each other.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

/// Whose turn it is, of two players; each plays once a round.
pub(crate) struct Game {
    /// Turns that were played.
    turns: AtomicU64,
    wakers: [OnceLock<Waker>; 2],
}

impl Game {
    pub(crate) fn new() -> Self {
        Self { turns: AtomicU64::new(0), wakers: Default::default() }
    }

    /// Plays `rounds` with the other player's future, each waking the other.
    pub(crate) async fn play(&self, player: usize, rounds: u64) {
        std::future::poll_fn(|cx| {
            self.wakers[player].get_or_init(|| cx.waker().clone());
            self.poll_other(player, cx)
        })
        .await;
        let Some(other) = self.wakers[1 - player].get() else { return };
        for round in 0..rounds {
            let mine = round * 2 + player as u64;
            std::future::poll_fn(|_| match self.turns.load(Ordering::Acquire) >= mine {
                true => Poll::Ready(()),
                false => Poll::Pending,
            })
            .await;
            self.turns.store(mine + 1, Ordering::Release);
            other.wake_by_ref();
        }
    }

    /// Waits until the other player is there too.
    fn poll_other(&self, player: usize, cx: &Context<'_>) -> Poll<()> {
        if self.wakers[1 - player].get().is_some() {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
