//! NOP, which takes the place of an entry that was dropped before the kernel saw it.

use annulus::fs::File;
use annulus::runtime::metrics;

use crate::support::files::nameless_file;
use crate::support::settled::{Drops, poll_and_drop, run, turn};

#[test]
fn a_write_that_was_dropped_in_time_never_happens() {
    run(async || {
        let plain = nameless_file();
        let file = File::from_std(plain.try_clone().unwrap());
        let drops = Drops::default();
        let before = metrics().live_operations;
        for _ in 0..300 {
            let write = file.write_at(drops.buffer(vec![1; 100]), 0);
            assert!(poll_and_drop(write).await.is_none());
        }
        assert_eq!(drops.count(), 300, "the buffers are given up at once");
        assert_eq!(metrics().live_operations, before);
        turn().await;
        let (count, _) = file.write_at(b"x".as_slice(), 0).await.unwrap();
        assert_eq!(count, 1);
        assert_eq!(plain.metadata().unwrap().len(), 1);
    });
}
