//! annulus with its defaults, as its documentation shows it.

use std::future::Future;
use std::io;
use std::net::UdpSocket;
use std::time::Duration;

use annulus::channel::spsc;
use annulus::fs::File;
use annulus::net::udp::Datagram;
use annulus::sync::{Mutex, mpsc};

use super::{CONTROL, OWN, never};
use crate::jobs::Jobs;
use crate::rival::{Cross, Files, Rival, Runtime, Server, Tools};
use crate::servers::annulus_echo;

const SERVERS: &[(&str, Server)] = &[
    ("echo", Server::Tcp(|listener, _| annulus_echo::serve(listener, never()?))),
    ("udp", Server::Udp(udp)),
];

pub(super) static RIVAL: Rival = Rival {
    name: OWN,
    about: "this crate, with its defaults",
    package: Some("annulus"),
    servers: SERVERS,
    jobs: &[
        Jobs::<Annulus>::TASKS,
        Jobs::<Annulus>::WAKES,
        Jobs::<Annulus>::TOOLS,
        Jobs::<Annulus>::CROSS,
        Jobs::<Annulus>::FILES,
    ],
    lacks: &[],
};

pub(super) static AGAIN: Rival = Rival {
    name: CONTROL,
    about: "the same once more, to see the noise",
    package: None,
    servers: SERVERS,
    jobs: RIVAL.jobs,
    lacks: &[],
};

/// The longest datagram that is expected, so that small buffers do.
const DATAGRAM_MAX: usize = 2048;

struct Annulus;

impl Runtime for Annulus {
    fn block_on<T: 'static>(future: impl Future<Output = T> + 'static) -> io::Result<T> {
        Ok(annulus::Runtime::new()?.block_on(future))
    }

    fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> impl Future<Output = T> {
        let task = annulus::spawn(future);
        async { task.await.expect("no task panics") }
    }

    fn sleep(duration: Duration) -> impl Future<Output = ()> {
        annulus::time::sleep(duration)
    }

    fn unconstrained<T>(future: impl Future<Output = T>) -> impl Future<Output = T> {
        annulus::task::unconstrained(future)
    }
}

impl Tools for Annulus {
    type Mutex = Mutex<u64>;
    type Sender = mpsc::Sender<u64>;
    type Receiver = mpsc::Receiver<u64>;

    fn mutex() -> Self::Mutex {
        Mutex::new(0)
    }

    async fn lock(mutex: &Self::Mutex) {
        drop(mutex.lock().await);
    }

    fn channel(capacity: usize) -> (Self::Sender, Self::Receiver) {
        mpsc::channel(capacity)
    }

    async fn send(sender: &Self::Sender, number: u64) {
        sender.send(number).await.ok();
    }

    async fn receive(receiver: &mut Self::Receiver) -> Option<u64> {
        receiver.recv().await
    }
}

impl Cross for Annulus {
    type CrossSender = spsc::Sender<u64>;
    type CrossReceiver = spsc::Receiver<u64>;

    fn crossing(capacity: usize) -> (Self::CrossSender, Self::CrossReceiver) {
        spsc::channel(capacity)
    }

    async fn send_all(mut sender: Self::CrossSender, count: u64) {
        for number in 0..count {
            sender.send(number).await.expect("it receives");
        }
    }

    async fn sum_all(mut receiver: Self::CrossReceiver) -> u64 {
        let mut sum = 0;
        while let Some(number) = receiver.recv().await {
            sum += number;
        }
        sum
    }
}

impl Files for Annulus {
    type File = File;

    fn file(file: std::fs::File) -> io::Result<File> {
        Ok(File::from_std(file))
    }

    async fn read(file: &File, buf: Vec<u8>, offset: u64) -> io::Result<Vec<u8>> {
        let (_, buf) = file.read_at(buf, offset).await?;
        Ok(buf)
    }
}

fn udp(socket: UdpSocket) -> io::Result<()> {
    annulus::run(async {
        let socket = annulus::net::UdpSocket::from_std(socket)?;
        socket.set_datagram_max(Some(DATAGRAM_MAX));
        loop {
            let batch = socket.recv_batch(64).await?;
            let batch = batch.into_iter().map(Datagram::into_parts).collect();
            for sent in socket.send_batch_to(batch).await {
                sent?;
            }
        }
    })
}
