//! What a rival is: a name, and what it can run.
//!
//! A rival is one file of `rivals`: its servers, and the few traits below, from which the generic workloads of `jobs`,
//! `disk_jobs` and `fan` are made. What it cannot do it says there, with the reason, and the reason is in the tables.

use std::future::Future;
use std::io;
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::time::Duration;

use crate::contest::Sample;

/// One runtime, or one floor.
pub(crate) struct Rival {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// The package whose version is recorded; none where it is this program itself.
    pub(crate) package: Option<&'static str>,
    pub(crate) servers: &'static [(&'static str, Server)],
    pub(crate) jobs: &'static [&'static [(&'static str, Job)]],
    /// What it lacks, and why; without a name, all that is not there.
    pub(crate) lacks: &'static [(&'static str, &'static str)],
}

/// What a child process serves until it is killed.
#[derive(Clone, Copy)]
pub(crate) enum Server {
    /// Echoes on every connection, with buffers of so many bytes.
    Tcp(fn(TcpListener, usize) -> io::Result<()>),
    /// Echoes every datagram.
    Udp(fn(UdpSocket) -> io::Result<()>),
    /// A script's argument: the script does both.
    Python(&'static str),
}

/// What a child process does so many times.
pub(crate) type Job = fn(u64) -> io::Result<Sample>;

impl Rival {
    pub(crate) fn server(&self, name: &str) -> Option<Server> {
        self.servers.iter().find(|(server, _)| *server == name).map(|(_, server)| *server)
    }

    pub(crate) fn job(&self, name: &str) -> Option<Job> {
        let mut jobs = self.jobs.iter().flat_map(|jobs| jobs.iter());
        jobs.find(|(job, _)| *job == name).map(|(_, job)| *job)
    }

    /// Why it does not run the workload of this name, if it does not.
    pub(crate) fn excuse(&self, server: &str, workload: &str) -> Option<&'static str> {
        if self.server(server).is_some() || self.job(workload).is_some() {
            return None;
        }
        let about = |name: &str| [workload, server, ""].contains(&name);
        let said = self.lacks.iter().find(|(name, _)| about(name));
        Some(said.map_or("not written", |(_, why)| why))
    }
}

/// A runtime of one thread.
pub(crate) trait Runtime: 'static {
    fn block_on<T: 'static>(future: impl Future<Output = T> + 'static) -> io::Result<T>;

    /// Starts a task and returns what waits for it.
    fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> impl Future<Output = T>;

    fn sleep(duration: Duration) -> impl Future<Output = ()>;

    /// Polls a future outside of the runtime's budget, where it has one.
    fn unconstrained<T>(future: impl Future<Output = T>) -> impl Future<Output = T> {
        future
    }
}

/// Its own lock and channel for tasks of one thread, or those that its documentation names.
pub(crate) trait Tools: Runtime {
    type Mutex: 'static;
    type Sender<T: 'static>: 'static;
    type Receiver<T: 'static>: 'static;

    fn mutex() -> Self::Mutex;
    /// Locks and unlocks.
    async fn lock(mutex: &Self::Mutex);
    fn channel<T: 'static>(capacity: usize) -> (Self::Sender<T>, Self::Receiver<T>);
    async fn send<T: 'static>(sender: &Self::Sender<T>, value: T);
    async fn receive<T: 'static>(receiver: &mut Self::Receiver<T>) -> Option<T>;
}

/// Its own channel between threads, or the one that its documentation names.
pub(crate) trait Cross: Runtime {
    type CrossSender: Send + 'static;
    type CrossReceiver: Send + 'static;

    fn crossing(capacity: usize) -> (Self::CrossSender, Self::CrossReceiver);
    /// Sends all numbers below `count`.
    async fn send_all(sender: Self::CrossSender, count: u64);
    /// Adds up what comes.
    async fn sum_all(receiver: Self::CrossReceiver) -> u64;
}

/// Its own TCP sockets, for the servers that are one text for several.
#[allow(dead_code, reason = "a build may have only rivals with servers of their own")]
pub(crate) trait Streams: Tools {
    type Listener: 'static;
    type Stream: 'static;
    /// Bytes that several sends share.
    type Message: Clone + From<Vec<u8>> + 'static;

    fn listener(listener: TcpListener) -> io::Result<Self::Listener>;
    async fn accept(listener: &Self::Listener) -> io::Result<Self::Stream>;
    /// Reads what is there, at most as much as the buffer's length, and returns how much it was; 0 is the end.
    async fn read(stream: &mut Self::Stream, buf: Vec<u8>) -> io::Result<(usize, Vec<u8>)>;
    async fn write(stream: &mut Self::Stream, message: Self::Message) -> io::Result<()>;
}

/// Its own file.
pub(crate) trait Files: Runtime {
    type File: 'static;

    fn file(file: std::fs::File) -> io::Result<Self::File>;
    /// Reads as much as the buffer holds, from a place, and returns the buffer.
    async fn read(file: &Self::File, buf: Vec<u8>, offset: u64) -> io::Result<Vec<u8>>;
    /// Writes all of it to a place, into the page cache, and returns a buffer as long.
    async fn write(file: &Self::File, buf: Vec<u8>, offset: u64) -> io::Result<Vec<u8>>;
    /// Writes all of it to a place, and returns it when it is on the disk.
    async fn write_durable(file: &Self::File, buf: Vec<u8>, offset: u64) -> io::Result<Vec<u8>>;
    /// Opens a small file, reads it into the buffer, closes it, and returns how long it was.
    async fn read_small(path: &Path, buf: Vec<u8>) -> io::Result<(usize, Vec<u8>)>;
}

/// What it knows of a path.
pub(crate) trait Paths: Runtime {
    async fn size(path: &Path) -> io::Result<u64>;
}

/// Its own file past the page cache, or its own with the flag and buffers that are aligned.
pub(crate) trait Direct: Runtime {
    type Disk: 'static;
    type Block: 'static;

    /// Opens this file for so many blocks under way.
    async fn disk(path: &Path, depth: usize) -> io::Result<Self::Disk>;
    /// Memory for one block.
    fn block(disk: &Self::Disk) -> Self::Block;
    async fn read_block(
        disk: &Self::Disk,
        block: Self::Block,
        offset: u64,
    ) -> io::Result<Self::Block>;
    async fn write_block(
        disk: &Self::Disk,
        block: Self::Block,
        offset: u64,
    ) -> io::Result<Self::Block>;
}
