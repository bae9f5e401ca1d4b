//! What the kernel writes beside a received message: its header, the sender's address, control data.
//!
//! All of it is read as plain bytes, with every length checked: what the kernel says is never a pointer here. Of a UDP
//! datagram it is read where it lies, when somebody asks: a message of 32 bytes is moved about faster than one of 96,
//! in which all had been read (`net`, `udp_echo_apart`).

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
    /// The payload follows in the same buffer, so name and control data stay there as long as it does.
    pub(crate) stays: bool,
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
    let (name, control) = (&name[..name_len], &control[..control_len]);
    Some(Received { name, control, flags, stays: true })
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

/// What came with a UDP datagram, where it lies: before the payload in the buffer, or apart.
#[derive(Debug)]
pub(crate) struct Inet {
    apart: Option<Box<Beside>>,
    /// The length of the name, from `CONTROL` on that of the control data, and `TRUNCATED`. One word, because fields of
    /// a byte are moved byte by byte.
    marks: u64,
}

/// In the marks: where the length of the control data begins, in bits.
const CONTROL: u32 = 8;
/// In the marks: the payload was longer than the buffer.
const TRUNCATED: u64 = 1 << 16;

/// The room for the name, and after it that for control data.
type Beside = [u8; Inet::BESIDE];

impl Inet {
    /// The larger of the two address structures, rounded up.
    pub(crate) const NAME_MAX: usize = 32;
    /// Segment size, a class, both destinations and a time, each with its head, take 152; with 208 the payload begins a
    /// cache line.
    pub(crate) const CONTROL_MAX: usize = 208;
    pub(crate) const BESIDE: usize = Self::NAME_MAX + Self::CONTROL_MAX;

    #[inline]
    pub(crate) fn new(received: &Received<'_>) -> Self {
        let Received { name, control, flags, stays } = *received;
        let truncated = if flags & libc::MSG_TRUNC != 0 { TRUNCATED } else { 0 };
        Self {
            apart: if stays { None } else { Some(Self::copied(name, control)) },
            marks: name.len() as u64 | (control.len() as u64) << CONTROL | truncated,
        }
    }

    /// Whether it was longer than the buffer.
    pub(crate) fn is_truncated(&self) -> bool {
        self.marks & TRUNCATED != 0
    }

    #[cold]
    fn copied(name: &[u8], control: &[u8]) -> Box<Beside> {
        let mut beside = Box::new([0; Self::BESIDE]);
        beside[..name.len()].copy_from_slice(name);
        beside[Self::NAME_MAX..][..control.len()].copy_from_slice(control);
        beside
    }

    /// The name and the control data that lie apart, if they do.
    #[inline]
    pub(crate) fn apart(&self) -> Option<&[u8]> {
        self.apart.as_ref().map(|beside| beside.as_slice())
    }

    /// Who sent it. `beside` is where name and control data lie, as for all that is asked here.
    #[inline]
    pub(crate) fn source(&self, beside: &[u8]) -> SocketAddr {
        let name = beside.get(..usize::from(self.marks as u8));
        name.and_then(sockaddr::of_bytes).unwrap_or_else(sockaddr::unknown)
    }

    /// The size of each datagram but the last, where the kernel joined several.
    pub(crate) fn segment(&self, beside: &[u8]) -> Option<u16> {
        let size = int(self.control(beside, libc::SOL_UDP, libc::UDP_GRO)?)?;
        size.try_into().ok()
    }

    /// The type of service or the traffic class, with the two bits of ECN.
    pub(crate) fn class(&self, beside: &[u8]) -> Option<u8> {
        if let Some(content) = self.control(beside, libc::IPPROTO_IP, libc::IP_TOS) {
            return content.first().copied();
        }
        let content = self.control(beside, libc::IPPROTO_IPV6, libc::IPV6_TCLASS)?;
        int(content).map(|class| class as u8)
    }

    /// Where it was sent to, and the number of the interface that it came by.
    pub(crate) fn destination(&self, beside: &[u8]) -> Option<(IpAddr, u32)> {
        if let Some(content) = self.control(beside, libc::IPPROTO_IP, libc::IP_PKTINFO) {
            return info_v4(content);
        }
        info_v6(self.control(beside, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO)?)
    }

    pub(crate) fn received_at(&self, beside: &[u8]) -> Option<SystemTime> {
        time(self.control(beside, libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS)?)
    }

    /// The part of the control data that is of this level and type.
    fn control<'a>(&self, beside: &'a [u8], level: i32, kind: i32) -> Option<&'a [u8]> {
        let control =
            beside.get(Self::NAME_MAX..)?.get(..usize::from((self.marks >> CONTROL) as u8))?;
        let mut parts = controls(control);
        parts.find_map(|(of, is, content)| ((of, is) == (level, kind)).then_some(content))
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
    fn a_datagram_is_asked_where_it_lies_and_apart() {
        let mut name = [0; 16];
        name[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
        name[2..8].copy_from_slice(&[0, 80, 1, 2, 3, 4]);
        let mut control = Vec::new();
        push_control(&mut control, libc::SOL_UDP, libc::UDP_GRO, &1200_i32.to_ne_bytes());
        push_control(&mut control, libc::IPPROTO_IPV6, libc::IPV6_TCLASS, &2_i32.to_ne_bytes());
        let seconds = [7_i64.to_ne_bytes(), 9_i64.to_ne_bytes()].concat();
        push_control(&mut control, libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS, &seconds);
        let info = [&[0; 15][..], &[1, 3, 0, 0, 0]].concat();
        push_control(&mut control, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info);
        let mut lies = [0; Inet::BESIDE];
        lies[..16].copy_from_slice(&name);
        lies[Inet::NAME_MAX..][..control.len()].copy_from_slice(&control);
        for stays in [true, false] {
            let flags = libc::MSG_TRUNC;
            let inet = Inet::new(&Received { name: &name, control: &control, flags, stays });
            assert_eq!(inet.apart().is_none(), stays);
            let beside = inet.apart().unwrap_or(&lies);
            assert_eq!(inet.source(beside), "1.2.3.4:80".parse().expect("a literal"));
            assert_eq!((inet.segment(beside), inet.class(beside)), (Some(1200), Some(2)));
            let destination = (IpAddr::V6(Ipv6Addr::LOCALHOST), 3);
            assert_eq!(inet.destination(beside), Some(destination));
            let time = SystemTime::UNIX_EPOCH + Duration::new(7, 9);
            assert_eq!(inet.received_at(beside), Some(time));
            assert!(inet.is_truncated());
            assert_eq!(inet.source(&[]), sockaddr::unknown(), "nothing is there");
            assert_eq!(inet.segment(&beside[..40]), None);
        }
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
