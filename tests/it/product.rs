//! Every operation, dropped in every state, with the cancel winning and losing, in a runtime that goes on, ends, or
//! unwinds: each time nothing is left, each buffer is dropped once, and what the operation brought is not lost.
//!
//! A scene (`scenes`) makes one operation and says how the kernel is brought to complete it; `play` drives it to the
//! state and drops it there. What cannot be is in `impossible`, with the reason.

mod scenes;

use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use annulus::{Builder, Runtime};

use crate::support::leak::LeakGuard;
use crate::support::settled::{PATIENCE, poll_flagged, settle, turn, until};
use scenes::{Fate, Scene};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Nop,
    ReadAt,
    WriteAt,
    ReadDirect,
    WriteDirect,
    ReadVectored,
    WriteVectored,
    Open,
    Close,
    Statx,
    Fsync,
    Fallocate,
    Fadvise,
    Unlink,
    Mkdir,
    Rename,
    Link,
    Symlink,
    Connect,
    Accept,
    Recv,
    ReadOwned,
    SendAll,
    SendAllVectored,
    ChildWait,
    PipeRecv,
    PipeWriteAll,
    Readable,
    RecvDatagram,
    SendTo,
    SendMessage,
    SendWithFds,
    RecvMessage,
    Serve,
    Sleep,
}

/// Where the future is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    BeforePoll,
    /// After its first poll, before the entry reached the kernel.
    Staged,
    InKernel,
    /// It completed, and nobody took the result.
    Completed,
    /// It is leaked, and outlives the runtime.
    Never,
}

/// Who wins: the cancel, because the operation cannot complete by itself, or the completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Race {
    CancelWins,
    CancelLoses,
}

/// What drops it: a runtime that goes on, one that ends, or a main future that unwinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Running,
    Shutdown,
    Panic,
}

use Cause::{Panic, Running, Shutdown};
use Operation::{
    Close, Connect, Fadvise, Fallocate, Fsync, Link, Mkdir, Nop, Open, PipeWriteAll, ReadAt,
    ReadDirect, ReadVectored, Rename, SendAll, SendAllVectored, SendMessage, SendTo, SendWithFds,
    Sleep, Statx, Symlink, Unlink, WriteAt, WriteDirect, WriteVectored,
};
use Race::{CancelLoses, CancelWins};
use When::{BeforePoll, Completed, InKernel, Never, Staged};

/// Why a combination is left out.
fn impossible(operation: Operation, when: When, race: Race, cause: Cause) -> Option<&'static str> {
    match (operation, when, race, cause) {
        (Nop | Close | Statx | Fsync | Fallocate | Fadvise, _, CancelWins, _)
        | (Unlink | Mkdir | Rename | Link | Symlink, _, CancelWins, _) => {
            Some("it always completes by itself")
        }
        (SendTo | SendMessage, _, CancelWins, _) => Some("the kernel always takes a datagram"),
        (_, Completed, CancelWins, _) => Some("what completed could complete"),
        (Nop | Connect | Close | SendTo | SendMessage, InKernel, CancelLoses, _) => {
            Some("it completes within the enter that submits it")
        }
        (
            WriteAt | WriteDirect | WriteVectored | SendAll | SendAllVectored | SendWithFds
            | PipeWriteAll,
            InKernel,
            CancelWins,
            Running | Panic,
        ) => Some(
            "writes are not cancelled: they end when the other side reads, which is the other race",
        ),
        (_, Never, CancelWins, Running | Panic) => {
            Some("an operation that cannot complete and is not dropped only ends with the runtime")
        }
        _ => None,
    }
}

const WHEN: [When; 5] = [BeforePoll, Staged, InKernel, Completed, Never];
const RACES: [Race; 2] = [CancelWins, CancelLoses];
const CAUSES: [Cause; 3] = [Running, Shutdown, Panic];

/// Plays all combinations of one operation; returns how many there were.
fn play_all(operation: Operation) -> usize {
    let mut played = 0;
    for when in WHEN {
        for race in RACES {
            for cause in CAUSES {
                if impossible(operation, when, race, cause).is_none() {
                    play(operation, when, race, cause);
                    played += 1;
                }
            }
        }
    }
    played
}

fn play(operation: Operation, when: When, race: Race, cause: Cause) {
    let name = format!("{operation:?}, {when:?}, {race:?}, {cause:?}");
    let _leaks = LeakGuard::new();
    let builder = Builder::new().small_buffers(4096, 16).large_buffers(65536, 4);
    let runtime = builder.build().expect("this machine has io_uring");
    let mut scene = runtime.block_on(Scene::new(operation, race));
    let (drops, buffers) = (scene.drops.clone(), scene.buffers);
    let leaked = Rc::new(RefCell::new(None));
    let future = scene.future.take().expect("a new scene has one");
    let mut held = Held { future: ManuallyDrop::new(future), when, leaked: Rc::clone(&leaked) };

    let dropped = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async {
            bring_to(&mut held, when, race, &mut scene, &name).await;
            match cause {
                Running => drop(held),
                // The task is never polled: it only holds what the shutdown drops.
                Shutdown => drop(annulus::spawn(async move { drop(held) })),
                Panic => {
                    let _held = held;
                    resume_unwind(Box::new("unwinding"));
                }
            }
        });
    }));
    assert_eq!(dropped.is_err(), cause == Panic, "{name}");

    if cause != Shutdown {
        match when {
            BeforePoll | Staged | Completed => {
                assert_eq!(drops.count(), buffers, "{name}: freed at once");
            }
            InKernel | Never => {}
        }
        go_on(&runtime, when, race, &mut scene, &name);
    }
    // A write that is still in the kernel is cancelled only when half of the time is over.
    let writes = matches!(
        operation,
        WriteAt
            | WriteDirect
            | WriteVectored
            | SendAll
            | SendAllVectored
            | SendWithFds
            | PipeWriteAll
    );
    let ends_late = writes && matches!(when, InKernel | Never) && cause == Shutdown;
    let deadline = if ends_late { Duration::from_secs(3) } else { PATIENCE };
    assert_eq!(runtime.shutdown(deadline), Ok(()), "{name}");
    drop(leaked.take());
    drop(scene);
    assert_eq!(drops.count(), buffers, "{name}: each buffer is dropped once");
}

/// The future, which its end drops or, for `Never`, puts aside.
struct Held {
    future: ManuallyDrop<scenes::Future>,
    when: When,
    leaked: Rc<RefCell<Option<scenes::Future>>>,
}

#[allow(unsafe_code, reason = "the field is moved out by the destructor, once")]
impl Drop for Held {
    fn drop(&mut self) {
        // SAFETY: `self` ends here, and nothing else takes the field.
        let future = unsafe { ManuallyDrop::take(&mut self.future) };
        if self.when == Never {
            self.leaked.replace(Some(future));
        }
    }
}

/// Polls the future and turns the loop until it is where it is to be dropped.
async fn bring_to(held: &mut Held, when: When, race: Race, scene: &mut Scene, name: &str) {
    if when == BeforePoll {
        return;
    }
    let (poll, flag) = poll_flagged(&mut *held.future);
    assert_eq!(poll, Poll::Pending, "{name}: nothing is ready at once");
    if when == Staged {
        return;
    }
    if race == CancelWins {
        turn().await;
        turn().await;
        assert!(!flag.is_set(), "{name}: it cannot complete");
        return;
    }
    if when == InKernel {
        turn().await;
        (scene.provoke)();
        return;
    }
    until(|| {
        (scene.provoke)();
        flag.is_set()
    })
    .await;
}

/// The runtime and the resource go on after the drop: what was left ends, and what was brought is there.
fn go_on(runtime: &Runtime, when: When, race: Race, scene: &mut Scene, name: &str) {
    let fate = match (when, race) {
        (BeforePoll | Staged, _) | (_, CancelWins) => Fate::Undone,
        (Never, CancelLoses) => Fate::Leaked,
        (InKernel | Completed, CancelLoses) => Fate::Done,
    };
    let after = scene.after.take().expect("a new scene has one");
    runtime.block_on(after(fate));
    if when != Never {
        let drops = scene.drops.clone();
        let buffers = scene.buffers;
        runtime.block_on(until(|| drops.count() == buffers));
        scene.close();
        settle(runtime);
    }
    assert_eq!(runtime.metrics().stray_completions, 0, "{name}");
}

#[test]
fn nop() {
    assert_eq!(play_all(Nop), 12);
}

#[test]
fn read_at() {
    assert_eq!(play_all(ReadAt), 25);
}

#[test]
fn write_at() {
    assert_eq!(play_all(WriteAt), 23);
}

#[test]
fn read_direct() {
    assert_eq!(play_all(ReadDirect), 25);
}

#[test]
fn write_direct() {
    assert_eq!(play_all(WriteDirect), 23);
}

#[test]
fn read_vectored() {
    assert_eq!(play_all(ReadVectored), 25);
}

#[test]
fn write_vectored() {
    assert_eq!(play_all(WriteVectored), 23);
}

#[test]
fn open() {
    assert_eq!(play_all(Open), 25);
}

#[test]
fn close() {
    assert_eq!(play_all(Close), 12);
}

#[test]
fn statx() {
    assert_eq!(play_all(Statx), 15);
}

#[test]
fn fsync() {
    assert_eq!(play_all(Fsync), 15);
}

#[test]
fn fallocate() {
    assert_eq!(play_all(Fallocate), 15);
}

#[test]
fn fadvise() {
    assert_eq!(play_all(Fadvise), 15);
}

#[test]
fn unlink() {
    assert_eq!(play_all(Unlink), 15);
}

#[test]
fn mkdir() {
    assert_eq!(play_all(Mkdir), 15);
}

#[test]
fn rename() {
    assert_eq!(play_all(Rename), 15);
}

#[test]
fn link() {
    assert_eq!(play_all(Link), 15);
}

#[test]
fn symlink() {
    assert_eq!(play_all(Symlink), 15);
}

#[test]
fn connect() {
    assert_eq!(play_all(Connect), 22);
}

#[test]
fn accept() {
    assert_eq!(play_all(Operation::Accept), 25);
}

#[test]
fn recv() {
    assert_eq!(play_all(Operation::Recv), 25);
}

#[test]
fn read_owned() {
    assert_eq!(play_all(Operation::ReadOwned), 25);
}

#[test]
fn send_all() {
    assert_eq!(play_all(SendAll), 23);
}

#[test]
fn send_all_vectored() {
    assert_eq!(play_all(SendAllVectored), 23);
}

#[test]
fn child_wait() {
    if let Some(program) = crate::processes::missing(&["cat"]) {
        crate::support::skip::skip!("there is no {program} here");
    }
    assert_eq!(play_all(Operation::ChildWait), 25);
}

#[test]
fn pipe_recv() {
    assert_eq!(play_all(Operation::PipeRecv), 25);
}

#[test]
fn pipe_write_all() {
    assert_eq!(play_all(PipeWriteAll), 23);
}

#[test]
fn readable() {
    assert_eq!(play_all(Operation::Readable), 25);
}

#[test]
fn recv_datagram() {
    assert_eq!(play_all(Operation::RecvDatagram), 25);
}

#[test]
fn send_to() {
    assert_eq!(play_all(SendTo), 12);
}

#[test]
fn send_message() {
    assert_eq!(play_all(SendMessage), 12);
}

#[test]
fn send_with_fds() {
    assert_eq!(play_all(SendWithFds), 23);
}

#[test]
fn recv_message() {
    assert_eq!(play_all(Operation::RecvMessage), 25);
}

#[test]
fn serve() {
    assert_eq!(play_all(Operation::Serve), 25);
}

#[test]
fn sleep() {
    assert_eq!(play_all(Sleep), 25);
}
