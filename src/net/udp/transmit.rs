//! How to send a datagram, beside its bytes.

use std::net::{IpAddr, SocketAddr};

use crate::sys::message::push_control;
use crate::sys::sockaddr::Target;

/// The mark of congestion in the header of a packet (RFC 3168).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ecn {
    /// The transport can be told of congestion.
    Ect0,
    /// The same, by a newer experiment (RFC 9331).
    Ect1,
    /// A router saw congestion.
    Ce,
}

impl Ecn {
    pub(super) fn of_class(class: u8) -> Option<Self> {
        match class & 3 {
            2 => Some(Self::Ect0),
            1 => Some(Self::Ect1),
            3 => Some(Self::Ce),
            _ => None,
        }
    }

    fn bits(self) -> i32 {
        match self {
            Self::Ect0 => 2,
            Self::Ect1 => 1,
            Self::Ce => 3,
        }
    }
}

/// How to send a datagram: to whom, in segments of what size, from which address, with which mark.
///
/// ```
/// use annulus::net::UdpSocket;
/// use annulus::net::udp::{Ecn, Transmit};
///
/// annulus::run(async {
///     let near = UdpSocket::bind("127.0.0.1:0").await?;
///     let far = UdpSocket::bind("127.0.0.1:0").await?;
///     far.set_recv_ecn(true)?;
///     let transmit = Transmit::to(far.local_addr()?).ecn(Ecn::Ect0);
///     near.send_message(b"marked".as_slice(), &transmit).await?;
///     assert_eq!(far.recv_datagram().await?.ecn(), Some(Ecn::Ect0));
///     Ok(())
/// })
/// # .map_err(|error: std::io::Error| panic!("{error}")).unwrap();
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transmit {
    target: Option<SocketAddr>,
    segment: Option<u16>,
    source: Option<IpAddr>,
    ecn: Option<Ecn>,
}

impl Transmit {
    /// To the peer that the socket is connected to.
    pub fn connected() -> Self {
        Self::default()
    }

    /// To this address.
    pub fn to(target: SocketAddr) -> Self {
        Self { target: Some(target), ..Self::default() }
    }

    /// Splits the buffer into datagrams of so many bytes, the last perhaps shorter (`UDP_SEGMENT`). The kernel takes
    /// at most 64 of them, 128 since Linux 6.9, and 65,507 bytes; each must fit the path's packets.
    #[must_use]
    pub fn segment_size(mut self, bytes: u16) -> Self {
        self.segment = Some(bytes);
        self
    }

    /// From this address of ours, on a socket that is bound to all of them.
    #[must_use]
    pub fn source(mut self, address: IpAddr) -> Self {
        self.source = Some(address);
        self
    }

    /// With this mark.
    #[must_use]
    pub fn ecn(mut self, ecn: Ecn) -> Self {
        self.ecn = Some(ecn);
        self
    }

    pub(super) fn target(&self) -> Target {
        self.target.map_or(Target::Connected, Target::new)
    }

    /// In the kernel's form; `is_v6` is the family of the socket.
    pub(super) fn control(&self, is_v6: bool) -> Vec<u8> {
        let mut control = Vec::new();
        if let Some(bytes) = self.segment {
            let (level, kind) = (libc::SOL_UDP, libc::UDP_SEGMENT);
            push_control(&mut control, level, kind, &bytes.to_ne_bytes());
        }
        if let Some(ecn) = self.ecn {
            let bits = ecn.bits().to_ne_bytes();
            let mapped = self.target.is_some_and(|to| to.ip().to_canonical().is_ipv4());
            if is_v6 && !mapped {
                push_control(&mut control, libc::IPPROTO_IPV6, libc::IPV6_TCLASS, &bits);
            } else {
                push_control(&mut control, libc::IPPROTO_IP, libc::IP_TOS, &bits);
            }
        }
        match self.source {
            Some(IpAddr::V4(address)) if !is_v6 => {
                // `struct in_pktinfo`: any interface, our address, and one that only receiving fills.
                let info = [[0; 4], address.octets(), [0; 4]].concat();
                push_control(&mut control, libc::IPPROTO_IP, libc::IP_PKTINFO, &info);
            }
            Some(address) => {
                // `struct in6_pktinfo`: our address, any interface.
                let octets = match address {
                    IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
                    IpAddr::V6(address) => address.octets(),
                };
                let info = [octets.as_slice(), &[0; 4]].concat();
                push_control(&mut control, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info);
            }
            None => {}
        }
        control
    }
}
