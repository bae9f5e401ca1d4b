//! The options of a UDP socket.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;

use socket2::{Domain, SockRef};

use super::UdpSocket;
use crate::sys::options;

impl UdpSocket {
    /// Datagrams of up to so many bytes are expected: a longer one is cut, and says so. `None`, the default, expects
    /// what a large buffer of the core holds beside 256 bytes of the kernel's: 65,280.
    ///
    /// Up to what a small buffer holds, 3,840 bytes, datagrams come in small ones, which is less memory to go round:
    /// right for whom no packet is larger than a network's. More than a large buffer holds, as the 65,507 bytes that
    /// a datagram may have at most, costs an operation a datagram.
    pub fn set_datagram_max(&self, bytes: Option<usize>) {
        self.messages.expect(bytes);
    }

    /// Lets [`send_batch_to`](Self::send_batch_to) give datagrams of one size to one address to the kernel as one,
    /// which takes them apart at the last moment (`UDP_SEGMENT`): by default it does, and stops when the kernel, the
    /// path or the device refuses, as for datagrams larger than the path's packets; those leave one by one then.
    ///
    /// Within this machine such a packet is queued, captured and dropped as one. A network device that is said to cut
    /// packets and does not do it well is a reason to turn it off.
    pub fn set_gso(&self, join: bool) {
        self.joins.set(join);
    }

    /// Lets the kernel join datagrams of one size and one sender (`UDP_GRO`): see
    /// [`Datagram::segments`](super::Datagram::segments). Needs room for all of them: the default of
    /// [`set_datagram_max`](Self::set_datagram_max) has it.
    ///
    /// # Errors
    ///
    /// As `setsockopt(2)`; so are those of the other options.
    pub fn set_gro(&self, join: bool) -> io::Result<()> {
        options::set(self.as_fd(), libc::SOL_UDP, libc::UDP_GRO, join.into())
    }

    /// Asks for [`Datagram::ecn`](super::Datagram::ecn).
    ///
    /// # Errors
    ///
    /// As `setsockopt(2)`.
    pub fn set_recv_ecn(&self, ask: bool) -> io::Result<()> {
        if self.is_v6()? {
            options::set(self.as_fd(), libc::IPPROTO_IPV6, libc::IPV6_RECVTCLASS, ask.into())?;
        }
        options::set(self.as_fd(), libc::IPPROTO_IP, libc::IP_RECVTOS, ask.into())
    }

    /// Asks for [`Datagram::destination`](super::Datagram::destination).
    ///
    /// # Errors
    ///
    /// As `setsockopt(2)`.
    pub fn set_recv_destination(&self, ask: bool) -> io::Result<()> {
        let (level, option) = match self.is_v6()? {
            true => (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO),
            false => (libc::IPPROTO_IP, libc::IP_PKTINFO),
        };
        options::set(self.as_fd(), level, option, ask.into())
    }

    /// Asks for [`Datagram::received_at`](super::Datagram::received_at).
    ///
    /// # Errors
    ///
    /// As `setsockopt(2)`.
    pub fn set_recv_timestamp(&self, ask: bool) -> io::Result<()> {
        options::set(self.as_fd(), libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, ask.into())
    }

    /// Lets it send to broadcast addresses.
    ///
    /// # Errors
    ///
    /// As `setsockopt(2)`.
    pub fn set_broadcast(&self, allow: bool) -> io::Result<()> {
        self.options().set_broadcast(allow)
    }

    /// Whether it may send to broadcast addresses.
    ///
    /// # Errors
    ///
    /// As `getsockopt(2)`; so are those of the other questions.
    pub fn broadcast(&self) -> io::Result<bool> {
        self.options().broadcast()
    }

    /// How many routers a packet may pass.
    ///
    /// # Errors
    ///
    /// As `setsockopt(2)`.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        match self.is_v6()? {
            true => self.options().set_unicast_hops_v6(ttl),
            false => self.options().set_ttl_v4(ttl),
        }
    }

    /// See [`set_ttl`](Self::set_ttl).
    ///
    /// # Errors
    ///
    /// As `getsockopt(2)`.
    pub fn ttl(&self) -> io::Result<u32> {
        match self.is_v6()? {
            true => self.options().unicast_hops_v6(),
            false => self.options().ttl_v4(),
        }
    }

    /// Joins a group, on the interface with this address; `0.0.0.0` leaves the choice to the kernel.
    ///
    /// # Errors
    ///
    /// As `setsockopt(2)`: no such interface, a member already, no group.
    pub fn join_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.options().join_multicast_v4(&group, &interface)
    }

    /// Leaves a group.
    ///
    /// # Errors
    ///
    /// As `setsockopt(2)`: not a member.
    pub fn leave_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.options().leave_multicast_v4(&group, &interface)
    }

    /// Joins a group, on the interface of this number; 0 leaves the choice to the kernel.
    ///
    /// # Errors
    ///
    /// As `setsockopt(2)`.
    pub fn join_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.options().join_multicast_v6(group, interface)
    }

    /// Leaves a group.
    ///
    /// # Errors
    ///
    /// As `setsockopt(2)`.
    pub fn leave_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.options().leave_multicast_v6(group, interface)
    }

    /// Whether what it sends to a group comes back to this machine; it does by default.
    ///
    /// # Errors
    ///
    /// As `setsockopt(2)`.
    pub fn set_multicast_loop_v4(&self, back: bool) -> io::Result<()> {
        self.options().set_multicast_loop_v4(back)
    }

    /// See [`set_multicast_loop_v4`](Self::set_multicast_loop_v4).
    ///
    /// # Errors
    ///
    /// As `getsockopt(2)`.
    pub fn multicast_loop_v4(&self) -> io::Result<bool> {
        self.options().multicast_loop_v4()
    }

    /// As [`set_multicast_loop_v4`](Self::set_multicast_loop_v4), for IPv6.
    ///
    /// # Errors
    ///
    /// As `setsockopt(2)`.
    pub fn set_multicast_loop_v6(&self, back: bool) -> io::Result<()> {
        self.options().set_multicast_loop_v6(back)
    }

    /// See [`set_multicast_loop_v6`](Self::set_multicast_loop_v6).
    ///
    /// # Errors
    ///
    /// As `getsockopt(2)`.
    pub fn multicast_loop_v6(&self) -> io::Result<bool> {
        self.options().multicast_loop_v6()
    }

    /// How many routers what it sends to a group may pass; 1, this network alone, by default.
    ///
    /// # Errors
    ///
    /// As `setsockopt(2)`.
    pub fn set_multicast_ttl_v4(&self, ttl: u32) -> io::Result<()> {
        self.options().set_multicast_ttl_v4(ttl)
    }

    /// See [`set_multicast_ttl_v4`](Self::set_multicast_ttl_v4).
    ///
    /// # Errors
    ///
    /// As `getsockopt(2)`.
    pub fn multicast_ttl_v4(&self) -> io::Result<u32> {
        self.options().multicast_ttl_v4()
    }

    /// As [`set_multicast_ttl_v4`](Self::set_multicast_ttl_v4), for IPv6.
    ///
    /// # Errors
    ///
    /// As `setsockopt(2)`.
    pub fn set_multicast_hops_v6(&self, hops: u32) -> io::Result<()> {
        self.options().set_multicast_hops_v6(hops)
    }

    /// See [`set_multicast_hops_v6`](Self::set_multicast_hops_v6).
    ///
    /// # Errors
    ///
    /// As `getsockopt(2)`.
    pub fn multicast_hops_v6(&self) -> io::Result<u32> {
        self.options().multicast_hops_v6()
    }

    /// The interface, by its address, by which what it sends to a group leaves; `0.0.0.0`, the default, leaves the
    /// choice to the kernel.
    ///
    /// # Errors
    ///
    /// As `setsockopt(2)`: no such interface.
    pub fn set_multicast_if_v4(&self, interface: Ipv4Addr) -> io::Result<()> {
        self.options().set_multicast_if_v4(&interface)
    }

    /// See [`set_multicast_if_v4`](Self::set_multicast_if_v4).
    ///
    /// # Errors
    ///
    /// As `getsockopt(2)`.
    pub fn multicast_if_v4(&self) -> io::Result<Ipv4Addr> {
        self.options().multicast_if_v4()
    }

    /// The interface, by its number, by which what it sends to a group leaves; 0, the default, leaves the choice to the
    /// kernel.
    ///
    /// # Errors
    ///
    /// As `setsockopt(2)`: no such interface.
    pub fn set_multicast_if_v6(&self, interface: u32) -> io::Result<()> {
        self.options().set_multicast_if_v6(interface)
    }

    /// See [`set_multicast_if_v6`](Self::set_multicast_if_v6).
    ///
    /// # Errors
    ///
    /// As `getsockopt(2)`.
    pub fn multicast_if_v6(&self) -> io::Result<u32> {
        self.options().multicast_if_v6()
    }

    /// The type of service of what it sends (`IP_TOS`). The two lowest bits are those of ECN, which
    /// [`Transmit::ecn`](super::Transmit::ecn) sets for one datagram.
    ///
    /// # Errors
    ///
    /// As `setsockopt(2)`.
    pub fn set_tos_v4(&self, tos: u32) -> io::Result<()> {
        self.options().set_tos_v4(tos)
    }

    /// See [`set_tos_v4`](Self::set_tos_v4).
    ///
    /// # Errors
    ///
    /// As `getsockopt(2)`.
    pub fn tos_v4(&self) -> io::Result<u32> {
        self.options().tos_v4()
    }

    /// The traffic class of what it sends by IPv6 (`IPV6_TCLASS`); see [`set_tos_v4`](Self::set_tos_v4).
    ///
    /// # Errors
    ///
    /// As `setsockopt(2)`.
    pub fn set_tclass_v6(&self, class: u32) -> io::Result<()> {
        self.options().set_tclass_v6(class)
    }

    /// See [`set_tclass_v6`](Self::set_tclass_v6).
    ///
    /// # Errors
    ///
    /// As `getsockopt(2)`.
    pub fn tclass_v6(&self) -> io::Result<u32> {
        self.options().tclass_v6()
    }

    /// The interface, by its name, by which alone it sends and receives (`SO_BINDTODEVICE`); `None` or an empty name is
    /// all of them.
    ///
    /// # Errors
    ///
    /// As `setsockopt(2)`: no such interface; to change it takes `CAP_NET_RAW`.
    pub fn bind_device(&self, interface: Option<&[u8]>) -> io::Result<()> {
        self.options().bind_device(interface)
    }

    /// See [`bind_device`](Self::bind_device).
    ///
    /// # Errors
    ///
    /// As `getsockopt(2)`.
    pub fn device(&self) -> io::Result<Option<Vec<u8>>> {
        self.options().device()
    }

    /// The size of the kernel's receive buffer, in bytes (`SO_RCVBUF`; the kernel doubles it): what lies there while
    /// nobody reads; datagrams beyond it are dropped.
    ///
    /// # Errors
    ///
    /// As `setsockopt(2)`.
    pub fn set_recv_buffer_size(&self, bytes: usize) -> io::Result<()> {
        self.options().set_recv_buffer_size(bytes)
    }

    /// The size of the kernel's send buffer, in bytes (`SO_SNDBUF`; the kernel doubles it).
    ///
    /// # Errors
    ///
    /// As `setsockopt(2)`.
    pub fn set_send_buffer_size(&self, bytes: usize) -> io::Result<()> {
        self.options().set_send_buffer_size(bytes)
    }

    /// The size of the kernel's receive buffer, as it counts it.
    ///
    /// # Errors
    ///
    /// As `getsockopt(2)`.
    pub fn recv_buffer_size(&self) -> io::Result<usize> {
        self.options().recv_buffer_size()
    }

    /// The size of the kernel's send buffer, as it counts it.
    ///
    /// # Errors
    ///
    /// As `getsockopt(2)`.
    pub fn send_buffer_size(&self) -> io::Result<usize> {
        self.options().send_buffer_size()
    }

    pub(super) fn is_v6(&self) -> io::Result<bool> {
        Ok(self.options().domain()? == Domain::IPV6)
    }

    pub(super) fn options(&self) -> SockRef<'_> {
        SockRef::from(self)
    }
}
