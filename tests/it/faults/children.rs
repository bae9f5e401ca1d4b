//! Children that nobody waits for, a thousand at once and in the midst of I/O, and descriptors that run out.
#![allow(unsafe_code, reason = "a limit is set by a system call")]

use std::cell::Cell;
use std::fs::File;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::rc::Rc;
use std::time::Duration;

use annulus::Builder;
use annulus::process::{Command, Stdio};
use annulus::runtime::Feature;
use annulus::signal::{SignalKind, signal};
use annulus::spawn;
use annulus::time::timeout;

use super::echo_until;
use crate::processes::{is_there, long, need};
use crate::support::child::{assert_passed, in_child, inherited_by, run_alone};
use crate::support::settled::{PATIENCE, joined, poll_and_drop, run_with, turn, until};
use crate::support::skip::skip;

fn both_forms() -> [Builder; 2] {
    [Builder::new(), Builder::new().disable(Feature::WaitId)]
}

/// Children of this process, zombies included.
fn children_of_this_process() -> usize {
    let me = std::process::id().to_string();
    let entries = std::fs::read_dir("/proc").expect("/proc is mounted").flatten();
    let stats = entries.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    // `pid (name) state parent`, and the name may hold anything.
    let parent = |stat: String| stat.rsplit_once(") ")?.1.split(' ').nth(1).map(str::to_owned);
    stats.filter_map(parent).filter(|parent| *parent == me).count()
}

#[test]
fn a_thousand_children_that_nobody_waits_for_leave_no_zombie() {
    need!("true", "sleep");
    const CHILDREN: usize = 1000;
    let child = in_child!(|| {
        let [first, second] = both_forms();
        for (builder, count) in [(first, CHILDREN), (second, CHILDREN / 10)] {
            run_alone(builder, async || {
                for nth in 0..count {
                    let mut command = Command::new("true");
                    let child = match nth % 10 {
                        0 => long().kill_on_drop(true).spawn(),
                        _ => command.spawn(),
                    };
                    let mut child = child.unwrap();
                    // Some were looked at before they are dropped.
                    if nth % 3 == 0 {
                        _ = poll_and_drop(child.wait()).await;
                    }
                    if nth % 50 == 0 {
                        turn().await;
                    }
                }
                until(|| children_of_this_process() == 0).await;
            });
        }
    });
    child.iter().for_each(assert_passed);
}

#[test]
fn children_come_and_go_while_io_runs() {
    need!("ls", "sh");
    for builder in both_forms() {
        run_with(builder, async || {
            let over = Rc::new(Cell::new(false));
            let stop = Rc::clone(&over);
            let talk = spawn(echo_until(move || stop.get()));
            for nth in 0..15 {
                let output = Command::new("ls").args(["-l", "/proc/self/fd"]).output();
                assert_eq!(inherited_by(&output.await.unwrap()), Vec::<String>::new());
                let status = Command::shell(format!("exit {nth}")).status().await.unwrap();
                assert_eq!(status.code(), Some(nth));
            }
            over.set(true);
            joined(vec![talk]).await;
        });
    }
}

#[test]
fn listening_to_sigchld_takes_no_status_away() {
    need!("sh", "sleep");
    let child = in_child!(|| {
        for builder in both_forms() {
            run_alone(builder, async || {
                let mut ends = signal(SignalKind::child()).unwrap();
                for code in 0..20 {
                    let mut child = Command::shell(format!("exit {code}")).spawn().unwrap();
                    timeout(PATIENCE, ends.recv()).await.expect("it ended");
                    assert_eq!(child.wait().await.unwrap().code(), Some(code));
                }
            });
        }
    });
    child.iter().for_each(assert_passed);
}

#[test]
fn a_child_that_the_kernel_reaps_is_an_error_and_no_hang() {
    need!("true");
    let child = in_child!(|| {
        crate::signals::install(SignalKind::child(), libc::SIG_IGN, 0);
        for builder in both_forms() {
            run_alone(builder, async || {
                let mut child = Command::new("true").spawn().unwrap();
                let error = timeout(PATIENCE, child.wait()).await.expect("no hang").unwrap_err();
                assert_eq!(error.raw_os_error(), Some(libc::ECHILD));
                drop(Command::new("true").spawn().unwrap());
            });
        }
    });
    child.iter().for_each(assert_passed);
}

/// A process with this number that is no child of this one, or `None` if somebody else has got the number.
fn stranger(number: u32) -> Option<u32> {
    let text = "echo $1 > /proc/sys/kernel/ns_last_pid && { sleep 1000 > /dev/null & echo $!; }";
    let mut command = std::process::Command::new("/bin/sh");
    command.args(["-c", text, "sh"]).arg((number - 1).to_string());
    let mut shell = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    shell.stdout.take().unwrap().read_to_string(&mut line).unwrap();
    // While `SIGCHLD` is ignored this waits until the child is gone, and says that it is.
    _ = shell.wait();
    let made = line.trim().parse().unwrap();
    if made == number {
        return Some(made);
    }
    end(made);
    None
}

fn end(process: u32) {
    // SAFETY: no memory is passed, and the process is one that this test has started and nobody ends before.
    assert_eq!(unsafe { libc::kill(process.cast_signed(), libc::SIGKILL) }, 0);
}

#[test]
fn a_signal_reaches_no_stranger_who_has_got_the_number_of_a_child() {
    need!("sh", "sleep", "true");
    // It opens for anybody, and refuses what is written.
    let last = "/proc/sys/kernel/ns_last_pid";
    if let Err(error) = std::fs::read(last).and_then(|number| std::fs::write(last, number)) {
        skip!("numbers cannot be chosen here: {error}");
    }
    let child = in_child!(|| {
        crate::signals::install(SignalKind::child(), libc::SIG_IGN, 0);
        for builder in both_forms() {
            run_alone(builder, async || {
                let (child, stranger) = loop {
                    let child = Command::new("true").process_group(0).spawn().unwrap();
                    let id = child.id().unwrap();
                    until(|| !is_there(id)).await;
                    if let Some(stranger) = stranger(id) {
                        break (child, stranger);
                    }
                };
                let mut child = child;
                assert_eq!(child.id(), Some(stranger), "nobody has waited for it");
                for refused in [
                    child.signal(SignalKind::terminate()),
                    child.signal_group(SignalKind::terminate()),
                    child.start_kill(),
                ] {
                    assert_eq!(refused.unwrap_err().raw_os_error(), Some(libc::ESRCH));
                }
                // With no descriptor left it is found out by the number.
                let files = fill(0);
                assert_eq!(child.start_kill().unwrap_err().raw_os_error(), Some(libc::ESRCH));
                drop(files);
                assert!(is_there(stranger));
                end(stranger);
            });
        }
    });
    child.iter().for_each(assert_passed);
}

#[test]
fn a_signal_needs_no_descriptor() {
    need!("sleep");
    let child = in_child!(|| {
        for builder in both_forms() {
            run_alone(builder, async || {
                let (mut child, mut leader) = (long(), long());
                let mut child = child.spawn().unwrap();
                let mut leader = leader.process_group(0).spawn().unwrap();
                let files = fill(0);
                child.signal(SignalKind::user_defined1()).unwrap();
                leader.signal_group(SignalKind::user_defined2()).unwrap();
                drop(files);
                assert_eq!(child.wait().await.unwrap().signal(), Some(libc::SIGUSR1));
                assert_eq!(leader.wait().await.unwrap().signal(), Some(libc::SIGUSR2));
            });
        }
    });
    child.iter().for_each(assert_passed);
}

/// Takes every descriptor that is left but `free`.
fn fill(free: usize) -> Vec<File> {
    let mut files: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    files.truncate(files.len() - free);
    files
}

fn is_exhausted<T: std::fmt::Debug>(result: std::io::Result<T>) -> bool {
    result.is_err_and(|error| error.raw_os_error() == Some(libc::EMFILE))
}

#[test]
fn no_descriptor_left_is_an_error_and_changes_nothing() {
    need!("cat", "true");
    let child = in_child!(|| {
        let limit = libc::rlimit { rlim_cur: 64, rlim_max: 64 };
        // SAFETY: the limit is read during the call.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
        for builder in both_forms() {
            run_alone(builder, async || {
                annulus::time::sleep(Duration::from_millis(1)).await;
                let piped = || {
                    let mut command = Command::new("cat");
                    command.stdin(Stdio::piped()).stdout(Stdio::piped());
                    command
                };
                for free in 0..6 {
                    let files = fill(free);
                    assert!(free >= 2 || is_exhausted(annulus::io::pipe()));
                    assert!(free >= 1 || is_exhausted(annulus::io::stdin()));
                    match piped().spawn() {
                        Ok(mut child) => drop(child.kill().await),
                        Err(error) => assert_eq!(error.raw_os_error(), Some(libc::EMFILE)),
                    }
                    drop(files);
                    let output = piped().spawn().unwrap().wait_with_output().await.unwrap();
                    assert!(output.status.success());
                }
                let mut children: Vec<_> = Vec::new();
                let files = fill(3);
                for _ in 0..8 {
                    // Each takes a descriptor where the kernel has no other way.
                    children.extend(Command::new("true").spawn().ok());
                }
                drop(files);
                for child in &mut children {
                    assert!(child.wait().await.unwrap().success());
                }
                assert_eq!(children_of_this_process(), 0, "what could not be kept was reaped");
            });
        }
        // A new kind of signal takes one as well.
        run_alone(Builder::new(), async || {
            let files = fill(0);
            assert!(is_exhausted(signal(SignalKind::hangup())));
            drop(files);
            let mut listener = signal(SignalKind::hangup()).unwrap();
            crate::signals::raise(SignalKind::hangup());
            assert_eq!(listener.recv().await, Some(()));
        });
    });
    child.iter().for_each(assert_passed);
}

#[test]
fn a_core_that_ends_leaves_its_children_running_unless_they_are_to_be_killed() {
    need!("sleep");
    let child = in_child!(|| {
        for builder in both_forms() {
            let runtime = builder.build().expect("this machine has io_uring");
            let (kept, killed) = runtime.block_on(async {
                let kept = long().spawn().unwrap();
                let killed = long().kill_on_drop(true).spawn().unwrap();
                let ids = (kept.id().unwrap(), killed.id().unwrap());
                // Tasks hold them when the core ends.
                spawn(async move { (kept, killed).0.wait().await });
                turn().await;
                ids
            });
            assert_eq!(runtime.shutdown(PATIENCE), Ok(()));
            assert!(is_there(kept));
            // SAFETY: no memory is passed, and the child is ours.
            assert_eq!(unsafe { libc::kill(kept.cast_signed(), libc::SIGTERM) }, 0);
            let runtime = annulus::Runtime::new().expect("this machine has io_uring");
            runtime.block_on(until(|| {
                // Whoever starts another one reaps what was left.
                drop(Command::new("true").spawn());
                !is_there(kept) && !is_there(killed)
            }));
        }
    });
    child.iter().for_each(assert_passed);
}
