//! The load: connections that each send a message and wait for it to come back, from one thread.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use annulus::net::TcpStream;
use hdrhistogram::Histogram;

use crate::options::Options;

/// What the load saw.
pub(crate) struct Outcome {
    pub(crate) requests: u64,
    pub(crate) time: Duration,
    pub(crate) latency_ns: Histogram<u64>,
}

/// Loads the server for `time`; `progress` gets the rate about once a second.
pub(crate) fn drive(
    address: SocketAddr,
    options: &Options,
    time: Duration,
    progress: impl Fn(f64),
) -> io::Result<Outcome> {
    annulus::run(async {
        let latency_ns = Rc::new(RefCell::new(Histogram::new(3).map_err(io::Error::other)?));
        let mut streams = Vec::new();
        for _ in 0..options.connections {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            streams.push(stream);
        }
        let start = Instant::now();
        let end = start + time;
        let tasks: Vec<_> = streams
            .into_iter()
            .map(|stream| {
                annulus::spawn(request_until(end, stream, options.size, Rc::clone(&latency_ns)))
            })
            .collect();
        let mut seen = (start, 0);
        while Instant::now() + Duration::from_millis(500) < end {
            let pause = Duration::from_secs(1).min(end.saturating_duration_since(Instant::now()));
            annulus::time::sleep(pause).await;
            let now = (Instant::now(), latency_ns.borrow().len());
            progress((now.1 - seen.1) as f64 / (now.0 - seen.0).as_secs_f64());
            seen = now;
        }
        for task in tasks {
            task.await??;
        }
        let time = start.elapsed();
        let latency_ns = latency_ns.borrow().clone();
        Ok(Outcome { requests: latency_ns.len(), time, latency_ns })
    })
}

/// One request after the other, each checked, until `end`.
async fn request_until(
    end: Instant,
    stream: TcpStream,
    size: usize,
    latency_ns: Rc<RefCell<Histogram<u64>>>,
) -> io::Result<()> {
    let mut request: Vec<u8> = (0..size).map(|index| index as u8).collect();
    let mut answer = vec![0; size];
    loop {
        let sent = Instant::now();
        if sent >= end {
            return Ok(());
        }
        request = stream.send_all(request).await?;
        stream.read_exact(&mut answer).await?;
        let nanoseconds = sent.elapsed().as_nanos() as u64;
        if answer != request {
            return Err(io::Error::other("the answer is not the request"));
        }
        latency_ns.borrow_mut().record(nanoseconds).map_err(io::Error::other)?;
        request[0] = request[0].wrapping_add(1);
    }
}
