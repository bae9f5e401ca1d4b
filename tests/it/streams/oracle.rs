//! Random bytes in random pieces, read by random calls, here and by tokio's `BufReader`: the same results.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll};

use annulus::buf::Chunk;
use annulus::io::{AsyncReadExt as _, BufReader};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, ReadBuf};

use super::Pieces;
use crate::support::settled::{poll_and_drop, rounds, run};

/// Numbers by xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }

    /// Bytes with many line ends, now and then some that are no text.
    fn bytes(&mut self) -> Vec<u8> {
        let alphabet: &[u8] = [b"ab\n\r".as_slice(), b"abcdefgh\n", b"a\n\xff"][self.below(3)];
        // Most lines short, or most longer than what is looked through at once.
        let rare = [1, 100][self.below(2)];
        let byte = |random: &mut Self| match random.below(rare) {
            0 => alphabet[random.below(alphabet.len())],
            _ => b'b',
        };
        (0..self.below(1000)).map(|_| byte(self)).collect()
    }

    fn pieces(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let (mut pieces, mut rest) = (Vec::new(), bytes);
        let longest = [40, 400][self.below(2)];
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at((1 + self.below(longest)).min(rest.len()));
            pieces.push(piece.to_vec());
            if self.below(3) == 0 {
                pieces.push(Vec::new());
            }
            rest = behind;
        }
        pieces
    }
}

/// The same pieces for tokio.
impl tokio::io::AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = annulus::io::AsyncRead::poll_read(&mut *self, cx, buf.initialize_unfilled());
        read.map_ok(|count| buf.advance(count))
    }
}

type Outcome = Result<(usize, Vec<u8>), ErrorKind>;

fn outcome(result: io::Result<usize>, bytes: Vec<u8>) -> Outcome {
    result.map(|count| (count, bytes)).map_err(|error| error.kind())
}

#[test]
fn random_calls_on_random_pieces() {
    let tokio = tokio::runtime::Builder::new_current_thread().build().expect("tokio starts");
    run(async || {
        for seed in 1..=rounds(2_000, 200_000) {
            let mut random = Random(seed as u64 * 0x9e37_79b9);
            let bytes = random.bytes();
            let pieces = random.pieces(&bytes);
            let mut ours = BufReader::new(Pieces::new(&pieces));
            let mut theirs = tokio::io::BufReader::with_capacity(16, Pieces::new(&pieces));
            for step in 0..50 {
                let (call, len) = (random.below(8), random.below(30));
                let gives_up = random.below(2) == 0;
                let (ours, at_end) = call_ours(&mut ours, call, len, gives_up).await;
                let theirs = tokio.block_on(call_theirs(&mut theirs, call, len, at_end));
                assert_eq!(
                    ours, theirs,
                    "seed {seed}, step {step}, call {call} of {len}: {pieces:?}"
                );
                if ours.is_err() {
                    // tokio has lost what was no text, or too short, and we have not.
                    break;
                }
            }
        }
    });
}

/// Makes the call, also again and again, each time dropped where it was pending; and how much a plain read may give.
async fn call_ours(
    reader: &mut BufReader<Pieces>,
    call: usize,
    len: usize,
    gives_up: bool,
) -> (Outcome, usize) {
    loop {
        let (mut bytes, mut text) = (Vec::new(), String::new());
        let mut buf = vec![0; len];
        let mut read = len;
        let result = {
            let calling = async {
                match call {
                    0 => reader.read_line(&mut text).await,
                    1 => reader.read_until(b'a', &mut bytes).await,
                    2 => reader.read_exact(&mut buf).await.map(|()| len),
                    3 => reader.line().await.map(|line| {
                        bytes = line.unwrap_or_default().to_vec();
                        usize::from(line.is_some())
                    }),
                    4 => reader.read(&mut buf).await.inspect(|count| read = *count),
                    5 => reader.exact(len).await.map(|part| {
                        bytes = part.to_vec();
                        len
                    }),
                    6 => reader.recv().await.map(|chunk| {
                        bytes = chunk.map_or_else(Vec::new, Chunk::into_bytes);
                        read = bytes.len();
                        read
                    }),
                    _ => match reader.fill_buf().await {
                        Ok(there) => {
                            bytes = there[..there.len().min(len)].to_vec();
                            read = bytes.len();
                            reader.consume(read);
                            Ok(read)
                        }
                        Err(error) => Err(error),
                    },
                }
            };
            if gives_up { poll_and_drop(calling).await } else { Some(calling.await) }
        };
        let Some(result) = result else { continue };
        let bytes = match call {
            0 => text.into_bytes(),
            2 => buf,
            4 => buf[..read.min(len)].to_vec(),
            _ => bytes,
        };
        return (outcome(result, bytes), read);
    }
}

async fn call_theirs(
    reader: &mut tokio::io::BufReader<Pieces>,
    call: usize,
    len: usize,
    read: usize,
) -> Outcome {
    let (mut bytes, mut text) = (Vec::new(), String::new());
    let mut buf = vec![0; len];
    match call {
        0 => outcome(reader.read_line(&mut text).await, text.into_bytes()),
        1 => outcome(reader.read_until(b'a', &mut bytes).await, bytes),
        3 => {
            let result = reader.read_until(b'\n', &mut bytes).await;
            let is_line = result.map(|count| usize::from(count > 0));
            let end = [&b"\r\n"[..], b"\n"].into_iter().find(|end| bytes.ends_with(end));
            bytes.truncate(bytes.len() - end.map_or(0, <[u8]>::len));
            outcome(is_line, bytes)
        }
        // How much comes at once differs, not what it is.
        4 | 6 | 7 => {
            buf.resize(read, 0);
            outcome(reader.read_exact(&mut buf).await, buf)
        }
        _ => outcome(reader.read_exact(&mut buf).await, buf),
    }
}
