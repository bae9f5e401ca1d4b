//! Descriptors that travel beside the bytes of a stream.

use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use super::{Message, OwnedReadHalf, OwnedWriteHalf, UnixStream};
use crate::buf::{BufError, BufResult, IoBuf, Slice};
use crate::driver::Op;
use crate::executor::budget;
use crate::net::connection::Connection;
use crate::net::writing::{Orphan, turn};
use crate::op::reading::Reading;
use crate::op::send_message::{Attached, SendMessage};
use crate::sys::sockaddr::Target;

impl Connection {
    async fn recv_message(&self) -> io::Result<Option<Message>> {
        poll_fn(budget::proceed).await;
        let mut reading = Reading::new(&self.line);
        let message = poll_fn(|cx| reading.poll_take_with_fds(cx)).await?;
        Ok(message.map(Message::new))
    }

    async fn recv_with_fds(&self, buf: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        if buf.is_empty() {
            return Ok((0, Vec::new()));
        }
        let Some(mut message) = self.recv_message().await? else {
            return Ok((0, Vec::new()));
        };
        let fds = message.take_fds();
        Ok((self.line.copy_from(message.into_chunk(), buf), fds))
    }

    async fn send_with_fds<B: IoBuf>(
        &self,
        buf: B,
        fds: Vec<OwnedFd>,
    ) -> BufResult<usize, (B, Vec<OwnedFd>)> {
        Attached::apart(self.send_attached(Attached::new(buf, fds, self.line.fd.driver())).await)
    }

    /// Sends all, the first part with the descriptors.
    async fn send_attached<B: IoBuf>(
        &self,
        attached: Attached<B>,
    ) -> BufResult<usize, Attached<B>> {
        let len = attached.buf_len();
        let control = match attached.rights() {
            Ok(control) if len > 0 || control.is_empty() => control,
            Ok(_) => return Err(BufError { error: no_bytes(), buf: attached }),
            Err(error) => return Err(BufError { error, buf: attached }),
        };
        let turn = match turn(&self.line).await {
            Ok(turn) => turn,
            Err(error) => return Err(BufError { error, buf: attached }),
        };
        let sent = {
            let _orphan = Orphan(&self.line, turn.number());
            let send = SendMessage::new(turn, attached, Target::Connected, control);
            Op::new(Rc::clone(self.line.fd.driver()), send).await
        };
        let (count, attached) = sent?;
        if count == len {
            return Ok((len, attached));
        }
        match self.send_all(Slice::new(attached, count..)).await {
            Ok(rest) => Ok((len, rest.into_inner())),
            Err(BufError { error, buf }) => Err(BufError { error, buf: buf.into_inner() }),
        }
    }
}

fn no_bytes() -> io::Error {
    let text = "descriptors travel beside bytes, and there are none";
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

impl UnixStream {
    /// The next bytes, in the buffer where the kernel put them, with what came beside them: descriptors, and the
    /// sender's credentials if [`set_passcred`](Self::set_passcred) asks for them. `None` at the end of the stream.
    ///
    /// Bytes are not cut into messages: descriptors come with the first of the bytes that they were sent with, or
    /// before it, and bytes that were sent earlier may come with them. They are received from the first call of this or
    /// of [`recv_with_fds`](Self::recv_with_fds) on, and so, of a stream that no other read waited on before, none is
    /// lost. A read that was waiting is ended first, and the kernel closes what comes while it is. Bytes that other
    /// reads take, buffered ones too, lose their descriptors: these are closed when the next come, or with the stream.
    ///
    /// Neither byte nor descriptor is lost if the future is dropped. What nobody takes is closed with the stream.
    ///
    /// # Errors
    ///
    /// As for [`recv`](Self::recv).
    pub async fn recv_message(&self) -> io::Result<Option<Message>> {
        self.connection().recv_message().await
    }

    /// As [`recv_message`](Self::recv_message), with a copy of as many bytes as fit into `buf`; the rest is for the
    /// next read, and the descriptors come at once. 0 is the end of the stream, or an empty `buf`.
    ///
    /// Neither byte nor descriptor is lost if the future is dropped.
    ///
    /// ```
    /// use std::fs::File;
    /// use std::io::Read;
    ///
    /// use annulus::net::UnixStream;
    ///
    /// annulus::run(async {
    ///     let (near, far) = UnixStream::pair()?;
    ///     let zero = File::open("/dev/zero")?;
    ///     near.send_with_fds("take this", vec![zero.into()]).await?;
    ///     let mut text = [0; 16];
    ///     let (count, mut fds) = far.recv_with_fds(&mut text).await?;
    ///     assert_eq!(&text[..count], b"take this");
    ///     let mut zero = File::from(fds.remove(0));
    ///     zero.read_exact(&mut text)?;
    ///     assert_eq!(text, [0; 16]);
    ///     Ok(())
    /// })
    /// # .map_err(|error: std::io::Error| panic!("{error}")).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`recv`](Self::recv).
    pub async fn recv_with_fds(&self, buf: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        self.connection().recv_with_fds(buf).await
    }

    /// Sends all of a buffer that is lent to the operation, with copies of descriptors, at most 253, beside its first
    /// byte. Ours come back with the buffer.
    ///
    /// If the future is dropped: before the loop turned, nothing is sent; afterwards the descriptors leave with as many
    /// bytes as the kernel takes at once, and ours are closed when it is done. Were that not all, the next write fails
    /// with `BrokenPipe`.
    ///
    /// # Errors
    ///
    /// As for [`write`](Self::write), with the buffer and the descriptors; `InvalidInput` for too many descriptors, or
    /// for some without a byte. How much was sent is known for these two alone: nothing.
    pub async fn send_with_fds<B: IoBuf>(
        &self,
        buf: B,
        fds: Vec<OwnedFd>,
    ) -> BufResult<usize, (B, Vec<OwnedFd>)> {
        self.connection().send_with_fds(buf, fds).await
    }
}

impl OwnedReadHalf {
    /// See [`UnixStream::recv_message`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn recv_message(&self) -> io::Result<Option<Message>> {
        self.connection().recv_message().await
    }

    /// See [`UnixStream::recv_with_fds`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn recv_with_fds(&self, buf: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        self.connection().recv_with_fds(buf).await
    }
}

impl OwnedWriteHalf {
    /// See [`UnixStream::send_with_fds`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn send_with_fds<B: IoBuf>(
        &self,
        buf: B,
        fds: Vec<OwnedFd>,
    ) -> BufResult<usize, (B, Vec<OwnedFd>)> {
        self.connection().send_with_fds(buf, fds).await
    }
}
