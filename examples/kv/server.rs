//! The server: connections, requests, and the keys that a core owns.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::rc::Rc;

use annulus::mesh::{Shard, Sharded};
use annulus::net::{self, Limits, ShardedListener, TcpStream};
use annulus::signal::termination;
use annulus::task::CancellationToken;

use crate::load::{self, Load};

/// What one core owns.
type Keys = RefCell<HashMap<String, String>>;

/// Connections of a core at once.
const CONNECTIONS_MAX: u32 = 100_000;

/// The longest line that is understood, in bytes.
const LINE_MAX: usize = 64 * 1024;

/// What one core did.
pub(crate) struct Served {
    pub(crate) connections: u64,
    pub(crate) requests: u64,
    pub(crate) remote: u64,
}

/// Counts of one core.
#[derive(Default)]
struct Counts {
    requests: Cell<u64>,
    remote: Cell<u64>,
}

thread_local! {
    /// The store, as shard 0 made it for all.
    static STORE: RefCell<Option<Sharded<Keys>>> = const { RefCell::new(None) };
}

/// Serves on this core until the mesh is asked to stop, and then until its connections have ended.
pub(crate) async fn serve(
    shard: Shard,
    port: &ShardedListener,
    load: Option<Load>,
) -> io::Result<Served> {
    // Before anybody can connect.
    let listener = port.listen()?;
    if shard.index() == 0 {
        let mut termination = termination()?;
        let store: Sharded<Keys> = Sharded::new(RefCell::default).await?;
        let give = async move || STORE.set(Some(store));
        for given in Shard::broadcast(give).await {
            given?;
        }
        let shard = shard.clone();
        println!("kv on {}", port.local_addr());
        annulus::spawn(async move {
            match load {
                Some(load) => load::run(load).await,
                None => _ = termination.recv().await,
            }
            shard.stop();
        });
    }
    // Asked by every connection for every request, so it is this core's own.
    let stopping = CancellationToken::new();
    let counts = Rc::new(Counts::default());
    let (asked, counting) = (stopping.clone(), Rc::clone(&counts));
    let limits = Limits::new().connections(CONNECTIONS_MAX);
    let server = net::serve(listener, limits, async move |stream| {
        connection(stream, &counting, &asked).await
    });
    // No new ones from then on; those that are open end what they began.
    let end = async move {
        shard.stopped().await;
        stopping.cancel();
    };
    let connections = server.until(end).await?.total();
    let Counts { requests, remote } = &*counts;
    Ok(Served { connections, requests: requests.get(), remote: remote.get() })
}

/// Answers the lines of one connection, in order.
async fn connection(
    stream: TcpStream,
    counts: &Counts,
    stopping: &CancellationToken,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffered = Vec::new();
    loop {
        let received = annulus::select! {
            () = stopping.cancelled() => return stream.shutdown().await,
            received = stream.recv() => received?,
        };
        let Some(chunk) = received else {
            return Ok(());
        };
        buffered.extend_from_slice(&chunk);
        drop(chunk);
        let mut answers = Vec::new();
        while let Some(end) = buffered.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = buffered.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let answer = answer(line.trim_end(), counts).await?;
            answers.extend_from_slice(answer.as_bytes());
            answers.push(b'\n');
        }
        if buffered.len() > LINE_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a line without end"));
        }
        if !answers.is_empty() {
            stream.send_all(answers).await?;
        }
    }
}

/// What is asked of the owner of a key.
enum Request {
    Get,
    Set(String),
    Delete,
}

/// Does what a line asks, on the core that owns its key.
async fn answer(line: &str, counts: &Counts) -> io::Result<String> {
    let mut words = line.splitn(3, ' ');
    let request = match (words.next(), words.next(), words.next()) {
        (Some("GET"), Some(key), None) => (key, Request::Get),
        (Some("SET"), Some(key), Some(value)) => (key, Request::Set(value.to_owned())),
        (Some("DEL"), Some(key), None) => (key, Request::Delete),
        _ => return Ok("ERROR: say GET key, SET key value or DEL key".to_owned()),
    };
    let (key, request) = (request.0.to_owned(), request.1);
    let Some(store) = STORE.with_borrow(Clone::clone) else {
        return Ok("ERROR: not ready yet".to_owned());
    };
    counts.requests.set(counts.requests.get() + 1);
    let owner = store.owner(&key);
    if owner.is_current() {
        return Ok(apply(&store.local(), key, request));
    }
    counts.remote.set(counts.remote.get() + 1);
    Ok(store.call(&owner, async move |keys| apply(&keys, key, request)).await?)
}

fn apply(keys: &Keys, key: String, request: Request) -> String {
    let mut keys = keys.borrow_mut();
    let found = match request {
        Request::Get => keys.get(&key).cloned(),
        Request::Set(value) => {
            keys.insert(key, value);
            return "OK".to_owned();
        }
        Request::Delete => keys.remove(&key),
    };
    found.map_or_else(|| "NONE".to_owned(), |value| format!("VALUE {value}"))
}
