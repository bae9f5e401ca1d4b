//! The scene of a child that is waited for.

use std::cell::RefCell;
use std::rc::Rc;

use annulus::process::{Command, Stdio};

use super::{Fate, Scene};
use crate::processes::is_there;
use crate::support::settled::until;

/// A wait for a child, which ends when its input does.
pub(super) fn wait(wins: bool) -> Scene {
    let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().expect("it is there");
    let id = child.id().expect("it runs");
    let input = Rc::new(RefCell::new(child.stdin.take()));
    let provoking = Rc::clone(&input);
    Scene::plain(Box::pin(async move { assert!(child.wait().await.expect("it ends").success()) }))
        .provoked(wins, move || drop(provoking.take()))
        .then(move |fate| async move {
            drop(input.take());
            // A leaked handle keeps the child as it is.
            until(|| fate == Fate::Leaked || !is_there(id)).await;
        })
}
