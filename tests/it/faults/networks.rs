//! A network of two machines, each a namespace that the test made: a peer that refuses, is not there, swallows what is
//! sent to it, goes silent in the midst, or is slow.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{
    SocketAddr, TcpListener as StdListener, TcpStream as StdStream, UdpSocket as StdUdpSocket,
};
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use annulus::net::{TcpStream, UdpSocket};
use annulus::spawn;
use annulus::time::timeout;

use crate::support::machine::{call, ip, on_a_thread, own_namespace};
use crate::support::settled::{PATIENCE, content, run, until, until_operations};
use crate::support::skip::skip;

/// Addresses of the far machine's network that it routes to nowhere, each in a way of its own.
const SWALLOWED: &str = "10.8.1.1:80";
const UNREACHABLE: &str = "10.8.2.1:80";
const PROHIBITED: &str = "10.8.3.1:80";
/// Of the network between the two, where nobody has it.
const NOBODY: &str = "10.9.0.77:80";
/// Of no network at all.
const NO_ROUTE: &str = "10.7.0.1:80";

/// The other machine: a thread in a namespace of its own, on which a server echoes.
struct Far {
    /// Dropped, it ends the machine.
    orders: Sender<(&'static str, &'static str)>,
    done: Receiver<io::Result<()>>,
    echo: SocketAddr,
    /// A port that nobody listens on.
    closed: SocketAddr,
    thread: JoinHandle<io::Result<()>>,
}

/// Makes this thread a machine, and another, and the link between them.
fn two_machines() -> io::Result<Far> {
    own_namespace()?;
    ip("link set lo up")?;
    let (tell_id, id) = mpsc::channel();
    let (tell_linked, linked) = mpsc::channel();
    let (tell_ready, ready) = mpsc::channel();
    let (orders, taken) = mpsc::channel();
    let (tell_done, done) = mpsc::channel();
    let thread = thread::spawn(move || {
        let _ = tell_id.send(own_namespace()?);
        if linked.recv().is_err() {
            return Ok(());
        }
        far_machine(&tell_ready, &taken, &tell_done)
    });
    let failed = || io::Error::other("the other machine did not start");
    let id = id.recv().map_err(|_| failed())?;
    ip(&format!("link add near0 type veth peer name far0 netns {id}"))?;
    ip("addr add 10.9.0.1/24 dev near0")?;
    ip("link set near0 up")?;
    ip("route add 10.8.0.0/16 via 10.9.0.2")?;
    // An address that nobody answers for is given up after 150 ms, not 3 s.
    std::fs::write("/proc/sys/net/ipv4/neigh/near0/retrans_time_ms", "50")?;
    let _ = tell_linked.send(());
    match ready.recv() {
        Ok((echo, closed)) => Ok(Far { orders, done, echo, closed, thread }),
        Err(_) => Err(thread.join().expect("no panic").err().unwrap_or_else(failed)),
    }
}

fn far_machine(
    ready: &Sender<(SocketAddr, SocketAddr)>,
    orders: &Receiver<(&'static str, &'static str)>,
    done: &Sender<io::Result<()>>,
) -> io::Result<()> {
    ip("addr add 10.9.0.2/24 dev far0")?;
    ip("link set far0 up")?;
    ip("route add blackhole 10.8.1.0/24")?;
    ip("route add unreachable 10.8.2.0/24")?;
    ip("route add prohibit 10.8.3.0/24")?;
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
    // Each refusal is told, not one a second.
    std::fs::write("/proc/sys/net/ipv4/icmp_ratelimit", "0")?;
    let listener = StdListener::bind("10.9.0.2:0")?;
    listener.set_nonblocking(true)?;
    let closed = StdListener::bind("10.9.0.2:0")?.local_addr()?;
    let _ = ready.send((listener.local_addr()?, closed));
    loop {
        match orders.try_recv() {
            Ok((program, arguments)) => _ = done.send(call(program, arguments)),
            Err(TryRecvError::Disconnected) => return Ok(()),
            Err(TryRecvError::Empty) => {}
        }
        match listener.accept() {
            Ok((stream, _)) => drop(thread::spawn(move || echo(stream))),
            Err(_) => thread::sleep(Duration::from_millis(1)),
        }
    }
}

fn echo(mut stream: StdStream) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    let mut buf = [0; 16 * 1024];
    loop {
        match stream.read(&mut buf)? {
            0 => return Ok(()),
            count => stream.write_all(&buf[..count])?,
        }
    }
}

impl Far {
    /// Runs a program on the other machine.
    fn order(&self, program: &'static str, arguments: &'static str) -> io::Result<()> {
        self.orders.send((program, arguments)).expect("it is there");
        self.done.recv_timeout(PATIENCE).expect("it is there")
    }

    fn end(self) {
        drop(self.orders);
        self.thread.join().expect("no panic").expect("no error");
    }
}

/// Runs a test on a thread that is a machine of its own, with another; why it could not.
fn with_two_machines(test: impl FnOnce(&Far) -> io::Result<()> + Send) -> io::Result<()> {
    on_a_thread(|| {
        let far = two_machines()?;
        let done = test(&far);
        far.end();
        done
    })
}

#[test]
fn networks_that_lead_nowhere_give_the_errors_of_std() {
    let outcome = with_two_machines(|far| {
        let closed = far.closed.to_string();
        let addresses = [
            (closed.as_str(), ErrorKind::ConnectionRefused),
            (UNREACHABLE, ErrorKind::HostUnreachable),
            (PROHIBITED, ErrorKind::HostUnreachable),
            (NOBODY, ErrorKind::HostUnreachable),
            (NO_ROUTE, ErrorKind::NetworkUnreachable),
        ];
        run(async || {
            for (address, kind) in addresses {
                let std = StdStream::connect(address).expect_err("it leads nowhere").kind();
                let error = TcpStream::connect(address).await.expect_err("it leads nowhere");
                assert_eq!((error.kind(), std), (kind, kind), "{address}: {error}");
            }
            // The peer's machine says of a datagram that nobody is there.
            let socket = UdpSocket::bind("10.9.0.1:0").await.expect("bind");
            socket.connect(far.closed).await.expect("connect");
            socket.send(b"anybody?").await.expect("sent");
            let error = socket.recv(&mut [0]).await.expect_err("nobody");
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        });
        Ok(())
    });
    if let Err(error) = outcome {
        skip!("no network of two machines: {error}");
    }
}

#[test]
fn a_connect_into_a_black_hole_is_given_up_at_its_time() {
    let outcome = with_two_machines(|far| {
        run(async || {
            for address in [SWALLOWED, "10.8.1.2:80"] {
                let connect = TcpStream::connect(address);
                assert!(timeout(Duration::from_millis(50), connect).await.is_err(), "{address}");
            }
            // Of several addresses, the one that answers is found behind it.
            let both = vec![SWALLOWED.parse().expect("an address"), far.echo];
            let stream = TcpStream::connect(both).await.expect("the second answers");
            assert_eq!(stream.peer_addr().expect("connected"), far.echo);
        });
        Ok(())
    });
    if let Err(error) = outcome {
        skip!("no network of two machines: {error}");
    }
}

/// Connects that this machine began: `ActiveOpens` of the second line on TCP.
fn opens() -> u64 {
    let counts = std::fs::read_to_string("/proc/thread-self/net/snmp").expect("/proc is mounted");
    let mut lines = counts.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let (names, values) = (lines.next().expect("names"), lines.next().expect("values"));
    let mut both = names.split(' ').zip(values.split(' '));
    let (_, value) = both.find(|(name, _)| *name == "ActiveOpens").expect("it is counted");
    value.parse().expect("a number")
}

/// Connects that wait for an answer, whoever holds their sockets.
fn unanswered() -> usize {
    const SYN_SENT: &str = "02";
    let table = std::fs::read_to_string("/proc/thread-self/net/tcp6").expect("/proc is mounted");
    table.lines().skip(1).filter(|line| line.split_whitespace().nth(3) == Some(SYN_SENT)).count()
}

/// RFC 8305 with two black holes of one family before an address of the other: it is the second that is tried, after
/// one delay; the attempt that lost is closed, and the third is never made.
#[test]
fn a_black_hole_of_one_family_costs_one_delay_and_is_closed() {
    let outcome = with_two_machines(|far| {
        far.order("ip", "-6 addr add fd00:9::2/64 dev far0 nodad")?;
        far.order("ip", "-6 route add blackhole fd00:8::/32")?;
        ip("-6 addr add fd00:9::1/64 dev near0 nodad")?;
        ip("-6 route add fd00:8::/32 via fd00:9::2")?;
        run(async || -> io::Result<()> {
            let six = |text: &str| text.parse().expect("an address");
            let list = vec![six("[fd00:8::1]:80"), six("[fd00:8::2]:80"), far.echo];
            // An interface that is up has an address that can be used only a moment later.
            let probe = StdUdpSocket::bind("[::]:0")?;
            until(|| probe.connect(list[0]).is_ok()).await;
            let (before, start) = (opens(), Instant::now());
            let stream = TcpStream::connect(list).await.expect("one answers");
            assert!(start.elapsed() >= Duration::from_millis(250), "{:?}", start.elapsed());
            assert_eq!(stream.peer_addr().expect("connected"), far.echo);
            assert_eq!(opens() - before, 2, "the families take turns");
            stream.write_all(b"hello").await.expect("sent");
            stream.read_exact(&mut [0; 5]).await.expect("the echo");
            drop(stream);
            until_operations(0).await;
            assert_eq!(unanswered(), 0, "the attempt that lost is closed");
            // If none answers, all are tried, each after its delay, and all are closed when it is given up.
            let list = vec![six("[fd00:8::1]:80"), SWALLOWED.parse().expect("an address")];
            let (before, connect) = (opens(), TcpStream::connect(list));
            assert!(timeout(Duration::from_secs(1), connect).await.is_err());
            assert_eq!(opens() - before, 2);
            until_operations(0).await;
            assert_eq!(unanswered(), 0);
            // A refusal is no delay, and the last to fail says why.
            let (before, start) = (opens(), Instant::now());
            let list = vec![NO_ROUTE.parse().expect("an address"), far.closed];
            let error = TcpStream::connect(list).await.expect_err("nobody is there");
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
            assert!(error.to_string().contains(&far.closed.to_string()), "{error}");
            assert!(start.elapsed() < PATIENCE && opens() > before);
            Ok(())
        })
    });
    if let Err(error) = outcome {
        skip!("no network of two machines with IPv6: {error}");
    }
}

#[test]
fn a_peer_that_goes_silent_is_given_up_at_a_time_and_nothing_is_lost_when_it_is_back() {
    const SIZE: usize = 64 * 1024;
    let outcome = with_two_machines(|far| {
        run(async || {
            let stream = TcpStream::connect(far.echo).await.expect("connect");
            stream.write_all(b"hello").await.expect("sent");
            stream.read_exact(&mut [0; 5]).await.expect("the echo");
            far.order("ip", "link set far0 down").expect("ip is there");
            stream.write_all(&content(1, 0, SIZE)).await.expect("the kernel takes it");
            for _ in 0..5 {
                assert!(timeout(Duration::from_millis(10), stream.recv()).await.is_err());
            }
            far.order("ip", "link set far0 up").expect("ip is there");
            let mut bytes = vec![0; SIZE];
            stream.read_exact(&mut bytes).await.expect("the echo");
            assert!(bytes == content(1, 0, SIZE));
        });
        Ok(())
    });
    if let Err(error) = outcome {
        skip!("no network of two machines: {error}");
    }
}

#[test]
fn a_slow_network_loses_no_byte_to_timeouts_in_either_direction() {
    // At 4 Mbit/s half a second each way.
    const SIZE: usize = 256 * 1024;
    let outcome = with_two_machines(|far| {
        far.order("tc", "qdisc add dev far0 root tbf rate 4mbit burst 8kb latency 50ms")?;
        run(async || {
            let stream = std::rc::Rc::new(TcpStream::connect(far.echo).await.expect("connect"));
            let sending = std::rc::Rc::clone(&stream);
            let sender = spawn(async move {
                for part in content(2, 0, SIZE).chunks(1000) {
                    sending.write_all(part).await.expect("sent");
                }
            });
            let (mut bytes, mut late) = (Vec::new(), 0);
            while bytes.len() < SIZE {
                match timeout(Duration::from_millis(1), stream.recv()).await {
                    Ok(chunk) => bytes.extend_from_slice(&chunk.expect("whole").expect("bytes")),
                    Err(_) => late += 1,
                }
            }
            assert!(bytes == content(2, 0, SIZE));
            assert!(late > 0, "the network was not slow");
            sender.await.expect("no panic");
        });
        Ok(())
    });
    if let Err(error) = outcome {
        skip!("no network of two machines: {error}");
    }
}

#[test]
fn a_peer_with_a_tiny_window_gets_every_byte_of_writes_that_timed_out() {
    const PARTS: usize = 200;
    run(async || {
        let listener = StdListener::bind("127.0.0.1:0").expect("bind");
        socket2::SockRef::from(&listener).set_recv_buffer_size(1).expect("the least there is");
        let address = listener.local_addr().expect("bound");
        let stream = TcpStream::connect(address).await.expect("connect");
        socket2::SockRef::from(&stream).set_send_buffer_size(1).expect("the least there is");
        let (mut peer, _) = listener.accept().expect("accept");
        let reader = thread::spawn(move || {
            let (mut bytes, mut buf) = (Vec::new(), [0; 512]);
            loop {
                match peer.read(&mut buf).expect("whole") {
                    0 => return bytes,
                    count => bytes.extend_from_slice(&buf[..count]),
                }
                thread::sleep(Duration::from_micros(200));
            }
        });
        let mut late = 0;
        for part in 0..PARTS {
            // The future is dropped where it takes too long; the send goes on, and the next waits for it.
            let write = stream.send_all(content(3, part * 1000, 1000));
            late += usize::from(timeout(Duration::from_micros(100), write).await.is_err());
            stream.writable().await.expect("all of it left");
        }
        assert!(late > 0, "the peer was not slow");
        stream.shutdown().await.expect("shut down");
        until(|| reader.is_finished()).await;
        assert!(reader.join().expect("no panic") == content(3, 0, PARTS * 1000));
    });
}
