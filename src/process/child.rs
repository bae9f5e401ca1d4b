//! A child: its end, its streams, and signals to it.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::process::{Child as StdChild, ExitStatus, Output};
use std::rc::Rc;

use super::{ChildStderr, ChildStdin, ChildStdout};
use crate::buf::IoBuf;
use crate::driver::{self, Driver};
use crate::executor::budget;
use crate::io::pipe::{Receiver, Sender};
use crate::op::exit::Ending;
use crate::signal::SignalKind;
use crate::sys::process;
use crate::task::JoinHandle;

/// A child that was started.
///
/// Dropping it does not end the child, unless [`Command::kill_on_drop`](super::Command::kill_on_drop) was asked for.
/// It is reaped when it ends, whether or not somebody waits: by the loop of this core, or, if the runtime has ended,
/// by the next [`Command::spawn`](super::Command::spawn) of the process.
///
/// ```
/// use annulus::process::Command;
/// use annulus::time::{Duration, timeout};
/// use std::process::Stdio;
///
/// annulus::run(async {
///     let mut child = Command::new("sleep").arg("3600").stdout(Stdio::null()).spawn()?;
///     assert!(timeout(Duration::from_millis(1), child.wait()).await.is_err());
///     child.kill().await?;
///     assert!(!child.wait().await?.success());
///     std::io::Result::Ok(())
/// })
/// # .unwrap();
/// ```
pub struct Child {
    /// What the child reads, if it was asked for by [`Stdio::piped`](std::process::Stdio::piped).
    pub stdin: Option<ChildStdin>,
    /// What the child writes, likewise.
    pub stdout: Option<ChildStdout>,
    /// What the child writes of its errors, likewise.
    pub stderr: Option<ChildStderr>,
    ending: Rc<Ending>,
    driver: Rc<Driver>,
    kill_on_drop: bool,
    leads_group: bool,
    gathered: Gathered,
}

/// What [`Child::communicate`] has done so far.
#[derive(Default)]
struct Gathered {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    /// The task that writes the input.
    feeding: Option<JoinHandle<()>>,
}

impl Child {
    /// Takes over a child that std started, on whatever thread.
    ///
    /// # Errors
    ///
    /// That there is no descriptor left, where the kernel is older than 6.7; the child was killed then.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub fn from_std(child: StdChild) -> io::Result<Self> {
        let child = Self::new(child, driver::current::expect("Child::from_std"), false, false)?;
        // If its end was seen by std already, its number may be another's by now. An error is for the wait.
        let _ = child.ending.try_wait();
        Ok(child)
    }

    pub(super) fn new(
        mut child: StdChild,
        driver: Rc<Driver>,
        kill_on_drop: bool,
        leads_group: bool,
    ) -> io::Result<Self> {
        let stdin = child.stdin.take().map(|fd| Sender::own(fd.into()));
        let stdout = child.stdout.take().map(|fd| Receiver::own(fd.into()));
        let stderr = child.stderr.take().map(|fd| Receiver::own(fd.into()));
        let ending = Ending::new(child, &driver)?;
        Ok(Self {
            stdin: stdin.transpose()?.map(|sender| ChildStdin { sender }),
            stdout: stdout.transpose()?.map(|receiver| ChildStdout { receiver }),
            stderr: stderr.transpose()?.map(|receiver| ChildStderr { receiver }),
            ending,
            driver,
            kill_on_drop,
            leads_group,
            gathered: Gathered::default(),
        })
    }

    /// The number of the process; `None` once its end was seen, because then the number may be another's. Where
    /// `SIGCHLD` is ignored it may be so as soon as the child has ended.
    pub fn id(&self) -> Option<u32> {
        self.ending.id()
    }

    /// Waits for the end of the child, and closes its input first, which it may be waiting for. May be called again.
    ///
    /// If the future is dropped, nothing is lost: the next one gives the status.
    ///
    /// # Errors
    ///
    /// `ECHILD` if somebody else has reaped the child, as the kernel does where `SIGCHLD` is ignored. That the runtime
    /// is gone.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        drop(self.stdin.take());
        self.wait_for_end().await
    }

    async fn wait_for_end(&self) -> io::Result<ExitStatus> {
        poll_fn(budget::proceed).await;
        poll_fn(|cx| self.ending.poll_wait(&self.driver, cx)).await
    }

    /// The status, if the child has ended.
    ///
    /// # Errors
    ///
    /// As for [`wait`](Self::wait).
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.ending.try_wait()
    }

    /// Kills the child, by `SIGKILL`, and waits for its end. Does no harm if it has ended.
    ///
    /// If the future is dropped after its first poll, the child was killed.
    ///
    /// # Errors
    ///
    /// As for [`start_kill`](Self::start_kill) and [`wait`](Self::wait).
    pub async fn kill(&mut self) -> io::Result<()> {
        self.start_kill()?;
        self.wait().await.map(drop)
    }

    /// Kills the child, by `SIGKILL`. Does nothing if its end was seen.
    ///
    /// # Errors
    ///
    /// As for [`signal`](Self::signal), but that its end was seen is none.
    pub fn start_kill(&mut self) -> io::Result<()> {
        match self.ending.id() {
            Some(id) => process::signal(id, libc::SIGKILL),
            None => Ok(()),
        }
    }

    /// Sends the child a signal: `SIGTERM` asks it to end.
    ///
    /// This reaches nobody else. The number of a child is not given to another process before its end was seen here,
    /// unless `SIGCHLD` is ignored, or something else in this process waits for all children: then it is free as soon
    /// as the child ends. So the signal goes by a descriptor, and only to a child of this process: not to a stranger,
    /// but to another child that has got the very number by then.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if its end was seen, or there is no such signal; "no such process" if somebody else has reaped
    /// the child. Otherwise as `kill(2)`.
    pub fn signal(&self, kind: SignalKind) -> io::Result<()> {
        process::signal(self.running()?, kind.as_raw_value())
    }

    /// Sends a signal to all processes of the group that the child leads.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the child was not made the leader of a group, by
    /// [`process_group(0)`](super::Command::process_group), or its end was seen; "no such process" if somebody else has
    /// reaped the child. Otherwise as `killpg(3)`.
    pub fn signal_group(&self, kind: SignalKind) -> io::Result<()> {
        if !self.leads_group {
            return Err(refusal("the child was not started as the leader of a process group"));
        }
        process::signal_group(self.running()?, kind.as_raw_value())
    }

    fn running(&self) -> io::Result<u32> {
        self.ending.id().ok_or_else(|| refusal("the end of the child was seen already"))
    }

    /// Closes the child's input, gathers what it writes, and waits for its end. Both outputs are read at once, so
    /// neither side waits for the other.
    ///
    /// If the future is dropped, so is the child's handle, with what was gathered; [`communicate`](Self::communicate)
    /// keeps it.
    ///
    /// # Errors
    ///
    /// As for reading and [`wait`](Self::wait).
    pub async fn wait_with_output(mut self) -> io::Result<Output> {
        drop(self.stdin.take());
        self.communicate([].as_slice()).await
    }

    /// Writes `input` to the child and closes its input, gathers what it writes meanwhile, and waits for its end. It
    /// cannot deadlock, however much goes in either direction. That the child stops reading is no error.
    ///
    /// If the future is dropped, what was gathered stays with the child, and the input is written on: the next call
    /// goes on, and has its own input ignored. There is no limit to the output but the memory.
    ///
    /// ```
    /// use annulus::process::Command;
    /// use std::process::Stdio;
    ///
    /// annulus::run(async {
    ///     let mut sort = Command::new("sort");
    ///     let mut child = sort.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    ///     let output = child.communicate(b"b\na\n".as_slice()).await?;
    ///     assert_eq!(output.stdout, b"a\nb\n");
    ///     std::io::Result::Ok(())
    /// })
    /// # .unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// As for reading, writing and [`wait`](Self::wait).
    pub async fn communicate<B: IoBuf>(&mut self, input: B) -> io::Result<Output> {
        if let Some(stdin) = self.stdin.take().filter(|_| input.buf_len() > 0) {
            // It fails if the child reads no more, which is the child's affair.
            let feed = async move { drop(stdin.write_all_owned(input).await) };
            self.gathered.feeding = Some(crate::spawn(feed));
        }
        let Self { stdout, stderr, gathered, .. } = self;
        let out = gather(stdout, &mut gathered.stdout, ChildStdout::read_to_end);
        let err = gather(stderr, &mut gathered.stderr, ChildStderr::read_to_end);
        let (out, err) = crate::join!(out, err);
        out?;
        err?;
        let status = self.wait_for_end().await?;
        let Gathered { stdout, stderr, feeding } = std::mem::take(&mut self.gathered);
        if let Some(feeding) = feeding {
            // What is not written by now nobody reads but children of the child.
            feeding.abort();
        }
        Ok(Output { status, stdout, stderr })
    }
}

/// Reads a stream to its end and closes it.
async fn gather<S>(
    stream: &mut Option<S>,
    bytes: &mut Vec<u8>,
    read_to_end: impl AsyncFn(&S, &mut Vec<u8>) -> io::Result<usize>,
) -> io::Result<()> {
    if let Some(open) = stream {
        read_to_end(open, bytes).await?;
        *stream = None;
    }
    Ok(())
}

fn refusal(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

impl Drop for Child {
    fn drop(&mut self) {
        if let Some(feeding) = &self.gathered.feeding {
            feeding.abort();
        }
        if self.kill_on_drop {
            // An error means that it cannot be killed, and there is nobody to be told.
            let _ = self.start_kill();
        }
        self.ending.abandon(&self.driver);
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Child");
        debug.field("id", &self.id()).field("stdin", &self.stdin).field("stdout", &self.stdout);
        debug.field("stderr", &self.stderr).finish_non_exhaustive()
    }
}
