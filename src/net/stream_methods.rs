//! What streams of every family do: reading, writing and the end of the outgoing direction.

/// The methods of a stream that has a `connection`, for its `impl`.
macro_rules! stream_methods {
    () => {
        /// The next bytes, in the buffer where the kernel put them; `None` at the end of the stream.
        ///
        /// Nothing is lost if the future is dropped.
        ///
        /// # Errors
        ///
        /// That of the connection, once; the end of the stream afterwards. `ResourceBusy` if another task reads.
        pub fn recv(&self) -> impl Future<Output = io::Result<Option<Chunk>>> {
            self.connection.recv()
        }

        /// Reads some bytes, at least one unless `buf` is empty; 0 is the end of the stream.
        ///
        /// Nothing is lost if the future is dropped.
        ///
        /// # Errors
        ///
        /// As for [`recv`](Self::recv).
        pub async fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
            self.connection.read(buf).await
        }

        /// Fills `buf`.
        ///
        /// If the future is dropped, the bytes that it had copied are in `buf` and gone from the stream.
        ///
        /// # Errors
        ///
        /// As for [`recv`](Self::recv), and `UnexpectedEof` if the stream ends before.
        pub async fn read_exact(&self, buf: &mut [u8]) -> io::Result<()> {
            self.connection.read_exact(buf).await
        }

        /// Reads some bytes into the caller's buffer, from its first byte, and sets its length; 0 is the end of the
        /// stream, or a buffer without capacity. At present they are copied there from a buffer of the pool.
        ///
        /// Nothing is lost if the future is dropped, except the buffer.
        ///
        /// # Errors
        ///
        /// As for [`recv`](Self::recv), with the buffer.
        pub async fn read_owned<B: IoBufMut>(&self, buf: B) -> BufResult<usize, B> {
            self.connection.read_owned(buf).await
        }

        /// Copies the next bytes without taking them; 0 is the end of the stream, or an empty `buf`.
        ///
        /// Nothing is lost if the future is dropped.
        ///
        /// # Errors
        ///
        /// As for [`recv`](Self::recv); it stays for the next read.
        pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
            self.connection.peek(buf).await
        }

        /// Waits until [`try_read`](Self::try_read) has something to give: bytes, the end, or an error.
        ///
        /// Nothing is lost if the future is dropped.
        ///
        /// # Errors
        ///
        /// `ResourceBusy` if another task reads.
        pub async fn readable(&self) -> io::Result<()> {
            self.connection.readable().await
        }

        /// Reads what has arrived, without waiting. The first call starts receiving.
        ///
        /// # Errors
        ///
        /// `WouldBlock` if nothing has arrived; that of the connection, once.
        pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
            self.connection.try_read(buf)
        }

        /// Sends a copy of some of `bytes`, at most 64 KiB; returns how many left for the socket's buffer.
        ///
        /// If the future is dropped before the loop turned, nothing is sent; afterwards the bytes may or may not leave,
        /// in order and whole, and the next write waits for them.
        ///
        /// # Errors
        ///
        /// `BrokenPipe` or `ConnectionReset` if the peer is gone; that of an earlier write whose future was dropped;
        /// `ResourceBusy` if another task writes.
        pub async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
            self.connection.write(bytes).await
        }

        /// Sends a copy of all of `bytes`, 64 KiB at a time.
        ///
        /// If the future is dropped, what it had under way is treated as by [`write`](Self::write), and the rest is not
        /// sent.
        ///
        /// # Errors
        ///
        /// As for [`write`](Self::write). How much was sent then is not known.
        pub async fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
            self.connection.write_all(bytes).await
        }

        /// Sends from a buffer that is lent to the operation; may send a part of it, and says how many bytes.
        ///
        /// If the future is dropped, the operation keeps the buffer until the kernel is done; otherwise as for
        /// [`write`](Self::write).
        ///
        /// # Errors
        ///
        /// As for [`write`](Self::write), with the buffer.
        pub fn send<B: IoBuf>(&self, buf: B) -> impl Future<Output = BufResult<usize, B>> {
            self.connection.send(buf, false)
        }

        /// Sends all of a buffer that is lent to the operation, and gives it back.
        ///
        /// If the future is dropped: as for [`send`](Self::send).
        ///
        /// # Errors
        ///
        /// As for [`write`](Self::write), with the buffer. How much was sent then is not known.
        pub fn send_all<B: IoBuf>(&self, buf: B) -> impl Future<Output = Result<B, BufError<B>>> {
            self.connection.send_all(buf)
        }

        /// Sends all of several buffers, in one operation if the socket takes them, and gives them back. An operation
        /// takes 1024 of them.
        ///
        /// If the future is dropped: as for [`send`](Self::send).
        ///
        /// # Errors
        ///
        /// As for [`send_all`](Self::send_all).
        pub async fn send_all_vectored<B: IoBuf>(
            &self,
            bufs: Vec<B>,
        ) -> Result<Vec<B>, BufError<Vec<B>>> {
            self.connection.send_all_vectored(bufs).await
        }

        /// Sends what the socket's buffer takes at once, by a system call of its own.
        ///
        /// # Errors
        ///
        /// `WouldBlock` if it takes nothing, or if a send is under way; otherwise as `send(2)`. The error of a write
        /// whose future was dropped is left for the next write that waits.
        pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
            self.connection.try_write(bytes)
        }

        /// Waits until no write whose future was dropped is under way. It says nothing about the socket's buffer.
        ///
        /// Dropping the future has no effect.
        ///
        /// # Errors
        ///
        /// That of a write whose future was dropped; `ResourceBusy` if another task writes.
        pub async fn writable(&self) -> io::Result<()> {
            self.connection.writable().await
        }

        /// Ends the outgoing direction: the peer reads to the end of what was sent. Waits for a dropped write first.
        ///
        /// If the future is dropped before it is done, nothing happened.
        ///
        /// # Errors
        ///
        /// That of a write whose future was dropped; of TCP `NotConnected` if the connection is gone; `ResourceBusy` if
        /// another task writes.
        pub async fn shutdown(&self) -> io::Result<()> {
            self.connection.shutdown().await
        }
    };
}
pub(super) use stream_methods;
