//! One client connection, and the bytes it sends and expects back.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::Cell;

/// Connections share this many message contents: few enough to stay small, enough to notice a server that
/// mixes connections up.
const STAMPS: usize = 16;

pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    pub(crate) issued: usize,
    pub(crate) answered: usize,
    /// Whether a send is in flight whose completion will come.
    pub(crate) sending: bool,
    /// Messages to send once it has come.
    pub(crate) owed: usize,
    /// How much of the current answer is here.
    offset: usize,
}

/// The contents: for each stamp, `depth` messages in a row.
pub(crate) struct Messages {
    contents: Vec<Vec<u8>>,
}

/// The first and the last byte of a connection's messages.
#[derive(Clone, Copy)]
pub(crate) struct Stamp {
    first: u8,
    last: u8,
}

impl Connection {
    /// Connects, so that closing resets: thousands of connections in TIME_WAIT would slow what follows.
    pub(crate) fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
        Ok(Self { stream, issued: 0, answered: 0, sending: false, owed: 0, offset: 0 })
    }

    /// Takes a piece of the answers and returns how many became complete. Looks at both ends of each only, so
    /// that checking costs next to nothing.
    #[inline]
    pub(crate) fn check(&mut self, bytes: &[u8], size: usize, stamp: Stamp) -> io::Result<usize> {
        let (mut position, mut complete) = (0, 0);
        while position < bytes.len() {
            let mut right = self.offset > 0 || bytes[position] == stamp.first;
            let missing = size - self.offset;
            let here = missing.min(bytes.len() - position);
            position += here;
            self.offset += here;
            if here == missing {
                right &= bytes[position - 1] == stamp.last;
                self.offset = 0;
                complete += 1;
            }
            if !right {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a wrong byte came back"));
            }
        }
        Ok(complete)
    }
}

impl Messages {
    pub(crate) fn new(cell: Cell) -> Self {
        let content = |index: usize| {
            let stamp = Stamp::of(index);
            let mut message: Vec<u8> = (0..cell.size).map(|offset| offset as u8).collect();
            message[0] = stamp.first;
            message[cell.size - 1] = stamp.last;
            message.repeat(cell.depth)
        };
        Self { contents: (0..STAMPS).map(content).collect() }
    }

    /// The messages of the connection of this index, as many as may be on the way.
    #[inline]
    pub(crate) fn bytes(&self, index: usize) -> &[u8] {
        &self.contents[index % STAMPS]
    }

    #[inline]
    pub(crate) fn stamp(&self, index: usize) -> Stamp {
        Stamp::of(index)
    }
}

impl Stamp {
    #[inline]
    fn of(index: usize) -> Self {
        let index = (index % STAMPS) as u8;
        Self { first: 0x40 | index, last: 0xb0 | index }
    }
}
