//! Tasks that sleep.

use std::time::Duration;

use super::Weighed;
use super::process::Memory;

const HOUR: Duration = Duration::from_secs(3600);
/// So many come first and are not counted: the first ones bring what all share.
const WARM: u64 = 64;

pub(super) fn annulus(count: u64) -> Result<Weighed, String> {
    let future = async || annulus::time::sleep(HOUR).await;
    let weighed = annulus::run(async {
        let spawn = || drop(annulus::spawn(future()));
        (0..WARM).for_each(|_| spawn());
        // Sleeps longer than a turn of the loop: by then each task was polled and waits.
        annulus::time::sleep(Duration::from_millis(100)).await;
        let before = Memory::now();
        (0..count).for_each(|_| spawn());
        annulus::time::sleep(Duration::from_millis(100)).await;
        Ok::<_, std::io::Error>(beyond(before, count, size_of_val(&future())))
    });
    weighed.map_err(|error| error.to_string())
}

pub(super) fn tokio(count: u64) -> Result<Weighed, String> {
    let future = async || tokio::time::sleep(HOUR).await;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let weighed = tokio::task::LocalSet::new().block_on(&runtime, async {
        let spawn = || drop(tokio::task::spawn_local(future()));
        (0..WARM).for_each(|_| spawn());
        tokio::time::sleep(Duration::from_millis(100)).await;
        let before = Memory::now();
        (0..count).for_each(|_| spawn());
        tokio::time::sleep(Duration::from_millis(100)).await;
        beyond(before, count, size_of_val(&future()))
    });
    Ok(weighed)
}

/// The growth of memory, less the future itself.
fn beyond(before: Memory, count: u64, future_bytes: usize) -> Weighed {
    let mut weighed = Memory::now().growth(before, count);
    weighed.iter_mut().for_each(|(_, bytes)| *bytes -= future_bytes as f64);
    weighed.push(("future_bytes", future_bytes as f64));
    weighed
}
