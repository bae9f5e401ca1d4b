//! Descriptors and credentials in messages: they arrive, close on exec, and none leaks, whoever does not take them.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};

use annulus::Builder;
use annulus::net::{UnixDatagram, UnixSeqpacket, UnixStream};
use annulus::runtime::Feature;
use socket2::SockRef;

use crate::support::child::{assert_passed, in_child};
use crate::support::settled::{poll_and_drop, poll_once, run, run_with, turn, until};

pub(super) fn both_forms() -> [Builder; 2] {
    [Builder::new(), Builder::new().disable(Feature::MultishotReceive)]
}

/// Descriptors of this thread's table.
pub(super) fn count() -> usize {
    std::fs::read_dir("/proc/thread-self/fd").expect("/proc is mounted").count()
}

pub(super) fn null() -> OwnedFd {
    File::open("/dev/null").expect("open").into()
}

/// A descriptor from which a number can be read, once.
pub(super) fn numbered(number: u32) -> OwnedFd {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    writer.write_all(&number.to_be_bytes()).expect("there is room");
    reader.into()
}

pub(super) fn number_of(fd: OwnedFd) -> u32 {
    let mut number = [0; 4];
    File::from(fd).read_exact(&mut number).expect("a descriptor of `numbered`");
    u32::from_be_bytes(number)
}

#[test]
fn what_nobody_takes_of_a_message_is_closed_with_it() {
    for builder in both_forms() {
        run_with(builder, async || {
            let (near, far) = UnixDatagram::pair().unwrap();
            let before = count();
            for _ in 0..10 {
                let own = near.send_with_fds("x", vec![null(), null()]).await.unwrap();
                drop(own);
                drop(far.recv_message().await.unwrap());
                until(|| count() == before).await;
                drop(near.send_with_fds("x", vec![null()]).await.unwrap());
                assert_eq!(far.recv(&mut [0; 4]).await.unwrap(), 1);
                until(|| count() == before).await;
                drop(near.send_with_fds("x", vec![null()]).await.unwrap());
                assert_eq!(&*far.recv_message().await.unwrap().into_chunk(), b"x");
                until(|| count() == before).await;
            }
        });
    }
}

#[test]
fn what_nobody_receives_is_closed_with_the_socket() {
    for builder in both_forms() {
        run_with(builder, async || {
            let before = count();
            for armed in [false, true] {
                let (near, far) = UnixSeqpacket::pair().unwrap();
                if armed {
                    assert!(poll_and_drop(far.recv_message()).await.is_none());
                    turn().await;
                }
                for _ in 0..5 {
                    drop(near.send_with_fds("x", Vec::new()).await.unwrap());
                    drop(near.send_with_fds("x", vec![null(), null()]).await.unwrap());
                }
                turn().await;
                drop((near, far));
                until(|| count() == before).await;
            }
            // And with the runtime: what is left here would be found by the guard.
            let (near, far) = UnixDatagram::pair().unwrap();
            drop(near.send_with_fds("x", vec![null()]).await.unwrap());
            far.readable().await.unwrap();
            assert!(count() > before + 2, "it has arrived");
        });
    }
}

#[test]
fn a_dropped_send_closes_its_descriptors_when_the_kernel_is_done() {
    run(async || {
        let (near, far) = UnixDatagram::pair().unwrap();
        let before = count();
        assert!(poll_and_drop(near.send_with_fds("never", vec![null()])).await.is_none());
        turn().await;
        assert_eq!(count(), before);
        let mut send = Box::pin(near.send_with_fds("sent", vec![null()]));
        assert!(poll_once(&mut send).await.is_pending());
        turn().await;
        drop(send);
        until(|| count() == before).await;
        let mut message = far.recv_message().await.unwrap();
        assert_eq!(message.take_fds().len(), 1);
        assert_eq!(&*message, b"sent");
    });
}

#[test]
fn a_stream_that_does_not_ask_discards_descriptors_and_leaks_none() {
    for builder in both_forms() {
        run_with(builder, async || {
            let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
            let near = UnixStream::from_std(near).unwrap();
            let sender = PlainStream(far);
            let before = count();
            let (writer, is_closed) = watched();
            sender.send_fd(writer);
            assert_eq!(&*near.recv().await.unwrap().unwrap(), b"x");
            until(&is_closed).await;
            drop(is_closed);
            assert_eq!(count(), before);
            // And those that nobody reads end with the stream.
            let (writer, is_closed) = watched();
            sender.send_fd(writer);
            assert!(!is_closed());
            drop((near, sender));
            until(is_closed).await;
        });
    }
}

/// Lowers the number of descriptors that each table of this process may have.
#[allow(unsafe_code, reason = "a limit is set by a system call")]
fn limit_descriptors(most: u64) {
    let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
    // SAFETY: the limit is read during the call.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
}

fn received_with_few_descriptors() {
    limit_descriptors(96);
    for builder in both_forms() {
        run_with(builder, async || {
            let (near, far) = UnixDatagram::pair().unwrap();
            let (last, is_closed) = watched();
            let fds = (0..7).map(|_| null()).chain([last]).collect();
            drop(near.send_with_fds("eight", fds).await.unwrap());
            let fillers = std::iter::from_fn(|| File::open("/dev/null").ok());
            let mut fillers: Vec<File> = fillers.collect();
            fillers.truncate(fillers.len() - 3);
            let mut message = far.recv_message().await.unwrap();
            assert_eq!((&*message, message.is_control_truncated()), (b"eight".as_slice(), true));
            // The kernel closes what nobody can be given.
            until(is_closed).await;
            assert_eq!(message.take_fds().len(), 3);
            drop(near.send_with_fds("one", vec![null()]).await.unwrap());
            let mut message = far.recv_message().await.unwrap();
            assert_eq!((message.take_fds().len(), message.is_control_truncated()), (1, false));
        });
    }
}

#[test]
fn descriptors_that_there_is_no_number_for_are_said_to_be_cut_off() {
    let child = in_child!(received_with_few_descriptors);
    child.iter().for_each(assert_passed);
}

/// A descriptor, and whether no copy of it is open any more.
pub(super) fn watched() -> (OwnedFd, impl Fn() -> bool) {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    SockRef::from(&reader).set_nonblocking(true).expect("a descriptor");
    (writer.into(), move || matches!((&reader).read(&mut [0]), Ok(0)))
}

/// A plain stream that sends a descriptor.
struct PlainStream(std::os::unix::net::UnixStream);

impl PlainStream {
    #[allow(unsafe_code, reason = "sendmsg has no safe form in std")]
    fn send_fd(&self, fd: OwnedFd) {
        let mut control = [0_usize; 3];
        let number = fd.as_raw_fd().cast_unsigned() as usize;
        control[0] = 20;
        control[1] = libc::SOL_SOCKET as usize | (libc::SCM_RIGHTS as usize) << 32;
        control[2] = number;
        let mut part = libc::iovec { iov_base: b"x".as_ptr().cast_mut().cast(), iov_len: 1 };
        // SAFETY: all zeroes is a header, and what it names lives across the call.
        let sent = unsafe {
            let mut header: libc::msghdr = std::mem::MaybeUninit::zeroed().assume_init();
            header.msg_iov = &raw mut part;
            header.msg_iovlen = 1;
            header.msg_control = control.as_mut_ptr().cast();
            header.msg_controllen = 24;
            libc::sendmsg(self.0.as_raw_fd(), &raw const header, 0)
        };
        assert_eq!(sent, 1);
    }
}

/// Asked for behind our back, a descriptor of the sender's process comes too, and is closed.
#[test]
#[allow(unsafe_code, reason = "setsockopt has no safe form for it")]
fn a_descriptor_of_a_process_that_nobody_takes_is_closed() {
    const SO_PASSPIDFD: i32 = 76;
    for builder in both_forms() {
        run_with(builder, async || {
            let (near, far) = UnixDatagram::pair().unwrap();
            let ask = 1_i32;
            let (at, len) = ((&raw const ask).cast(), size_of_val(&ask) as libc::socklen_t);
            let fd = far.as_raw_fd();
            // SAFETY: the pointer names a local that lives across the call, with its size.
            let result = unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, SO_PASSPIDFD, at, len) };
            if result < 0 {
                crate::support::skip::skip!("SO_PASSPIDFD comes with Linux 6.5");
            }
            let before = count();
            for _ in 0..4 {
                near.send_with_fds("x", vec![null()]).await.map(drop).unwrap();
                let mut message = far.recv_message().await.unwrap();
                assert_eq!(message.take_fds().len(), 1);
                assert_eq!(count(), before);
            }
        });
    }
}

#[test]
fn credentials_come_only_when_asked_for() {
    for builder in both_forms() {
        run_with(builder, async || {
            let (near, far) = UnixDatagram::pair().unwrap();
            near.send(b"x").await.unwrap();
            assert_eq!(far.recv_message().await.unwrap().credentials(), None);
            far.set_passcred(true).unwrap();
            near.send(b"x").await.unwrap();
            let found = far.recv_message().await.unwrap().credentials().expect("asked for");
            assert_eq!(found.pid(), Some(std::process::id() as i32));
        });
    }
}
