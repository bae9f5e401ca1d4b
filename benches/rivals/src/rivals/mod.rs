//! Who is compared: a file for each.

/// A channel between threads as most have it: what makes it, its methods, and what the second of them gives for a
/// number.
macro_rules! cross {
    ($runtime:ty: $library:ident::$make:ident, $send:ident, $receive:ident $some:ident) => {
        #[allow(unused_mut, reason = "some borrow their ends for good")]
        impl crate::rival::Cross for $runtime {
            type CrossSender = $library::Sender<u64>;
            type CrossReceiver = $library::Receiver<u64>;

            fn crossing(capacity: usize) -> (Self::CrossSender, Self::CrossReceiver) {
                $library::$make(capacity)
            }

            async fn send_all(mut sender: Self::CrossSender, count: u64) {
                for number in 0..count {
                    sender.$send(number).await.expect("it receives");
                }
            }

            async fn sum_all(mut receiver: Self::CrossReceiver) -> u64 {
                let mut sum = 0;
                while let $some(number) = receiver.$receive().await {
                    sum += number;
                }
                sum
            }
        }
    };
}

mod annulus;
#[cfg(feature = "compio")]
mod compio;
#[cfg(feature = "glommio")]
mod glommio;
#[cfg(feature = "kimojio")]
mod kimojio;
#[cfg(feature = "monoio")]
mod monoio;
mod python;
mod raw_epoll;
mod raw_ring;
mod raw_ring_fan;
#[cfg(feature = "smol")]
mod smol;
mod threads;
mod tokio;
#[cfg(feature = "tokio-uring")]
mod tokio_uring;

use std::io;
use std::net::{TcpListener, TcpStream};

use crate::files::BLOCK;
use crate::rival::Rival;

/// The one that is compared, and the same once more: what separates the two is noise.
pub(crate) const OWN: &str = "annulus";
pub(crate) const CONTROL: &str = "annulus again";
/// The one that is compared with a choice of the program's made otherwise: shown, not compared.
pub(crate) const COARSE: &str = "annulus 1 ms";

/// All that were built in, the floors first.
pub(crate) static RIVALS: &[&Rival] = &[
    &raw_ring::RIVAL,
    &raw_epoll::RIVAL,
    &annulus::RIVAL,
    &annulus::AGAIN,
    &annulus::COARSE,
    &tokio::CURRENT_THREAD,
    &tokio::MULTI_THREAD,
    #[cfg(feature = "monoio")]
    &monoio::RIVAL,
    #[cfg(feature = "glommio")]
    &glommio::RIVAL,
    #[cfg(feature = "compio")]
    &compio::RIVAL,
    #[cfg(feature = "kimojio")]
    &kimojio::RIVAL,
    #[cfg(feature = "tokio-uring")]
    &tokio_uring::RIVAL,
    #[cfg(feature = "smol")]
    &smol::RIVAL,
    &python::ASYNCIO,
    &python::UVLOOP,
];

/// Those that a build may lack, by their features.
pub(crate) const FEATURES: &[(&str, bool)] = &[
    ("monoio", cfg!(feature = "monoio")),
    ("glommio", cfg!(feature = "glommio")),
    ("compio", cfg!(feature = "compio")),
    ("kimojio", cfg!(feature = "kimojio")),
    ("tokio-uring", cfg!(feature = "tokio-uring")),
    ("smol", cfg!(feature = "smol")),
];

pub(crate) fn named(name: &str) -> Result<&'static Rival, String> {
    RIVALS.iter().copied().find(|rival| rival.name == name).ok_or_else(|| {
        let names: Vec<&str> = RIVALS.iter().map(|rival| rival.name).collect();
        format!("no rival {name} in this build; there are {}", names.join(", "))
    })
}

/// A block that lies where direct I/O wants it.
#[repr(C, align(4096))]
pub(crate) struct Page([u8; BLOCK]);

impl Page {
    const ZERO: Self = Self([0; BLOCK]);
}

/// A block for direct I/O within a vector of twice its size, which all runtimes can slice: where it begins.
#[cfg(any(feature = "compio", feature = "monoio", feature = "tokio-uring"))]
fn aligned_within(buf: &[u8]) -> usize {
    buf.as_ptr().align_offset(BLOCK)
}

/// What the echo bench's servers wait for to be stopped, and which never comes: these are killed.
fn never() -> io::Result<TcpStream> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let ours = TcpStream::connect(listener.local_addr()?)?;
    let (theirs, _) = listener.accept()?;
    // Open until the process is killed.
    Box::leak(Box::new(theirs));
    Ok(ours)
}
