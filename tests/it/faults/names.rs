//! The look-up of names where the name server is silent, says no, or is not there.
#![allow(unsafe_code, reason = "namespaces are made by system calls")]

use std::ffi::CString;
use std::io;
use std::net::UdpSocket;
use std::process::{Command, Output};
use std::time::Duration;

use annulus::net::{TcpStream, lookup_host};
use annulus::runtime::metrics;
use annulus::time::timeout;
use annulus::{Builder, spawn};

use crate::support::child::{assert_passed, in_child};
use crate::support::settled::{PATIENCE, run, run_with, until};
use crate::support::skip::skip;

const NO_NAMESPACE: &str = "no namespace with a name server of our own: ";

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A network and files of this thread's own, and of the threads it makes.
fn own_namespaces() -> io::Result<()> {
    // SAFETY: no memory is passed; the namespaces are this thread's own.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET | libc::CLONE_NEWNS) })?;
    if !Command::new("ip").args(["link", "set", "lo", "up"]).status()?.success() {
        return Err(io::Error::other("ip cannot set up loopback"));
    }
    mount("none", "/", "", libc::MS_REC | libc::MS_PRIVATE)
}

/// Nothing says who to ask: there is no `resolv.conf`, nor any other file of the system's.
fn no_resolv_conf() -> io::Result<()> {
    own_namespaces()?;
    mount("none", "/etc", "tmpfs", 0)
}

/// A `resolv.conf` of our own: one name server, on loopback.
fn name_server_of_our_own() -> io::Result<()> {
    own_namespaces()?;
    let dir = std::env::temp_dir().join(format!("annulus-names-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let result = (|| {
        for (name, text) in [
            ("resolv.conf", "nameserver 127.0.0.1\noptions timeout:20 attempts:1\n"),
            ("nsswitch.conf", "hosts: files dns\n"),
        ] {
            let file = dir.join(name);
            std::fs::write(&file, text)?;
            let place = format!("/etc/{name}");
            if std::path::Path::new(&place).exists() {
                mount(&file.to_string_lossy(), &place, "", libc::MS_BIND)?;
            } else if name == "resolv.conf" {
                return Err(io::Error::other("there is no /etc/resolv.conf to mount over"));
            }
        }
        Ok(())
    })();
    // What is mounted stays.
    std::fs::remove_dir_all(&dir)?;
    result
}

fn mount(source: &str, target: &str, kind: &str, flags: libc::c_ulong) -> io::Result<()> {
    let (source, target, kind) =
        (CString::new(source)?, CString::new(target)?, CString::new(kind)?);
    let (source, target, kind) = (source.as_ptr(), target.as_ptr(), kind.as_ptr());
    // SAFETY: the strings live across the call.
    check(unsafe { libc::mount(source, target, kind, flags, std::ptr::null()) })
}

/// Says of every name that was asked for that there is none.
fn answer_all(server: &UdpSocket) {
    let mut packet = [0; 512];
    loop {
        match server.recv_from(&mut packet) {
            Ok((len, peer)) => {
                // A response, and "name error".
                packet[2] |= 0x80;
                packet[3] = packet[3] & 0xf0 | 3;
                server.send_to(&packet[..len], peer).expect("there is room");
            }
            Err(error) => return assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
    }
}

fn silent_then_answering() {
    run_with(Builder::new().blocking_threads(2).blocking_queue(4), async || {
        let server = UdpSocket::bind("127.0.0.1:53").expect("the network is ours");
        server.set_nonblocking(true).expect("a socket");
        // More than the threads and the queue hold; all are given up while the server is silent.
        let waiting: Vec<_> =
            (0..20)
                .map(|number| {
                    let name = format!("host{number}.example:80");
                    spawn(async move {
                        timeout(Duration::from_millis(5), lookup_host(name)).await.is_err()
                    })
                })
                .collect();
        for task in waiting {
            assert!(task.await.unwrap(), "the timeout ends the wait");
        }
        let blocking = metrics().blocking;
        assert!(blocking.threads <= 2, "{blocking:?}");
        assert_eq!((blocking.queued, blocking.waiting), (0, 0), "what was given up is not asked");
        let connect = timeout(Duration::from_millis(1), TcpStream::connect("more.example:80"));
        assert!(connect.await.is_err());
        // Now it answers, and its threads are free again.
        until(|| {
            answer_all(&server);
            metrics().blocking.running == 0
        })
        .await;
        let unknown = spawn(async { TcpStream::connect("unknown.example:80").await.map(drop) });
        until(|| {
            answer_all(&server);
            unknown.is_finished()
        })
        .await;
        let error = unknown.await.unwrap().unwrap_err();
        assert!(error.to_string().contains("\"unknown.example\""), "{error}");
        assert!(metrics().blocking.threads <= 2);
    });
}

/// Why the child could not do its test, if it could not.
fn skipped(output: &Output) -> Option<String> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.split_once(NO_NAMESPACE).map(|(_, why)| why.lines().next().unwrap_or_default().to_owned())
}

/// Does a test in a child for which the first function has made namespaces, or skips it.
macro_rules! in_namespaces {
    ($prepare:ident, $test:ident) => {
        let Some(output) = in_child!(|| match $prepare() {
            Ok(()) => $test(),
            Err(error) => skip!("{NO_NAMESPACE}{error}"),
        }) else {
            return;
        };
        if let Some(why) = skipped(&output) {
            skip!("{NO_NAMESPACE}{why}");
        }
        assert_passed(&output);
    };
}

#[test]
fn a_silent_name_server_holds_up_nobody_but_its_threads() {
    in_namespaces!(name_server_of_our_own, silent_then_answering);
}

/// Asks where nobody listens to questions, so that they are refused at once.
fn ask_nobody() {
    run(async || {
        let looked_up = timeout(PATIENCE, lookup_host("unknown.example:80")).await;
        let Err(error) = looked_up.expect("it is refused at once") else {
            panic!("there is no such host")
        };
        assert!(error.to_string().contains("unknown.example"), "{error}");
        assert_eq!(lookup_host("127.0.0.1:80").await.unwrap().count(), 1, "an address is no name");
    });
}

#[test]
fn without_a_resolv_conf_an_unknown_name_is_an_error() {
    in_namespaces!(no_resolv_conf, ask_nobody);
}

#[test]
fn without_a_name_server_an_unknown_name_is_an_error() {
    in_namespaces!(name_server_of_our_own, ask_nobody);
}
