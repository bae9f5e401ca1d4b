//! When the measuring begins and ends, and the clocks at both moments.

use std::io;

use hdrhistogram::Histogram;

use super::Thread;
use super::syscalls::Syscalls;
use crate::support::cpu::{Steal, monotonic_ns, process_ns};

/// How long to go on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Length {
    /// A timed window after a warm-up.
    Window { warmup_ns: u64, window_ns: u64 },
    /// This many requests and nothing else, for counting instructions.
    Requests(u64),
}

/// Whose clocks to read.
pub(crate) struct Watched {
    /// The server's thread; `None` when it is in another process.
    pub(crate) server: Option<Thread>,
    pub(crate) cpus: Vec<usize>,
    /// Whether to count the server's system calls too, which costs it some time.
    pub(crate) syscalls: bool,
}

/// What one run gave.
pub(crate) struct Measured {
    pub(crate) requests: u64,
    pub(crate) wall_ns: u64,
    pub(crate) server_cpu_ns: u64,
    /// 0 unless asked for.
    pub(crate) server_syscalls: u64,
    pub(crate) client_cpu_ns: u64,
    /// Time of all other threads of this process, kernel workers included: what a server could hide.
    pub(crate) other_cpu_ns: u64,
    /// How long either side was ready to run but something else had its processor.
    pub(crate) server_waited_ns: u64,
    pub(crate) client_waited_ns: u64,
    pub(crate) steal_percent: f64,
    pub(crate) latencies_ns: Histogram<u64>,
}

/// What changed since the last look.
pub(crate) enum Phase {
    Same,
    Begin,
    End,
}

pub(crate) struct Window {
    length: Length,
    watched: Watched,
    client: Thread,
    syscalls: Option<Syscalls>,
    started_ns: u64,
    /// The warm-up goes on until each connection was answered a few times.
    warm_answers: u64,
    begin: Option<Moment>,
    end: Option<Moment>,
    latencies_ns: Option<Histogram<u64>>,
    steal_percent: f64,
}

/// All clocks at one moment.
struct Moment {
    answered: u64,
    wall_ns: u64,
    server_ns: u64,
    client_ns: u64,
    process_ns: u64,
    syscalls: u64,
    waited_ns: [u64; 2],
    steal: Steal,
}

impl Length {
    pub(crate) fn limit(self) -> u64 {
        match self {
            Self::Window { .. } => u64::MAX,
            Self::Requests(requests) => requests,
        }
    }

    /// After this the server counts as stalled: generous, since valgrind is slow and draining takes its time.
    pub(crate) fn patience_s(self) -> u64 {
        match self {
            Self::Window { warmup_ns, window_ns } => {
                (warmup_ns * 5 + window_ns) / 1_000_000_000 + 15
            }
            Self::Requests(_) => 90,
        }
    }
}

impl Window {
    pub(crate) fn new(length: Length, watched: Watched, connections: usize) -> io::Result<Self> {
        let counted = watched.server.filter(|_| watched.syscalls);
        Ok(Self {
            length,
            watched,
            syscalls: counted.map(Thread::syscalls).transpose()?,
            client: Thread::current()?,
            started_ns: monotonic_ns(),
            warm_answers: connections as u64 * 4,
            begin: None,
            end: None,
            latencies_ns: None,
            steal_percent: 0.0,
        })
    }

    #[inline]
    pub(crate) fn look(&mut self, now_ns: u64, answered: u64) -> Phase {
        let Length::Window { warmup_ns, window_ns } = self.length else { return Phase::Same };
        match &self.begin {
            None => {
                let waited_ns = now_ns - self.started_ns;
                let warm = waited_ns >= warmup_ns && answered >= self.warm_answers;
                if !warm && waited_ns < warmup_ns * 5 {
                    return Phase::Same;
                }
                self.begin = Some(self.moment(answered));
                Phase::Begin
            }
            Some(begin) if self.end.is_none() && now_ns >= begin.wall_ns + window_ns => {
                let end = self.moment(answered);
                self.steal_percent = end.steal.percent_since(&begin.steal);
                self.end = Some(end);
                Phase::End
            }
            Some(_) => Phase::Same,
        }
    }

    pub(crate) fn keep(&mut self, latencies_ns: Option<Histogram<u64>>) {
        self.latencies_ns = latencies_ns;
    }

    pub(crate) fn measured(self) -> io::Result<Measured> {
        let (Some(begin), Some(end)) = (self.begin, self.end) else {
            return Ok(Measured::nothing());
        };
        let (server, client) = (end.server_ns - begin.server_ns, end.client_ns - begin.client_ns);
        let process = end.process_ns - begin.process_ns;
        Ok(Measured {
            requests: end.answered - begin.answered,
            wall_ns: end.wall_ns - begin.wall_ns,
            server_cpu_ns: server,
            server_syscalls: end.syscalls - begin.syscalls,
            client_cpu_ns: client,
            other_cpu_ns: process.saturating_sub(server + client),
            server_waited_ns: end.waited_ns[0] - begin.waited_ns[0],
            client_waited_ns: end.waited_ns[1] - begin.waited_ns[1],
            steal_percent: self.steal_percent,
            latencies_ns: self.latencies_ns.unwrap_or_else(histogram),
        })
    }

    /// Reads the slow files before the clocks at the beginning and after them at the end, so that they fall
    /// outside the span.
    fn moment(&self, answered: u64) -> Moment {
        let files = || {
            let waited_ns =
                [self.watched.server.map_or(0, Thread::waited_ns), self.client.waited_ns()];
            (waited_ns, Steal::now(&self.watched.cpus))
        };
        let early = self.begin.is_none().then(files);
        let wall_ns = monotonic_ns();
        let server_ns = self.watched.server.map_or(0, Thread::cpu_ns);
        let client_ns = self.client.cpu_ns();
        let process_ns = process_ns();
        let syscalls = self.syscalls.as_ref().map_or(0, Syscalls::count);
        let (waited_ns, steal) = early.unwrap_or_else(files);
        Moment { answered, wall_ns, server_ns, client_ns, process_ns, syscalls, waited_ns, steal }
    }
}

impl Measured {
    /// The largest share of the window that was taken away from either side, by the host or by another
    /// process on its processor, in percent.
    pub(crate) fn lost_percent(&self) -> f64 {
        let waited_ns = self.server_waited_ns.max(self.client_waited_ns);
        self.steal_percent.max(100.0 * waited_ns as f64 / self.wall_ns as f64)
    }

    fn nothing() -> Self {
        Self {
            requests: 0,
            wall_ns: 0,
            server_cpu_ns: 0,
            server_syscalls: 0,
            client_cpu_ns: 0,
            other_cpu_ns: 0,
            server_waited_ns: 0,
            client_waited_ns: 0,
            steal_percent: 0.0,
            latencies_ns: histogram(),
        }
    }
}

/// From a nanosecond to a minute at three digits.
pub(crate) fn histogram() -> Histogram<u64> {
    match Histogram::new_with_bounds(1, 60_000_000_000, 3) {
        Ok(histogram) => histogram,
        Err(error) => unreachable!("the bounds are right: {error}"),
    }
}
