//! The server's side: what one client says goes to all, from where it lies.

use std::io;
use std::rc::Rc;

use annulus::io::BufReader;
use annulus::net::TcpStream;
use annulus::sync::broadcast::{self, RecvError};
use annulus::task::CancellationToken;
use annulus::time::{Duration, timeout};

/// The longest line that is understood, in bytes.
const LINE_MAX: usize = 4096;

/// Messages that a client may be behind.
const BEHIND_MAX: usize = 256;

/// How long a client may take to read a message while more wait.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a client may take to end its side of the connection.
const LINGER: Duration = Duration::from_secs(1);

/// The room: everybody hears what is said from their coming on.
pub(crate) struct Room {
    /// A message is made once, and sent to each from the same memory.
    said: broadcast::Sender<Rc<[u8]>>,
    stopping: CancellationToken,
}

impl Room {
    /// A room that is open until the token is cancelled.
    pub(crate) fn new(stopping: CancellationToken) -> Self {
        Self { said: broadcast::Sender::new(BEHIND_MAX), stopping }
    }

    /// Has a client in the room until it leaves, is too slow, or the room is closed.
    pub(crate) async fn visit(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut lines = BufReader::with_limit(LINE_MAX, &stream);
        let named = self.stopping.run_until_cancelled(lines.line()).await.transpose()?;
        let Some(Some(name)) = named else {
            return Ok(());
        };
        let name = String::from_utf8_lossy(name).into_owned();
        let heard = self.said.subscribe();
        self.say(format!("* {name} joined\n"));
        // Whichever ends first ends both; nothing that it had received is torn.
        let ended = annulus::select! {
            left = self.listen(&name, &mut lines) => left,
            dropped = self.tell(&stream, heard) => dropped,
        };
        self.say(format!("* {name} left\n"));
        drop(lines);
        // So that the client reads all that it was told. One that does not end as well has had its time.
        let _ = stream.close_gracefully(LINGER).await;
        ended
    }

    /// Says to all what the client says, until it leaves.
    async fn listen(&self, name: &str, lines: &mut BufReader<&TcpStream>) -> io::Result<()> {
        while let Some(line) = lines.line().await? {
            self.say(format!("{name}: {}\n", String::from_utf8_lossy(line)));
        }
        Ok(())
    }

    fn say(&self, message: String) {
        // An error says that nobody is there to hear it.
        let _ = self.said.send(message.into_bytes().into());
    }

    /// Tells the client what is said, until the room is closed or the client is too slow.
    async fn tell(
        &self,
        stream: &TcpStream,
        mut heard: broadcast::Receiver<Rc<[u8]>>,
    ) -> io::Result<()> {
        loop {
            // A message is sent whole before it is looked whether the room is to be closed.
            match self.stopping.run_until_cancelled(heard.recv()).await {
                Some(Ok(message)) => _ = timeout(PATIENCE, stream.send_all(message)).await??,
                Some(Err(RecvError::Lagged(missed))) => {
                    let text = format!("* you were too slow, and missed {missed} messages\n");
                    timeout(PATIENCE, stream.send_all(text)).await??;
                    return Err(io::Error::other(format!("it was {missed} messages behind")));
                }
                Some(Err(RecvError::Closed)) => return Ok(()),
                None => {
                    timeout(PATIENCE, stream.send_all("* the room is closed\n")).await??;
                    return Ok(());
                }
            }
        }
    }
}
