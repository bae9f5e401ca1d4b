//! SENDMSG of one message with control data.

use std::net::UdpSocket as StdSocket;

use annulus::net::UdpSocket;
use annulus::net::udp::{Ecn, Transmit};

use crate::support::settled::{PATIENCE, assert_content, content, joined, run};

#[test]
fn messages_leave_whole_with_and_without_control_data() {
    run(async || {
        let far = StdSocket::bind("127.0.0.1:0").unwrap();
        far.set_read_timeout(Some(PATIENCE)).unwrap();
        let near = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let plain = Transmit::to(far.local_addr().unwrap());
        let mut buf = vec![0; 65_536];
        for transmit in [plain, plain.ecn(Ecn::Ect1)] {
            for size in [0, 1, 5000] {
                let sent = near.send_message(content(1, 0, size), &transmit).await.unwrap();
                assert_eq!(sent, (size, content(1, 0, size)));
                assert_eq!(far.recv(&mut buf).unwrap(), size);
                assert_content(1, 0, &buf[..size]);
            }
        }
    });
}

#[test]
fn many_at_once_keep_what_is_theirs() {
    run(async || {
        let far = StdSocket::bind("127.0.0.1:0").unwrap();
        far.set_read_timeout(Some(PATIENCE)).unwrap();
        let near = std::rc::Rc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let transmit = Transmit::to(far.local_addr().unwrap()).ecn(Ecn::Ect0);
        let sends = (0..50_u8).map(|number| {
            let near = std::rc::Rc::clone(&near);
            annulus::spawn(async move {
                near.send_message(vec![number; 20], &transmit).await.unwrap();
            })
        });
        joined(sends.collect()).await;
        let mut seen: Vec<u8> = (0..50)
            .map(|_| {
                let mut buf = [0; 20];
                assert_eq!(far.recv(&mut buf).unwrap(), 20);
                assert_eq!(buf, [buf[0]; 20]);
                buf[0]
            })
            .collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..50).collect::<Vec<u8>>());
    });
}
