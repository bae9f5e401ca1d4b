//! Groups: who has joined one hears it, by the interface that was chosen and by no other, until it leaves. In a network
//! of the test's own, with two interfaces.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use annulus::net::UdpSocket;

use crate::support::machine::{ip, on_a_thread, own_namespace};
use crate::support::settled::{run, until};
use crate::support::skip::skip;

const ONE: Ipv4Addr = Ipv4Addr::new(10, 9, 1, 1);
const TWO: Ipv4Addr = Ipv4Addr::new(10, 9, 2, 1);

/// Makes the network, of this thread.
fn two_interfaces() -> io::Result<()> {
    own_namespace()?;
    ip("link set lo up")?;
    for number in [1, 2] {
        ip(&format!("link add here{number} type veth peer name there{number}"))?;
        ip(&format!("link set there{number} up"))?;
        ip(&format!("link set here{number} up"))?;
        ip(&format!("addr add 10.9.{number}.1/24 dev here{number}"))?;
    }
    Ok(())
}

/// The number of an interface of this thread's network: `/sys` may show another's.
fn index_of(name: &str) -> io::Result<u32> {
    let table = std::fs::read_to_string("/proc/thread-self/net/if_inet6")?;
    let line = table.lines().find(|line| line.ends_with(name));
    let index = line.and_then(|line| line.split_whitespace().nth(1));
    let index = index.ok_or_else(|| io::Error::other(format!("{name} has no IPv6")))?;
    u32::from_str_radix(index, 16).map_err(io::Error::other)
}

/// Whether `near` hears what `far` sends to the group; what is sent to `near` alone comes behind it.
async fn is_heard(near: &UdpSocket, far: &UdpSocket, group: SocketAddr) -> bool {
    let port = near.local_addr().expect("bound").port();
    let alone: SocketAddr = match group {
        SocketAddr::V4(_) => (Ipv4Addr::LOCALHOST, port).into(),
        SocketAddr::V6(_) => (Ipv6Addr::LOCALHOST, port).into(),
    };
    far.send_to(b"to all", group).await.expect("sent");
    far.send_to(b"to one", alone).await.expect("sent");
    let first = near.recv_datagram().await.expect("a datagram");
    if &*first == b"to one" {
        return false;
    }
    assert_eq!(&*first, b"to all");
    assert_eq!(&*near.recv_datagram().await.expect("a datagram"), b"to one");
    true
}

async fn groups_of_ipv4() {
    let group = Ipv4Addr::new(239, 83, 71, 5);
    let near = UdpSocket::bind("0.0.0.0:0").await.expect("bind");
    let far = UdpSocket::bind("0.0.0.0:0").await.expect("bind");
    let all = SocketAddr::from((group, near.local_addr().expect("bound").port()));
    far.set_multicast_if_v4(ONE).expect("an interface");
    assert_eq!(far.multicast_if_v4().expect("asked"), ONE);
    assert!(!is_heard(&near, &far, all).await, "nobody has joined");
    near.join_multicast_v4(group, ONE).expect("a group");
    near.join_multicast_v4(group, ONE).expect_err("a member already");
    assert!(is_heard(&near, &far, all).await);
    far.set_multicast_if_v4(TWO).expect("an interface");
    assert!(!is_heard(&near, &far, all).await, "it left by the other interface");
    far.set_multicast_if_v4(ONE).expect("an interface");
    far.set_multicast_loop_v4(false).expect("an option");
    assert!(!is_heard(&near, &far, all).await, "it does not come back to this machine");
    far.set_multicast_loop_v4(true).expect("an option");
    assert!(is_heard(&near, &far, all).await);
    near.leave_multicast_v4(group, ONE).expect("a member");
    assert!(!is_heard(&near, &far, all).await, "it has left");
    near.leave_multicast_v4(group, ONE).expect_err("no member any more");
    far.set_multicast_if_v4(Ipv4Addr::new(10, 9, 77, 1)).expect_err("no such interface");
}

async fn groups_of_ipv6([one, two]: [u32; 2]) {
    let group = Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 0x83, 0x71);
    let near = UdpSocket::bind("[::]:0").await.expect("bind");
    let far = UdpSocket::bind("[::]:0").await.expect("bind");
    let all = SocketAddr::from((group, near.local_addr().expect("bound").port()));
    // An interface that is up has an address that can be used only a moment later.
    for interface in [two, one] {
        far.set_multicast_if_v6(interface).expect("an interface");
        assert_eq!(far.multicast_if_v6().expect("asked"), interface);
        until(|| far.try_send_to(b"", all).is_ok()).await;
    }
    assert!(!is_heard(&near, &far, all).await, "nobody has joined");
    near.join_multicast_v6(&group, one).expect("a group");
    near.join_multicast_v6(&group, one).expect_err("a member already");
    assert!(is_heard(&near, &far, all).await);
    far.set_multicast_if_v6(two).expect("an interface");
    assert!(!is_heard(&near, &far, all).await, "it left by the other interface");
    far.set_multicast_if_v6(one).expect("an interface");
    far.set_multicast_loop_v6(false).expect("an option");
    assert!(!is_heard(&near, &far, all).await, "it does not come back to this machine");
    far.set_multicast_loop_v6(true).expect("an option");
    assert!(is_heard(&near, &far, all).await);
    near.leave_multicast_v6(&group, one).expect("a member");
    assert!(!is_heard(&near, &far, all).await, "it has left");
    near.leave_multicast_v6(&group, one).expect_err("no member any more");
    far.set_multicast_if_v6(7777).expect_err("no such interface");
}

#[test]
fn a_group_of_ipv4_is_heard_by_its_members_on_its_interface() {
    let outcome = on_a_thread(|| {
        two_interfaces()?;
        run(groups_of_ipv4);
        Ok(())
    });
    if let Err(error) = outcome {
        skip!("no network of our own: {error}");
    }
}

#[test]
fn a_group_of_ipv6_is_heard_by_its_members_on_its_interface() {
    let outcome = on_a_thread(|| {
        two_interfaces()?;
        for number in [1, 2] {
            ip(&format!("-6 addr add fd00:{number}::1/64 dev here{number} nodad"))?;
        }
        let interfaces = [index_of("here1")?, index_of("here2")?];
        run(async || groups_of_ipv6(interfaces).await);
        Ok(())
    });
    if let Err(error) = outcome {
        skip!("no network of our own with IPv6: {error}");
    }
}
