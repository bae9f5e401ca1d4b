//! Many connections that wait, one of which has a message now and then: what each costs in memory, and a wake.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use socket2::SockRef;

use super::Taken;
use crate::load::{Length, Phase, Watched, Window, histogram};
use crate::support::cpu::monotonic_ns;

const MESSAGE: [u8; 64] = [7; 64];
/// So many come first and do not count, since the first ones bring what all share; and so many at a time later.
const WARM: usize = 64;
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn run(
    address: SocketAddr,
    process: u32,
    count: usize,
    length: Length,
    watched: Watched,
) -> io::Result<Taken> {
    let mut streams = Vec::with_capacity(count);
    // So many at a time: one by one they would take a second, all together they would want buffers all together.
    let mut open = |until: usize| -> io::Result<()> {
        while streams.len() < until {
            let first = streams.len();
            while streams.len() < until.min(first + WARM) {
                let mut stream = TcpStream::connect(address)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
                stream.write_all(&MESSAGE)?;
                streams.push(stream);
            }
            streams[first..].iter_mut().try_for_each(answer)?;
        }
        Ok(())
    };
    open(WARM)?;
    let before = resident_bytes(process);
    open(count)?;
    let grown = resident_bytes(process) as f64 - before as f64;
    let mut window = Window::new(length, watched, 16)?;
    let (mut answered, mut latencies_ns, mut at) = (0, None, 0);
    loop {
        // A step that visits all, far apart, so that none is warm when its turn comes.
        at = (at + 2_617) % streams.len();
        let begun_ns = monotonic_ns();
        ask(&mut streams[at])?;
        let now_ns = monotonic_ns();
        answered += 1;
        if let Some(latencies_ns) = &mut latencies_ns {
            hdrhistogram::Histogram::saturating_record(latencies_ns, now_ns - begun_ns);
        }
        match window.look(now_ns, answered) {
            Phase::Same => {}
            Phase::Begin => latencies_ns = Some(histogram()),
            Phase::End => {
                window.keep(latencies_ns.take());
                let each = grown / (count - WARM) as f64;
                return Ok(Taken {
                    measured: window.measured()?,
                    extras: vec![("bytes_per_connection", each)],
                });
            }
        }
    }
}

fn ask(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(&MESSAGE)?;
    answer(stream)
}

fn answer(stream: &mut TcpStream) -> io::Result<()> {
    let mut answer = [0; MESSAGE.len()];
    stream.read_exact(&mut answer)?;
    if answer == MESSAGE { Ok(()) } else { Err(io::Error::other("not what was sent")) }
}

fn resident_bytes(process: u32) -> u64 {
    let statm = fs::read_to_string(format!("/proc/{process}/statm")).unwrap_or_default();
    let pages: u64 = statm.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    pages * 4096
}
