//! The echo servers under comparison: each serves one listener on the calling thread until told to stop.
//!
//! `control` is the stop signal, a connected TCP stream because every runtime can wait for one: a server ends
//! when it reads end-of-file there, which happens only after the client has closed all its connections.

pub(crate) mod annulus_echo;
mod annulus_mesh;
pub(crate) mod raw_epoll;
pub(crate) mod raw_ring;
pub(crate) mod tokio_echo;

use std::io;
use std::net::{TcpListener, TcpStream};

const KIB: usize = 1024;

pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) serve: fn(TcpListener, TcpStream) -> io::Result<()>,
}

impl Server {
    /// Whether it never sleeps. Valgrind runs no thread while one waits in its ring, so only such servers can be
    /// counted if they have several.
    pub(crate) fn spins(&self) -> bool {
        self.name.ends_with("-spin")
    }
}

pub(crate) static SERVERS: &[Server] = &[
    Server {
        name: "raw-ring",
        about: "bare ring, multishot receive, 128 pool buffers of 64 KiB",
        serve: |listener, control| raw_ring::serve(listener, control, &raw_ring::MULTISHOT_64K),
    },
    Server {
        name: "raw-ring-16k",
        about: "the same with 512 pool buffers of 16 KiB",
        serve: |listener, control| raw_ring::serve(listener, control, &raw_ring::MULTISHOT_16K),
    },
    Server {
        name: "raw-oneshot",
        about: "bare ring, one-shot receive with POLL_FIRST, 64 KiB pool buffers",
        serve: |listener, control| raw_ring::serve(listener, control, &raw_ring::ONE_SHOT_64K),
    },
    Server {
        name: "raw-epoll",
        about: "bare level-triggered epoll, one 64 KiB read buffer",
        serve: |listener, control| raw_epoll::serve(&listener, &control, 64 * KIB),
    },
    Server {
        name: "tokio-64k",
        about: "tokio current_thread, a task and a 64 KiB buffer per connection",
        serve: |listener, control| tokio_echo::serve(listener, control, 64 * KIB),
    },
    Server {
        name: "tokio-16k",
        about: "the same with 16 KiB buffers",
        serve: |listener, control| tokio_echo::serve(listener, control, 16 * KIB),
    },
    Server {
        name: "annulus",
        about: "this crate, as its README shows it",
        serve: annulus_echo::serve,
    },
    Server {
        name: "annulus-1",
        about: "the same on a mesh of one shard",
        serve: |listener, control| annulus_mesh::serve(listener, control, 1),
    },
    Server {
        name: "annulus-2",
        about: "on a mesh of two, each with half of the connections",
        serve: |listener, control| annulus_mesh::serve(listener, control, 2),
    },
    Server {
        name: "annulus-1-spin",
        about: "the mesh of one, whose core looks for work and never sleeps: to be counted",
        serve: |listener, control| annulus_mesh::serve_spinning(listener, control, 1),
    },
    Server {
        name: "annulus-2-spin",
        about: "the mesh of two likewise",
        serve: |listener, control| annulus_mesh::serve_spinning(listener, control, 2),
    },
];

pub(crate) fn named(name: &str) -> Result<&'static Server, String> {
    SERVERS.iter().find(|server| server.name == name).ok_or_else(|| {
        let names: Vec<&str> = SERVERS.iter().map(|server| server.name).collect();
        format!("no server {name}; there are {}", names.join(", "))
    })
}
