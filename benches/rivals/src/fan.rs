//! One publisher, many subscribers: what the first connection sends, all others get.
//!
//! Each subscriber has a task and a queue of its own, so that a slow one does not stall the others. A subscriber is
//! greeted once it is in the list, and from then on misses nothing. The runtimes that have a broadcast channel have a
//! server of their own in their file.

use std::cell::RefCell;
use std::io;
use std::net::TcpListener;
use std::rc::Rc;

use crate::rival::Streams;

/// How many messages may wait for a subscriber.
pub(crate) const QUEUE: usize = 128;
/// The size of a message.
pub(crate) const SIZE: usize = 64;
/// What a subscriber is greeted with.
pub(crate) static GREETING: [u8; SIZE] = [0xff; SIZE];
/// What the publisher's connection is read with.
pub(crate) const BUFFER: usize = 4096;

type Subscribers<R> = RefCell<Vec<Rc<<R as crate::rival::Tools>::Sender<Message<R>>>>>;
type Message<R> = <R as Streams>::Message;

pub(crate) fn serve<R: Streams>(listener: TcpListener) -> io::Result<()> {
    R::block_on(async move {
        let listener = R::listener(listener)?;
        let publisher = R::accept(&listener).await?;
        let subscribers: Rc<Subscribers<R>> = Rc::default();
        let _publishing = R::spawn(publish::<R>(publisher, Rc::clone(&subscribers)));
        // Kept, because some runtimes cancel a task whose handle is dropped.
        let mut tasks = Vec::new();
        loop {
            let stream = R::accept(&listener).await?;
            let (sender, receiver) = R::channel(QUEUE);
            subscribers.borrow_mut().push(Rc::new(sender));
            tasks.push(R::spawn(deliver::<R>(stream, receiver)));
        }
    })?
}

async fn publish<R: Streams>(
    mut publisher: R::Stream,
    subscribers: Rc<Subscribers<R>>,
) -> io::Result<()> {
    let mut buf = vec![0; BUFFER];
    loop {
        let (count, read) = R::read(&mut publisher, buf).await?;
        if count == 0 {
            return Ok(());
        }
        let message = Message::<R>::from(read[..count].to_vec());
        let mut at = 0;
        while let Some(sender) = { subscribers.borrow().get(at).cloned() } {
            R::send(&*sender, message.clone()).await;
            at += 1;
        }
        buf = read;
        buf.resize(BUFFER, 0);
    }
}

async fn deliver<R: Streams>(
    mut stream: R::Stream,
    mut receiver: R::Receiver<Message<R>>,
) -> io::Result<()> {
    R::write(&mut stream, GREETING.to_vec().into()).await?;
    while let Some(message) = R::receive(&mut receiver).await {
        R::write(&mut stream, message).await?;
    }
    Ok(())
}
