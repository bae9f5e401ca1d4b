//! Python's asyncio and uvloop, with a protocol each: the way of theirs with the least between socket and program.

use crate::rival::{Rival, Server};

const LACKS: &[(&str, &str)] = &[("", "only its sockets are compared")];

pub(super) static ASYNCIO: Rival = Rival {
    name: "asyncio",
    about: "python3, a Protocol",
    package: None,
    servers: &[
        ("echo", Server::Python("asyncio")),
        ("udp", Server::Python("asyncio")),
        ("fan", Server::Python("asyncio")),
    ],
    jobs: &[],
    lacks: LACKS,
};

pub(super) static UVLOOP: Rival = Rival {
    name: "uvloop",
    about: "python3, the same Protocol on uvloop",
    package: None,
    servers: &[
        ("echo", Server::Python("uvloop")),
        ("udp", Server::Python("uvloop")),
        ("fan", Server::Python("uvloop")),
    ],
    jobs: &[],
    lacks: LACKS,
};
