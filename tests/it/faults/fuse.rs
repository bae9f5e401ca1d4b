//! A file that never answers: the one operation that no cancel ends, and a close that waits.
//!
//! The file system is our own, of one file, spoken over `/dev/fuse` in a mount namespace of the test's thread.
//!
//! # Safety rules
//!
//! 1. Calls get strings that end in zero and descriptors that are open; the namespace is this thread's own.
#![allow(unsafe_code, reason = "mounting is done by system calls")]

use std::ffi::CString;
use std::fs::File as StdFile;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use annulus::fs::File;
use annulus::net::{UnixDatagram, UnixStream};
use annulus::time::sleep;
use annulus::{Builder, Runtime};

use crate::support::files::Folder;
use crate::support::leak::LeakGuard;
use crate::support::settled::{PATIENCE, poll_and_drop, poll_once, turn, until};
use crate::support::skip::skip;

const LOOKUP: u32 = 1;
const FORGET: u32 = 2;
const GETATTR: u32 = 3;
const OPEN: u32 = 14;
const READ: u32 = 15;
const WRITE: u32 = 16;
const FSYNC: u32 = 20;
const FLUSH: u32 = 25;
const INIT: u32 = 26;
const INTERRUPT: u32 = 36;

/// Without it, or with direct I/O, the kernel waits for the answer inside the core's own call: nothing turns then.
const ASYNC_READ: u32 = 1;

/// A mounted file system with one file, whose reads wait for `answer`, or, if it is told so, its closes; and whose
/// writes fail when they are to.
struct Silent {
    device: StdFile,
    /// Where it is mounted.
    mount: Folder,
    /// The requests that wait.
    waiting: Arc<Mutex<Vec<u64>>>,
    /// Which kind of them waits.
    held: Arc<AtomicU32>,
    /// How writes, syncs and closes fail; zero is not.
    broken: Arc<AtomicI32>,
    server: Option<std::thread::JoinHandle<()>>,
}

impl Silent {
    /// Mounts it in a namespace of this thread's own.
    fn mount() -> io::Result<Self> {
        let device = StdFile::options().read(true).write(true).open("/dev/fuse")?;
        // SAFETY: rule 1.
        check(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
        mount("none", Path::new("/"), "", libc::MS_REC | libc::MS_PRIVATE, "")?;
        // Of each mount's own: who removes it ends what is mounted there, in every namespace.
        let folder = Folder::new();
        let path = folder.path();
        let fd = device.as_raw_fd();
        let options = format!("fd={fd},rootmode=40000,user_id=0,group_id=0");
        let flags = libc::MS_NOSUID | libc::MS_NODEV;
        mount("annulus", path, "fuse", flags, &options)?;
        let (waiting, broken) = (Arc::default(), Arc::default());
        let held = Arc::new(AtomicU32::new(READ));
        let (requests, noted) = (device.try_clone()?, Arc::clone(&waiting));
        let (kind, fails) = (Arc::clone(&held), Arc::clone(&broken));
        let server = Some(std::thread::spawn(move || serve(requests, &noted, &kind, &fails)));
        Ok(Self { device, mount: folder, waiting, held, broken, server })
    }

    fn open(&self) -> StdFile {
        StdFile::open(self.mount.join("file")).expect("the server answers")
    }

    /// From now on requests of this kind wait, and no others.
    fn hold(&self, kind: u32) {
        self.held.store(kind, Ordering::Relaxed);
    }

    fn open_for_writing(&self) -> StdFile {
        let mut options = StdFile::options();
        options.write(true).open(self.mount.join("file")).expect("the server answers")
    }

    /// From now on writes, syncs and closes fail, or do not.
    fn breaks(&self, code: i32) {
        self.broken.store(code, Ordering::Release);
    }

    fn is_asked(&self) -> bool {
        !self.waiting.lock().expect("no panic").is_empty()
    }

    /// Answers what waits, long after a reader gave up.
    fn answer(&self, bytes: &[u8]) {
        self.reply_to_all(0, bytes);
    }

    /// Has the reads that wait fail.
    fn fail(&self, code: i32) {
        self.reply_to_all(-code, &[]);
    }

    fn reply_to_all(&self, error: i32, bytes: &[u8]) {
        for unique in self.waiting.lock().expect("no panic").drain(..) {
            reply(&self.device, unique, error, bytes).expect("the request is still there");
        }
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        let path = c_string(&self.mount.path().to_string_lossy());
        // SAFETY: rule 1.
        unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) };
        let _ = self.server.take().map(std::thread::JoinHandle::join);
    }
}

fn c_string(text: &str) -> CString {
    CString::new(text).expect("no zero in it")
}

fn check(status: i32) -> io::Result<()> {
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn mount(source: &str, at: &Path, kind: &str, flags: u64, options: &str) -> io::Result<()> {
    let (source, at) = (c_string(source), c_string(&at.to_string_lossy()));
    let (kind, options) = (c_string(kind), c_string(options));
    // SAFETY: rule 1.
    check(unsafe {
        libc::mount(source.as_ptr(), at.as_ptr(), kind.as_ptr(), flags, options.as_ptr().cast())
    })
}

/// Answers everything but what is held, which it notes, until the file system is unmounted.
fn serve(mut device: StdFile, waiting: &Mutex<Vec<u64>>, held: &AtomicU32, broken: &AtomicI32) {
    let mut request = vec![0; 1 << 20];
    while let Ok(len) = device.read(&mut request) {
        let word = |at: usize| u32::from_ne_bytes(request[at..at + 4].try_into().expect("four"));
        let unique = u64::from_ne_bytes(request[8..16].try_into().expect("eight"));
        let node = u64::from_ne_bytes(request[16..24].try_into().expect("eight"));
        assert!(len >= 40, "a header");
        let code = broken.load(Ordering::Acquire);
        let _ = match word(4) {
            kind if kind == held.load(Ordering::Relaxed) => {
                waiting.lock().expect("no panic").push(unique);
                Ok(())
            }
            WRITE | FSYNC | FLUSH if code != 0 => reply(&device, unique, -code, &[]),
            // As many bytes as were to be written.
            WRITE => reply(&device, unique, 0, &words(&[word(56), 0])),
            FSYNC | FLUSH => reply(&device, unique, 0, &[]),
            INIT => reply(&device, unique, 0, &init()),
            LOOKUP => reply(&device, unique, 0, &entry()),
            GETATTR => reply(&device, unique, 0, &attributes(node)),
            OPEN => reply(&device, unique, 0, &words(&[0; 4])),
            FORGET | INTERRUPT => Ok(()),
            _ => reply(&device, unique, -libc::ENOSYS, &[]),
        };
    }
}

fn reply(mut device: &StdFile, unique: u64, error: i32, body: &[u8]) -> io::Result<()> {
    let mut message = words(&[16 + body.len() as u32, error.cast_unsigned()]);
    message.extend_from_slice(&unique.to_ne_bytes());
    message.extend_from_slice(body);
    device.write_all(&message)
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// `struct fuse_init_out`: version 7.31, reads that are waited for elsewhere, writes of 4096 bytes.
fn init() -> Vec<u8> {
    let mut body = words(&[7, 31, 4096, ASYNC_READ, 0, 4096, 1]);
    body.resize(64, 0);
    body
}

/// `struct fuse_attr`: the root is a directory, the other node a file of a mebibyte.
fn attribute(node: u64) -> Vec<u8> {
    let mode = if node == 1 { libc::S_IFDIR | 0o755 } else { libc::S_IFREG | 0o644 };
    let mut body = words(&[node as u32, 0, 1 << 20, 0]);
    body.resize(60, 0);
    body.extend(words(&[mode, 1, 0, 0, 0, 4096, 0]));
    body
}

/// `struct fuse_entry_out` of node 2.
fn entry() -> Vec<u8> {
    let mut body = words(&[2, 0, 0, 0, 3600, 0, 3600, 0, 0, 0]);
    body.extend(attribute(2));
    body
}

/// `struct fuse_attr_out`.
fn attributes(node: u64) -> Vec<u8> {
    let mut body = words(&[3600, 0, 0, 0]);
    body.extend(attribute(node));
    body
}

/// A kernel worker of this thread's rings sleeps so that only an answer, or its end, wakes it. Before that, a cancel
/// would still find the read in a queue.
fn a_worker_waits() -> bool {
    let own = std::fs::read_link("/proc/thread-self").expect("/proc is mounted");
    let own = own.file_name().expect("pid/task/tid").to_string_lossy().into_owned();
    let name = format!("(iou-wrk-{own}) D");
    let threads = std::fs::read_dir("/proc/self/task").expect("/proc is mounted");
    let mut states =
        threads.filter_map(|entry| std::fs::read_to_string(entry.ok()?.path().join("stat")).ok());
    states.any(|stat| stat.contains(&name))
}

/// The body of the test; an error says why there is no such file system here.
fn leak_a_read(give_up: impl FnOnce(Runtime) -> Duration) -> io::Result<()> {
    let _leaks = LeakGuard::new();
    let silent = Silent::mount()?;
    let runtime = Builder::new().build().expect("this machine has io_uring");
    let fd = runtime.block_on(async {
        let file = File::from_std(silent.open());
        let fd = std::os::fd::AsFd::as_fd(&file).as_raw_fd();
        let mut read = Box::pin(file.read_at(vec![0xAA; 4096], 0));
        assert!(poll_once(&mut read).await.is_pending());
        until(|| silent.is_asked() && a_worker_waits()).await;
        drop(read);
        sleep(Duration::from_millis(20)).await;
        fd
    });
    assert!(give_up(runtime) < PATIENCE, "the deadline was short");
    // The kernel writes now, into memory that was leaked for it; the guard sees it if it was freed.
    silent.answer(&[0x55; 4096]);
    std::thread::sleep(Duration::from_millis(50));
    // SAFETY: the operation that owns this number was leaked, so nobody else closes it.
    unsafe { libc::close(fd) };
    drop(silent);
    Ok(())
}

fn in_thread(test: fn() -> io::Result<()>) -> io::Result<()> {
    std::thread::spawn(test).join().expect("the test passed")
}

#[test]
fn a_read_that_no_cancel_ends_is_reported_and_its_memory_stays() {
    let test = || {
        leak_a_read(|runtime| {
            let start = Instant::now();
            let leaked = runtime.shutdown(Duration::from_secs(2)).expect_err("it hangs");
            assert_eq!((leaked.count, leaked.kinds.as_slice()), (1, [("read", 1)].as_slice()));
            assert!(leaked.to_string().contains("1 read"), "{leaked}");
            assert!(start.elapsed() >= Duration::from_secs(2), "{:?}", start.elapsed());
            start.elapsed()
        })
    };
    if let Err(error) = in_thread(test) {
        skip!("no file system of our own: {error}");
    }
}

/// The body of the test below.
fn fail_a_read() -> io::Result<()> {
    let _leaks = LeakGuard::new();
    let silent = Silent::mount()?;
    let runtime = Builder::new().build().expect("this machine has io_uring");
    runtime.block_on(async {
        let file = File::from_std(silent.open());
        let mut read = Box::pin(file.read_at(vec![0xAA; 4096], 0));
        assert!(poll_once(&mut read).await.is_pending());
        // The kernel may ask again for a page that it could not read ahead.
        let mut failed = None;
        until(|| {
            silent.fail(libc::EIO);
            let waker = std::task::Waker::noop();
            let polled = read.as_mut().poll(&mut std::task::Context::from_waker(waker));
            if let std::task::Poll::Ready(result) = polled {
                failed = Some(result);
            }
            failed.is_some()
        })
        .await;
        let failed = failed.expect("it ended").expect_err("the disk is broken");
        assert_eq!(failed.error.raw_os_error(), Some(libc::EIO));
        assert_eq!(failed.buf, [0xAA; 4096]);
    });
    assert_eq!(runtime.shutdown(PATIENCE), Ok(()));
    drop(silent);
    Ok(())
}

#[test]
fn a_disk_that_fails_is_an_error_and_the_buffer_comes_back() {
    if let Err(error) = in_thread(fail_a_read) {
        skip!("no file system of our own: {error}");
    }
}

/// A descriptor of the file is closed by what is done here, and the core goes on while the close waits.
async fn turns_while_it_closes(silent: &Silent, close: impl AsyncFnOnce()) {
    silent.hold(FLUSH);
    close().await;
    until(|| silent.is_asked()).await;
    silent.hold(READ);
    silent.answer(&[]);
}

async fn close_untaken(silent: &Silent) {
    let file = || vec![silent.open().into()];
    let (near, far) = UnixDatagram::pair().unwrap();
    drop(near.send_with_fds("x", file()).await.unwrap());
    let message = far.recv_message().await.unwrap();
    turns_while_it_closes(silent, async || drop(message)).await;
    drop(near.send_with_fds("x", file()).await.unwrap());
    far.readable().await.unwrap();
    turns_while_it_closes(silent, async || drop(far)).await;
    let (near, far) = UnixStream::pair().unwrap();
    assert!(poll_and_drop(far.recv_message()).await.is_none());
    drop(near.send_with_fds("x", file()).await.unwrap());
    assert_eq!(&*far.recv().await.unwrap().expect("a byte"), b"x");
    // It is closed as the next byte arrives.
    turns_while_it_closes(silent, async || {
        near.write_all(b"y").await.unwrap();
        assert_eq!(&*far.recv().await.unwrap().expect("a byte"), b"y");
    })
    .await;
    drop(near.send_with_fds("x", file()).await.unwrap());
    far.readable().await.unwrap();
    turns_while_it_closes(silent, async || drop(far)).await;
    // Ours, of a send whose future is dropped.
    let (near, _far) = UnixDatagram::pair().unwrap();
    turns_while_it_closes(silent, async || {
        assert!(poll_and_drop(near.send_with_fds("x", file())).await.is_none());
    })
    .await;
}

/// The body of the test below.
fn close_while_the_server_waits() -> io::Result<()> {
    let _leaks = LeakGuard::new();
    let silent = Silent::mount()?;
    std::thread::scope(|scope| {
        let (done, over) = mpsc::channel::<()>();
        let answers = &silent;
        scope.spawn(move || {
            // Should the core be stuck in a close, this gets it out, to fail.
            while over.recv_timeout(Duration::from_secs(5)) == Err(mpsc::RecvTimeoutError::Timeout)
            {
                answers.answer(&[]);
            }
        });
        let runtime = Builder::new().build().expect("this machine has io_uring");
        runtime.block_on(close_untaken(&silent));
        assert_eq!(runtime.shutdown(PATIENCE), Ok(()));
        drop(done);
    });
    drop(silent);
    Ok(())
}

#[test]
fn a_close_that_waits_of_a_descriptor_that_nobody_takes_holds_up_nobody() {
    if let Err(error) = in_thread(close_while_the_server_waits) {
        skip!("no file system of our own: {error}");
    }
}

/// The body of the test below.
fn fail_changes() -> io::Result<()> {
    let _leaks = LeakGuard::new();
    let silent = Silent::mount()?;
    let runtime = Builder::new().build().expect("this machine has io_uring");
    runtime.block_on(async {
        let file = File::from_std(silent.open_for_writing());
        let code = |result: io::Result<()>| result.map_err(|error| error.raw_os_error());
        file.write_all_at("while all is well", 0).await.expect("it is taken");
        silent.breaks(libc::EIO);
        let failed = file.write_at("kept", 0).await.expect_err("the disk is broken");
        assert_eq!((failed.error.raw_os_error(), failed.buf), (Some(libc::EIO), "kept"));
        assert_eq!(code(file.sync_all().await), Err(Some(libc::EIO)));
        // A sync that was dropped is told by the next change, and so is a write, each once.
        for sync in [true, false] {
            let mut change: Pin<Box<dyn Future<Output = ()>>> = match sync {
                true => Box::pin(async { _ = file.sync_data().await }),
                false => Box::pin(async { _ = file.write_at("lost", 0).await }),
            };
            assert!(poll_once(&mut change).await.is_pending());
            turn().await;
            drop(change);
            assert_eq!(code(file.flush().await), Err(Some(libc::EIO)), "{sync}");
            assert_eq!(code(file.flush().await), Ok(()));
            silent.breaks(0);
            assert_eq!(code(file.sync_all().await), Ok(()));
            silent.breaks(libc::EIO);
        }
        assert_eq!(code(file.close().await), Err(Some(libc::EIO)), "it writes only now");
    });
    assert_eq!(runtime.shutdown(PATIENCE), Ok(()));
    drop(silent);
    Ok(())
}

#[test]
fn a_disk_that_fails_is_told_by_writes_syncs_and_the_close_also_where_their_futures_were_dropped() {
    if let Err(error) = in_thread(fail_changes) {
        skip!("no file system of our own: {error}");
    }
}
