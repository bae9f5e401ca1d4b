//! The cells of the net bench, and who runs them.
//!
//! A cell is a server on the calling thread; `load` starts the other side in a process of its own, which waits until
//! the server's clock runs. To add a cell: its row here, its load in `load`, and its server in the files of those who
//! have it.

mod annulus_sockets;
pub(crate) mod floor_sockets;
mod floor_streams;
pub(crate) mod load;
mod tokio_sockets;

use crate::contest::{Cell, Contestant};

pub(crate) static CELLS: &[Cell] = &[
    Cell {
        name: "udp_echo",
        about: "datagrams of 64 bytes, 32 on the way, taken and sent as they come; per datagram",
        operations: 40_000,
        counted: 4_000,
    },
    Cell {
        name: "udp_echo_apart",
        about: "the same, without letting those of a batch to one peer leave as one",
        operations: 40_000,
        counted: 4_000,
    },
    Cell {
        name: "udp_echo_single",
        about: "the first, each answered before the next is looked at",
        operations: 40_000,
        counted: 4_000,
    },
    Cell {
        name: "udp_echo_calls",
        about: "the same, where the floor too answers each by a system call before it looks at the next",
        operations: 40_000,
        counted: 4_000,
    },
    Cell {
        name: "connections",
        about: "8 clients connect, have a byte echoed and see the end; per connection",
        operations: 4_000,
        counted: 1_000,
    },
    Cell {
        name: "served",
        about: "the same by `net::serve` with a limit and a deadline, which the others do without",
        operations: 4_000,
        counted: 1_000,
    },
    Cell {
        name: "churn",
        about: "8 clients connect, have 64 bytes echoed and reset, which the server waits for; per connection",
        operations: 4_000,
        counted: 1_000,
    },
    Cell {
        name: "proxy_16K",
        about: "a connection passed on, messages of 16 KiB that are answered one by one; per message",
        operations: 4_000,
        counted: 1_000,
    },
    Cell {
        name: "proxy_bulk",
        about: "a connection passed on, one way, as fast as it goes; per 16 KiB",
        operations: 20_000,
        counted: 4_000,
    },
    Cell {
        name: "sink",
        about: "bytes read as fast as they come, lent by one, into 64 KiB of the reader's by the others; per 16 KiB",
        operations: 20_000,
        counted: 4_000,
    },
    Cell {
        name: "sink_owned",
        about: "the same, into 64 KiB of the reader's by all; per 16 KiB",
        operations: 20_000,
        counted: 4_000,
    },
    Cell {
        name: "lines",
        about: "lines of 64 bytes as fast as they come, lent by one and copied by the other; per line",
        operations: 500_000,
        counted: 100_000,
    },
    Cell {
        name: "lines_string",
        about: "the same, each read into a String; per line",
        operations: 500_000,
        counted: 100_000,
    },
];

pub(crate) static CONTESTANTS: &[Contestant] = &[
    Contestant { name: "floor", cells: floor_sockets::CELLS },
    Contestant { name: "tokio", cells: tokio_sockets::CELLS },
    Contestant { name: "annulus", cells: annulus_sockets::CELLS },
];
