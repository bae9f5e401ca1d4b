//! A thread of the pool: named, deaf to signals, on the processors of the pool's maker.

use std::io;
use std::sync::Arc;

use super::crew::Crew;

/// Makes one.
#[cfg(not(loom))]
pub(super) fn start(crew: &Arc<Crew>, number: u64) -> io::Result<()> {
    use crate::sys::thread::SignalsBlocked;

    let settings = &crew.settings;
    let mut builder = std::thread::Builder::new().name(format!("{}-{number}", settings.name));
    if let Some(size) = settings.stack_size {
        builder = builder.stack_size(size);
    }
    let crew = Arc::clone(crew);
    // Inherited, so that there is no moment at which the new thread takes a signal.
    let _blocked = SignalsBlocked::new();
    builder.spawn(move || {
        // The thread of a pinned core made it, and has handed its pinning on.
        if let Some(affinity) = &crew.affinity {
            affinity.apply();
        }
        crew.work();
    })?;
    Ok(())
}

#[cfg(loom)]
#[expect(clippy::unnecessary_wraps, reason = "as the real one")]
pub(super) fn start(crew: &Arc<Crew>, _: u64) -> io::Result<()> {
    let crew = Arc::clone(crew);
    loom::thread::spawn(move || crew.work());
    Ok(())
}
