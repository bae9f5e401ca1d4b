//! Options and descriptors: what is set is read back, and no child inherits a socket.

use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use annulus::Builder;
use annulus::fs::File;
use annulus::net::{TcpListener, TcpSocket, TcpStream};
use annulus::runtime::Feature;
use socket2::SockRef;

use crate::support::child::inherited_descriptors;
use crate::support::files::nameless_file;
use crate::support::settled::{pair, run, run_with, turn};

#[test]
fn options_of_a_stream_are_read_back() {
    run(async || {
        let (near, _far) = pair();
        for nodelay in [true, false] {
            near.set_nodelay(nodelay).unwrap();
            assert_eq!(near.nodelay().unwrap(), nodelay);
        }
        assert_eq!(near.linger().unwrap(), None);
        near.set_linger(Some(Duration::from_secs(3))).unwrap();
        assert_eq!(near.linger().unwrap(), Some(Duration::from_secs(3)));
        near.set_linger(None).unwrap();
        near.set_keepalive(Some(Duration::from_secs(55))).unwrap();
        assert_eq!(SockRef::from(&near).tcp_keepalive_time().unwrap(), Duration::from_secs(55));
        near.set_keepalive(None).unwrap();
        assert!(!SockRef::from(&near).keepalive().unwrap());
    });
}

#[test]
fn options_of_a_socket_reach_its_stream() {
    run(async || {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.set_send_buffer_size(30_000).unwrap();
        socket.set_recv_buffer_size(40_000).unwrap();
        socket.set_keepalive(Some(Duration::from_secs(9))).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = socket.connect(listener.local_addr().unwrap()).await.unwrap();
        let options = SockRef::from(&stream);
        assert!(stream.nodelay().unwrap());
        assert_eq!(options.send_buffer_size().unwrap(), 60_000);
        assert_eq!(options.recv_buffer_size().unwrap(), 80_000);
        assert_eq!(options.tcp_keepalive_time().unwrap(), Duration::from_secs(9));
    });
}

fn closes_on_exec(fd: RawFd) -> bool {
    let path = format!("/proc/thread-self/fdinfo/{fd}");
    let text = std::fs::read_to_string(path).expect("the descriptor is open");
    let flags = text.lines().find_map(|line| line.strip_prefix("flags:")).expect("flags");
    i64::from_str_radix(flags.trim(), 8).expect("octal") & i64::from(libc::O_CLOEXEC) != 0
}

#[test]
fn no_descriptor_of_ours_reaches_a_child() {
    for builder in [Builder::new(), Builder::new().disable(Feature::MultishotAccept)] {
        run_with(builder, async || {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (server, _) = listener.accept().await.unwrap();
            let file = File::from_std(nameless_file());
            client.write_all(b"x").await.unwrap();
            drop(server.recv().await.unwrap());
            for fd in [listener.as_raw_fd(), client.as_raw_fd(), server.as_raw_fd()] {
                assert!(closes_on_exec(fd), "descriptor {fd}");
            }
            turn().await;
            assert_eq!(inherited_descriptors(), Vec::<String>::new());
            drop(file);
        });
    }
}
