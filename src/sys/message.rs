//! What the kernel writes beside a received message: its header, the sender's address, control data.
//!
//! All of it is read as plain bytes, with every length checked: what the kernel says is never a pointer here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, SystemTime};

use super::sockaddr;

/// Bytes of `struct io_uring_recvmsg_out`, which begins the buffer of a multishot receive.
pub(crate) const HEADER: usize = 16;

/// A message as a multishot receive left it in its buffer: header, room for the name, room for control data, payload.
#[derive(Debug)]
pub(crate) struct Received<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) control: &'a [u8],
    /// `MSG_TRUNC`, `MSG_CTRUNC` and the like.
    pub(crate) flags: i32,
}

/// Reads the buffer of a multishot receive that had so much room for the name and for control data. The payload is
/// what follows. `None` if the buffer is too short for what it says.
#[inline]
pub(crate) fn split(bytes: &[u8], name_max: usize, control_max: usize) -> Option<Received<'_>> {
    let word = |at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let name = bytes.get(HEADER..HEADER + name_max)?;
    let control = bytes.get(HEADER + name_max..HEADER + name_max + control_max)?;
    let name_len = (word(0)? as usize).min(name_max);
    let control_len = (word(4)? as usize).min(control_max);
    let flags = word(12)?.cast_signed();
    Some(Received { name: &name[..name_len], control: &control[..control_len], flags })
}

/// The parts of control data: level, type, and content.
pub(crate) fn controls(mut rest: &[u8]) -> impl Iterator<Item = (i32, i32, &[u8])> {
    const HEAD: usize = size_of::<libc::cmsghdr>();
    std::iter::from_fn(move || {
        let head = rest.get(..HEAD)?;
        let len = usize::from_ne_bytes(head[..size_of::<usize>()].try_into().ok()?);
        let number = |at: usize| head[at..at + 4].try_into().map(i32::from_ne_bytes).ok();
        let (level, kind) = (number(size_of::<usize>())?, number(size_of::<usize>() + 4)?);
        let content = rest.get(HEAD..len)?;
        rest = rest.get(len.next_multiple_of(size_of::<usize>())..).unwrap_or_default();
        Some((level, kind, content))
    })
}

/// Adds a part to control data that is to be sent.
pub(crate) fn push_control(control: &mut Vec<u8>, level: i32, kind: i32, content: &[u8]) {
    let len = size_of::<libc::cmsghdr>() + content.len();
    control.extend_from_slice(&len.to_ne_bytes());
    control.extend_from_slice(&level.to_ne_bytes());
    control.extend_from_slice(&kind.to_ne_bytes());
    control.extend_from_slice(content);
    control.resize(control.len().next_multiple_of(size_of::<usize>()), 0);
}

/// What came with a UDP datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Inet {
    pub(crate) source: SocketAddr,
    pub(crate) is_truncated: bool,
    /// The size of each datagram but the last, where the kernel joined several.
    pub(crate) segment: Option<u16>,
    /// The type of service or the traffic class, with the two bits of ECN.
    pub(crate) class: Option<u8>,
    /// Where it was sent to, and the number of the interface that it came by.
    pub(crate) destination: Option<(IpAddr, u32)>,
    pub(crate) received_at: Option<SystemTime>,
}

impl Inet {
    #[inline]
    pub(crate) fn read(name: &[u8], control: &[u8], flags: i32) -> Self {
        let mut found = Self {
            source: sockaddr::of_bytes(name).unwrap_or_else(sockaddr::unknown),
            is_truncated: flags & libc::MSG_TRUNC != 0,
            segment: None,
            class: None,
            destination: None,
            received_at: None,
        };
        if !control.is_empty() {
            found.read_control(control);
        }
        found
    }

    #[inline(never)]
    fn read_control(&mut self, control: &[u8]) {
        for (level, kind, content) in controls(control) {
            match (level, kind) {
                (libc::SOL_UDP, libc::UDP_GRO) => {
                    self.segment = int(content).and_then(|size| size.try_into().ok());
                }
                (libc::IPPROTO_IP, libc::IP_TOS) => self.class = content.first().copied(),
                (libc::IPPROTO_IPV6, libc::IPV6_TCLASS) => {
                    self.class = int(content).map(|class| class as u8);
                }
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => self.destination = info_v4(content),
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => self.destination = info_v6(content),
                (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => self.received_at = time(content),
                _ => {}
            }
        }
    }
}

fn int(content: &[u8]) -> Option<i32> {
    Some(i32::from_ne_bytes(content.get(..4)?.try_into().ok()?))
}

/// `struct in_pktinfo`: interface, our address for answers, the destination in the header.
fn info_v4(content: &[u8]) -> Option<(IpAddr, u32)> {
    let interface = int(content)?.cast_unsigned();
    let octets: [u8; 4] = content.get(8..12)?.try_into().ok()?;
    Some((IpAddr::V4(Ipv4Addr::from(octets)), interface))
}

/// `struct in6_pktinfo`: address, interface.
fn info_v6(content: &[u8]) -> Option<(IpAddr, u32)> {
    let octets: [u8; 16] = content.get(..16)?.try_into().ok()?;
    let interface = int(content.get(16..)?)?.cast_unsigned();
    Some((IpAddr::V6(Ipv6Addr::from(octets)).to_canonical(), interface))
}

/// `struct timespec`.
fn time(content: &[u8]) -> Option<SystemTime> {
    let seconds = i64::from_ne_bytes(content.get(..8)?.try_into().ok()?);
    let nanos = i64::from_ne_bytes(content.get(8..16)?.try_into().ok()?);
    let since = Duration::new(seconds.try_into().ok()?, nanos.try_into().ok()?);
    SystemTime::UNIX_EPOCH.checked_add(since)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_data_comes_back_as_it_was_pushed_and_bad_lengths_end_it() {
        let mut control = Vec::new();
        push_control(&mut control, 1, 2, b"abc");
        push_control(&mut control, 3, 4, &[]);
        push_control(&mut control, 5, 6, &[7; 20]);
        let found: Vec<_> = controls(&control).collect();
        assert_eq!(found, [(1, 2, &b"abc"[..]), (3, 4, &[][..]), (5, 6, &[7; 20][..])]);
        for len in 0..control.len() {
            assert!(controls(&control[..len]).count() <= 3, "cut at {len}");
        }
        control[..8].copy_from_slice(&usize::MAX.to_ne_bytes());
        assert_eq!(controls(&control).count(), 0, "longer than there is");
        control[..8].copy_from_slice(&3_usize.to_ne_bytes());
        assert_eq!(controls(&control).count(), 0, "shorter than its own head");
    }

    #[test]
    fn a_buffer_that_says_more_than_it_holds_is_cut_or_refused() {
        let mut bytes = vec![0; HEADER + 8 + 8 + 5];
        bytes[..4].copy_from_slice(&100_u32.to_ne_bytes());
        bytes[4..8].copy_from_slice(&4_u32.to_ne_bytes());
        bytes[12..16].copy_from_slice(&libc::MSG_TRUNC.to_ne_bytes());
        let found = split(&bytes, 8, 8).expect("it is long enough");
        assert_eq!((found.name.len(), found.control.len()), (8, 4));
        assert_eq!(found.flags, libc::MSG_TRUNC);
        assert!(split(&bytes[..HEADER + 15], 8, 8).is_none());
    }
}
