//! SEND of a message, to an address and to a peer.

use std::net::UdpSocket as StdSocket;

use annulus::net::UdpSocket;

use crate::support::settled::{PATIENCE, assert_content, content, run};

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
            let (count, message) = near.send_owned_to(message, address).await.unwrap();
            assert_eq!((count, message.as_ptr()), (size, pointer));
            let (count, peer) = far.recv_from(&mut buf).unwrap();
            assert_eq!((count, peer), (size, near.local_addr().unwrap()));
            assert_content(size, 0, &buf[..count]);
        }
        near.connect(address).await.unwrap();
        assert_eq!(near.send_owned(vec![7; 9]).await.unwrap().0, 9);
        assert_eq!(far.recv(&mut buf).unwrap(), 9);
    });
}

#[test]
fn an_address_of_the_wrong_family_is_refused_with_the_buffer() {
    run(async || {
        let near = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let refused = near.send_owned_to(vec![5; 5], "[::1]:9".parse().unwrap()).await;
        let error = refused.unwrap_err();
        assert_eq!(error.buf, [5; 5]);
        assert_eq!(error.error.raw_os_error(), Some(libc::EAFNOSUPPORT));
    });
}
