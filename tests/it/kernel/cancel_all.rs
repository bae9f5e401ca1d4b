//! ASYNC_CANCEL of every operation on a socket: sends that would never end do, when their socket's time is over.

use std::time::Duration;

use annulus::Builder;
use annulus::net::UnixDatagram;
use annulus::runtime::metrics;

use crate::support::settled::{Drops, poll_once, run_with, turn, until, until_operations};

#[test]
fn sends_to_a_full_peer_end_with_the_socket_and_free_their_buffers() {
    for time in [0, 20] {
        run_with(Builder::new().linger(Duration::from_millis(time)), async || {
            let (near, far) = UnixDatagram::pair().unwrap();
            while near.try_send(&[0; 100]).is_ok() {}
            let drops = Drops::default();
            let mut sends: Vec<_> =
                (0..5).map(|_| Box::pin(near.send_owned(drops.buffer(vec![1; 10])))).collect();
            for send in &mut sends {
                assert!(poll_once(send).await.is_pending());
            }
            turn().await;
            turn().await;
            drop(sends);
            assert_eq!(drops.count(), 0, "the kernel still reads them");
            drop(near);
            until(|| drops.count() == 5 && metrics().lingering_streams == 0).await;
            until_operations(0).await;
            assert_eq!(far.recv(&mut [0; 200]).await.unwrap(), 100, "what had left is there");
        });
    }
}
