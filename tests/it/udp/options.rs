//! Options: what is set is read back or felt, and what was asked for comes with each datagram.

use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket as StdSocket};
use std::time::{Duration, SystemTime};

use annulus::Builder;
use annulus::net::UdpSocket;
use annulus::net::udp::{Ecn, Transmit};
use annulus::runtime::Feature;

use crate::support::child::inherited_descriptors;
use crate::support::settled::{assert_content, content, run, run_with, turn};
use crate::support::skip::skip;

fn both_forms() -> [Builder; 2] {
    [Builder::new(), Builder::new().disable(Feature::MultishotReceive)]
}

#[test]
fn options_are_read_back() {
    run(async || {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        assert!(!socket.broadcast().unwrap());
        socket.set_broadcast(true).unwrap();
        assert!(socket.broadcast().unwrap());
        socket.set_ttl(17).unwrap();
        assert_eq!(socket.ttl().unwrap(), 17);
        assert!(socket.multicast_loop_v4().unwrap());
        socket.set_multicast_loop_v4(false).unwrap();
        assert!(!socket.multicast_loop_v4().unwrap());
        socket.set_multicast_ttl_v4(3).unwrap();
        assert_eq!(socket.multicast_ttl_v4().unwrap(), 3);
        socket.set_multicast_if_v4(Ipv4Addr::LOCALHOST).unwrap();
        assert_eq!(socket.multicast_if_v4().unwrap(), Ipv4Addr::LOCALHOST);
        socket.set_tos_v4(0x28).unwrap();
        assert_eq!(socket.tos_v4().unwrap(), 0x28);
        assert_eq!(socket.device().unwrap(), None);
        socket.bind_device(Some(b"lo")).unwrap();
        assert_eq!(socket.device().unwrap().as_deref(), Some(b"lo".as_slice()));
        socket.bind_device(Some(b"no such one")).unwrap_err();
        socket.set_send_buffer_size(30_000).unwrap();
        socket.set_recv_buffer_size(20_000).unwrap();
        // The kernel doubles them.
        assert_eq!(socket.send_buffer_size().unwrap(), 60_000);
        assert_eq!(socket.recv_buffer_size().unwrap(), 40_000);
        assert!(socket.take_error().unwrap().is_none());
        if let Ok(six) = UdpSocket::bind("[::1]:0").await {
            six.set_ttl(9).unwrap();
            assert_eq!(six.ttl().unwrap(), 9);
            six.set_multicast_loop_v6(false).unwrap();
            assert!(!six.multicast_loop_v6().unwrap());
            six.set_multicast_hops_v6(4).unwrap();
            assert_eq!(six.multicast_hops_v6().unwrap(), 4);
            six.set_multicast_if_v6(1).unwrap();
            assert_eq!(six.multicast_if_v6().unwrap(), 1);
            six.set_tclass_v6(0x50).unwrap();
            assert_eq!(six.tclass_v6().unwrap(), 0x50);
        }
    });
}

#[test]
fn marks_destinations_and_times_come_with_a_datagram() {
    for builder in both_forms() {
        run_with(builder, async || {
            for any in ["0.0.0.0:0", "[::]:0"] {
                let Ok(near) = UdpSocket::bind(any).await else {
                    continue;
                };
                let port = near.local_addr().unwrap().port();
                let far = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                let to = Transmit::to((Ipv4Addr::LOCALHOST, port).into());
                far.send_message("plain", &to).await.unwrap();
                let plain = near.recv_datagram().await.unwrap();
                assert_eq!((plain.ecn(), plain.destination()), (None, None));
                assert_eq!(plain.received_at(), None);
                near.set_recv_ecn(true).unwrap();
                near.set_recv_destination(true).unwrap();
                near.set_recv_timestamp(true).unwrap();
                for ecn in [Ecn::Ect0, Ecn::Ect1, Ecn::Ce] {
                    far.send_message("marked", &to.ecn(ecn)).await.unwrap();
                    let datagram = near.recv_datagram().await.unwrap();
                    assert_eq!(datagram.ecn(), Some(ecn), "{any}");
                    let (destination, interface) = datagram.destination().expect("asked for");
                    assert_eq!(destination, Ipv4Addr::LOCALHOST);
                    assert_ne!(interface, 0);
                    let hour = Duration::from_secs(3600);
                    let now = SystemTime::now();
                    let at = datagram.received_at().expect("asked for");
                    assert!(at > now - hour && at < now + hour, "{at:?}");
                }
            }
            let Ok(near) = UdpSocket::bind("[::1]:0").await else {
                skip!("no IPv6 here");
            };
            near.set_recv_ecn(true).unwrap();
            near.set_recv_destination(true).unwrap();
            let far = UdpSocket::bind("[::1]:0").await.unwrap();
            let to = Transmit::to(near.local_addr().unwrap()).ecn(Ecn::Ce);
            far.send_message("six", &to.source(Ipv6Addr::LOCALHOST.into())).await.unwrap();
            let datagram = near.recv_datagram().await.unwrap();
            assert_eq!(datagram.ecn(), Some(Ecn::Ce));
            assert_eq!(datagram.destination().unwrap().0, Ipv6Addr::LOCALHOST);
        });
    }
}

/// What is past a socket's share is copied out of its buffer, with all that came beside it.
#[test]
fn marks_and_senders_stay_with_datagrams_that_are_copied_to_the_heap() {
    for builder in both_forms() {
        run_with(builder.stream_share(1), async || {
            let near = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            near.set_recv_ecn(true).unwrap();
            near.set_recv_destination(true).unwrap();
            let far = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let to = Transmit::to(near.local_addr().unwrap());
            let marks = [Ecn::Ect0, Ecn::Ect1, Ecn::Ce];
            let mut held = Vec::new();
            for number in 0..40_u8 {
                let transmit = to.ecn(marks[usize::from(number) % 3]);
                far.send_message(vec![number; 20], &transmit).await.unwrap();
                held.push(near.recv_datagram().await.unwrap());
            }
            let sender = far.local_addr().unwrap();
            for (number, datagram) in held.into_iter().enumerate() {
                assert_eq!(datagram.ecn(), Some(marks[number % 3]));
                assert_eq!(datagram.destination().unwrap().0, Ipv4Addr::LOCALHOST);
                assert!(format!("{datagram:?}").contains(&sender.to_string()), "{datagram:?}");
                let (chunk, peer) = datagram.into_parts();
                assert_eq!((&*chunk, peer), ([number as u8; 20].as_slice(), sender));
                assert_eq!(chunk.is_pooled(), number < 16, "its share, and no more");
            }
        });
    }
}

#[test]
fn what_the_kernel_joined_comes_apart_again() {
    for builder in both_forms() {
        run_with(builder, async || {
            let near = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            if let Err(error) = near.set_gro(true) {
                skip!("no UDP_GRO here: {error}");
            }
            let far = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let transmit = Transmit::to(near.local_addr().unwrap()).segment_size(500);
            if let Err(error) = far.send_message(content(0, 0, 1800), &transmit).await {
                skip!("no UDP_SEGMENT here: {}", error.error);
            }
            let mut at = 0;
            let (mut sizes, mut joined) = (Vec::new(), 0);
            while at < 1800 {
                let datagram = near.recv_datagram().await.unwrap();
                joined += usize::from(datagram.segment_size() == Some(500));
                for segment in datagram.segments() {
                    assert_content(0, at, segment);
                    at += segment.len();
                    sizes.push(segment.len());
                }
            }
            assert_eq!(sizes, [500, 500, 500, 300], "joined or not");
            assert!(joined > 0, "on its way within the machine nobody takes them apart");
        });
    }
}

#[test]
fn members_of_a_group_hear_it_until_they_leave() {
    run(async || {
        let group = Ipv4Addr::new(239, 83, 71, 5);
        let near = UdpSocket::bind("0.0.0.0:0").await.unwrap();
        let port = near.local_addr().unwrap().port();
        if let Err(error) = near.join_multicast_v4(group, Ipv4Addr::LOCALHOST) {
            skip!("no group can be joined here: {error}");
        }
        let far = StdSocket::bind("127.0.0.1:0").unwrap();
        let options = socket2::SockRef::from(&far);
        options.set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
        if let Err(error) = far.send_to(b"to all", (group, port)) {
            skip!("no group can be reached here: {error}");
        }
        assert_eq!(&*near.recv_datagram().await.unwrap(), b"to all");
        near.leave_multicast_v4(group, Ipv4Addr::LOCALHOST).unwrap();
        far.send_to(b"to nobody", (group, port)).unwrap();
        far.send_to(b"to one", (Ipv4Addr::LOCALHOST, port)).unwrap();
        assert_eq!(&*near.recv_datagram().await.unwrap(), b"to one");
        near.leave_multicast_v4(group, Ipv4Addr::LOCALHOST).unwrap_err();
    });
}

#[test]
fn no_udp_socket_reaches_a_child() {
    run(async || {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let _ = socket.try_recv(&mut [0]);
        turn().await;
        assert_eq!(inherited_descriptors(), Vec::<String>::new());
    });
}
