//! SEND of a message, to an address and to a peer.

use std::net::{SocketAddr, UdpSocket as StdSocket};

use annulus::buf::BufResult;
use annulus::net::{UdpSocket, UnixDatagram};

use crate::support::settled::{
    PATIENCE, assert_content, content, poll_once, run, through_the_ring, turn,
};

async fn send(near: &UdpSocket, buf: Vec<u8>, to: SocketAddr) -> BufResult<usize, Vec<u8>> {
    through_the_ring(near, near.send_owned_to(buf, to)).await
}

#[test]
fn a_message_of_any_size_leaves_whole_from_where_it_lies() {
    run(async || {
        let far = StdSocket::bind("127.0.0.1:0").unwrap();
        far.set_read_timeout(Some(PATIENCE)).unwrap();
        let near = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = far.local_addr().unwrap();
        let mut buf = vec![0; 65_536];
        for size in [0, 1, 1000, 65_507] {
            let message = content(size, 0, size);
            let pointer = message.as_ptr();
            let (count, message) = send(&near, message, address).await.unwrap();
            assert_eq!((count, message.as_ptr()), (size, pointer));
            let (count, peer) = far.recv_from(&mut buf).unwrap();
            assert_eq!((count, peer), (size, near.local_addr().unwrap()));
            assert_content(size, 0, &buf[..count]);
        }
    });
}

#[test]
fn an_address_of_the_wrong_family_is_refused_with_the_buffer() {
    run(async || {
        let near = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let refused = send(&near, vec![5; 5], "[::1]:9".parse().unwrap()).await;
        let error = refused.unwrap_err();
        assert_eq!(error.buf, [5; 5]);
        assert_eq!(error.error.raw_os_error(), Some(libc::EAFNOSUPPORT));
    });
}

#[test]
fn a_message_for_which_there_is_no_room_waits_in_the_kernel() {
    run(async || {
        let (near, far) = UnixDatagram::pair().unwrap();
        while near.try_send(b"filling").is_ok() {}
        let mut send = Box::pin(near.send_owned(content(0, 0, 300)));
        assert!(poll_once(&mut send).await.is_pending());
        turn().await;
        let message = loop {
            let message = far.recv_message().await.unwrap();
            if *message != *b"filling" {
                break message;
            }
        };
        assert_eq!(message.len(), 300);
        assert_content(0, 0, &message);
        assert_eq!(send.await.unwrap().0, 300);
    });
}
