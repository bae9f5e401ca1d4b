//! The clients' side: some that talk and hear everything, and one that does not listen for too long.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use annulus::io::BufReader;
use annulus::net::{TcpSocket, TcpStream};
use annulus::sync::{Barrier, Event};
use annulus::task::task_group;

/// The length of a message: the runtime of a client that does not read keeps 256 KiB for it (`undelivered_max`), and
/// the room is to be full of more.
const MESSAGE_LEN: usize = 400;

/// Has so many clients say so many messages each, and looks that each hears all of them, in the order of each speaker;
/// and that a client that does not read meanwhile is told so, and dropped.
pub(crate) async fn talk(address: SocketAddr, clients: usize, messages: usize) -> io::Result<()> {
    let all_there = Rc::new(Barrier::new(clients + 1));
    let all_said = Rc::new(Event::new());
    task_group(async |group| {
        let sleeper = group.spawn(oversleep(address, Rc::clone(&all_there), Rc::clone(&all_said)));
        let talkers: Vec<_> = (0..clients)
            .map(|me| {
                let there = Rc::clone(&all_there);
                group.spawn(async move { chat(address, me, clients, messages, &there).await })
            })
            .collect();
        for talker in talkers {
            talker.await?;
        }
        println!("{clients} clients heard all {} messages", clients * messages);
        all_said.set();
        let told = sleeper.await?;
        match (told, clients * messages >= 1600) {
            (Some(notice), _) => println!("one overslept: {notice:?}"),
            (None, false) => println!("one overslept, and the room was quiet enough for it"),
            (None, true) => return Err(io::Error::other("a slow client was not told so")),
        }
        io::Result::Ok(())
    })
    .await
    .map_err(io::Error::from)
}

/// Joins the room by this name, and reads until it is told so.
async fn join<'a>(stream: &'a TcpStream, name: &str) -> io::Result<BufReader<&'a TcpStream>> {
    stream.send_all(format!("{name}\n")).await?;
    let mut lines = BufReader::new(stream);
    let joined = format!("* {name} joined");
    while next(&mut lines).await? != joined {}
    Ok(lines)
}

async fn next(lines: &mut BufReader<&TcpStream>) -> io::Result<String> {
    let line = lines.line().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(String::from_utf8_lossy(line).into_owned())
}

/// Says a message when the one before it was heard, and leaves when all of all clients were.
async fn chat(
    address: SocketAddr,
    me: usize,
    clients: usize,
    messages: usize,
    all_there: &Barrier,
) -> io::Result<()> {
    let stream = TcpStream::connect(address).await?;
    let mut lines = join(&stream, &format!("client-{me}")).await?;
    all_there.wait().await.map_err(io::Error::other)?;
    let mut heard = vec![0; clients];
    let say = async |number: usize| {
        stream.send_all(format!("{number:.<MESSAGE_LEN$}\n")).await?;
        io::Result::Ok(())
    };
    say(0).await?;
    while heard.iter().any(|count| *count < messages) {
        let line = next(&mut lines).await?;
        // What the room says of itself begins with a star.
        let Some((name, text)) =
            line.strip_prefix("client-").and_then(|rest| rest.split_once(": "))
        else {
            continue;
        };
        let wrong = || io::Error::other(format!("client {me} heard {line:?}"));
        let speaker: usize = name.parse().map_err(|_| wrong())?;
        let number = text.split('.').next().and_then(|number| number.parse().ok());
        let count =
            heard.get_mut(speaker).filter(|count| number == Some(**count)).ok_or_else(wrong)?;
        *count += 1;
        if speaker == me && *count < messages {
            say(*count).await?;
        }
    }
    // An orderly end: what is still on its way to us is read, not refused.
    stream.shutdown().await?;
    while lines.line().await?.is_some() {}
    Ok(())
}

/// Joins, reads nothing until all was said, and then to the end; the notice that it was too slow.
async fn oversleep(
    address: SocketAddr,
    all_there: Rc<Barrier>,
    all_said: Rc<Event>,
) -> io::Result<Option<String>> {
    let socket = TcpSocket::new_v4()?;
    // Little of what is not read has room in the kernel, and the rest is the room's.
    socket.set_recv_buffer_size(4096)?;
    let stream = socket.connect(address).await?;
    let lines = join(&stream, "sleeper").await?;
    all_there.wait().await.map_err(io::Error::other)?;
    all_said.wait().await;
    stream.send_all("good morning\n").await?;
    let mut lines = lines.lines();
    let mut notice = None;
    while let Some(line) = lines.next_line().await? {
        if line == "sleeper: good morning" {
            stream.shutdown().await?;
        } else if line.contains("too slow") {
            notice = Some(line);
        }
    }
    Ok(notice)
}
