//! Children: their ends, streams, signals and surroundings, held against those of std.
//!
//! # Safety rules
//!
//! 1. What runs between fork and exec is one call that touches no memory.
#![allow(unsafe_code, reason = "`pre_exec` is unsafe to call")]

use std::io::ErrorKind;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command as StdCommand, Stdio};
use std::time::Duration;

use annulus::process::{Child, Command};
use annulus::runtime::{Feature, metrics};
use annulus::signal::SignalKind;
use annulus::time::timeout;
use annulus::{Builder, spawn};

use crate::support::child::{assert_passed, in_child, inherited_by};
use crate::support::settled::{
    PATIENCE, content, joined, poll_and_drop, run, run_with, select, turn, until, until_operations,
};
use crate::support::skip::skip;

fn both_forms() -> [Builder; 3] {
    let without_both = Builder::new().disable(Feature::WaitId).disable(Feature::MultishotRead);
    [Builder::new(), Builder::new().disable(Feature::WaitId), without_both]
}

/// The first of these programs that is not there.
pub(crate) fn missing(programs: &[&'static str]) -> Option<&'static str> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = |program: &str| {
        std::env::split_paths(&path).any(|directory| directory.join(program).exists())
    };
    programs.iter().copied().find(|program| !found(program))
}

/// Says SKIP unless all of these programs are there.
macro_rules! need {
    ($($program:literal),+) => {
        if let Some(program) = $crate::processes::missing(&[$($program),+]) {
            $crate::support::skip::skip!("there is no {program} here");
        }
    };
}
pub(crate) use need;

/// A process of this number exists, as a zombie or otherwise.
pub(crate) fn is_there(id: u32) -> bool {
    Path::new(&format!("/proc/{id}")).exists()
}

/// A child that does not end by itself while a test runs.
pub(crate) fn long() -> Command {
    let mut command = Command::new("sleep");
    command.arg("1000");
    command
}

#[test]
fn statuses_and_outputs_are_those_of_std() {
    need!("sh", "cat", "true", "false", "kill");
    for builder in both_forms() {
        run_with(builder, async || {
            let scripts = [
                "true",
                "false",
                "exit 3",
                "echo out; echo err >&2; exit 4",
                "cat",
                "kill -9 $$",
                "kill -15 $$; sleep 1",
                "no-such-program-anywhere",
            ];
            for script in scripts {
                let ours = Command::shell(script).output().await.unwrap();
                let theirs = StdCommand::new("/bin/sh").args(["-c", script]).output().unwrap();
                assert_eq!(ours, theirs, "{script}");
                let status = Command::shell(script)
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .status()
                    .await
                    .unwrap();
                assert_eq!(status, theirs.status, "{script}");
            }
            for program in ["/nonexistent", "no-such-program-anywhere", "/", "/proc/version"] {
                let ours = Command::new(program).spawn().unwrap_err();
                let theirs = StdCommand::new(program).spawn().unwrap_err();
                assert_eq!(ours.raw_os_error(), theirs.raw_os_error(), "{program}");
                assert!(Command::new(program).output().await.is_err());
                assert!(Command::new(program).status().await.is_err());
            }
        });
    }
}

#[test]
fn what_is_set_the_child_has() {
    need!("sh", "env", "pwd", "echo");
    run(async || {
        let text = |output: std::process::Output| String::from_utf8(output.stdout).unwrap();
        let output = Command::new("env")
            .env_clear()
            .env("PATH", "/bin:/usr/bin")
            .envs([("A", "1"), ("B", "2")])
            .env_remove("B")
            .output()
            .await
            .unwrap();
        let mut lines: Vec<_> = text(output).lines().map(str::to_owned).collect();
        lines.sort();
        assert_eq!(lines, ["A=1", "PATH=/bin:/usr/bin"]);
        let output = Command::new("pwd").current_dir("/proc").output().await.unwrap();
        assert_eq!(text(output), "/proc\n");
        let output = Command::new("echo").args(["a", "b c"]).arg("d").output().await.unwrap();
        assert_eq!(text(output), "a b c d\n");
        let output = Command::shell("echo $0").arg("name").output().await.unwrap();
        assert_eq!(text(output), "name\n");
        let mut command = Command::new("sh");
        command.arg0("renamed").args(["-c", "echo $0"]);
        assert!(command.as_std().get_program().eq("sh"));
        // Busybox looks at that name to know which program it is.
        if !std::fs::canonicalize("/bin/sh").unwrap().ends_with("busybox") {
            assert_eq!(command.into_std().output().unwrap().stdout, b"renamed\n");
        }
        let output = Command::from(StdCommand::new("pwd")).output().await.unwrap();
        assert!(output.status.success());
    });
}

#[test]
fn a_closure_runs_between_fork_and_exec() {
    need!("sh");
    run(async || {
        let mut command = Command::shell("ulimit -c; umask");
        // SAFETY: rule 1.
        unsafe {
            command.pre_exec(|| {
                libc::umask(0o123);
                Ok(())
            });
        }
        let output = command.output().await.unwrap();
        assert!(output.stdout.ends_with(b"0123\n"), "{output:?}");
        // SAFETY: rule 1.
        unsafe { command.pre_exec(|| Err(std::io::Error::from_raw_os_error(libc::EBADMSG))) };
        let error = command.output().await.unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EBADMSG));
    });
}

#[test]
fn a_child_is_another_user() {
    need!("id");
    run(async || {
        let output = match Command::new("id").arg("-u").uid(65534).gid(65534).output().await {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                skip!("not allowed here: {error}");
            }
            output => output.unwrap(),
        };
        assert_eq!(output.stdout, b"65534\n");
    });
}

#[test]
fn streams_go_both_ways_at_once() {
    need!("cat", "sh");
    for builder in both_forms() {
        run_with(builder, async || {
            const LEN: usize = 400_000;
            let mut child =
                Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
            let writing = spawn(async move {
                for part in 0..4 {
                    stdin.write_all(&content(0, part * LEN / 4, LEN / 4)).await.unwrap();
                    stdin.flush().await.unwrap();
                }
            });
            let mut bytes = Vec::new();
            stdout.read_to_end(&mut bytes).await.unwrap();
            assert_eq!(bytes, content(0, 0, LEN));
            writing.await.unwrap();
            assert!(child.wait().await.unwrap().success());
        });
    }
}

#[test]
fn to_communicate_does_not_deadlock() {
    need!("sh", "cat", "head", "tee");
    for builder in both_forms() {
        run_with(builder, async || {
            const LEN: usize = 1 << 20;
            let piped = |script: &str| {
                let mut command = Command::shell(script);
                command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
                command
            };
            // Both outputs, more than pipes hold, while the input goes on.
            let mut child = piped("tee /proc/self/fd/2").spawn().unwrap();
            let output = child.communicate(content(0, 0, LEN)).await.unwrap();
            assert!(output.status.success());
            assert_eq!(output.stdout, content(0, 0, LEN));
            assert_eq!(output.stderr, output.stdout);
            // A child that stops reading.
            let mut child = piped("head -c 10").spawn().unwrap();
            let output = child.communicate(content(0, 0, LEN)).await.unwrap();
            assert_eq!(output.stdout, content(0, 0, 10));
            // Nothing to write, nothing to read.
            let mut child = piped("cat; exit 5").spawn().unwrap();
            let output = child.communicate(Vec::new()).await.unwrap();
            assert_eq!((output.status.code(), output.stdout.len()), (Some(5), 0));
            // No pipes at all.
            let mut child = Command::shell("exit 6").spawn().unwrap();
            let output = child.communicate(b"ignored".as_slice()).await.unwrap();
            assert_eq!(output.status.code(), Some(6));
            // One that lets a child of its own have the input, which nobody reads.
            let mut child = piped("sleep 1000 <&0 >/dev/null 2>&1 & echo $!").spawn().unwrap();
            let output = child.communicate(content(0, 0, LEN)).await.unwrap();
            let sleeper = String::from_utf8(output.stdout).unwrap();
            StdCommand::new("kill").arg(sleeper.trim()).status().unwrap();
            until(|| metrics().live_tasks == 0).await;
        });
    }
}

#[test]
fn a_dropped_communicate_goes_on() {
    need!("sh", "cat");
    for builder in both_forms() {
        run_with(builder, async || {
            const LEN: usize = 1 << 20;
            let mut child = Command::shell("cat; echo end; sleep 0.02; echo late")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut output = None;
            let mut rounds = 0;
            while output.is_none() {
                let pause = Duration::from_micros(200 + rounds * 50);
                output = timeout(pause, child.communicate(content(0, 0, LEN))).await.ok();
                rounds += 1;
            }
            let output = output.unwrap().unwrap();
            assert!(output.status.success());
            assert_eq!(&output.stdout[..LEN], content(0, 0, LEN));
            assert_eq!(&output.stdout[LEN..], b"end\nlate\n");
        });
    }
}

#[test]
fn a_dropped_wait_loses_nothing() {
    need!("sh", "sleep");
    for builder in both_forms() {
        run_with(builder, async || {
            let mut child = Command::shell("sleep 0.01; exit 9").spawn().unwrap();
            let mut status = None;
            while status.is_none() {
                status = timeout(Duration::from_micros(300), child.wait()).await.ok();
                assert!(status.is_some() || poll_and_drop(turn()).await.is_none());
            }
            assert_eq!(status.unwrap().unwrap().code(), Some(9));
            let mut child = Command::shell("read x; exit 8").stdin(Stdio::piped()).spawn().unwrap();
            assert!(child.try_wait().unwrap().is_none());
            // To wait closes the input.
            assert_eq!(child.wait().await.unwrap().code(), Some(8));
            assert!(child.stdin.is_none());
        });
    }
}

#[test]
fn a_child_is_killed_and_signalled() {
    need!("sh", "sleep");
    for builder in both_forms() {
        run_with(builder, async || {
            let mut child = long().spawn().unwrap();
            child.kill().await.unwrap();
            assert_eq!(child.wait().await.unwrap().signal(), Some(libc::SIGKILL));
            child.kill().await.expect("it does no harm");
            child.start_kill().expect("it does no harm");
            let error = child.signal(SignalKind::terminate()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "it was seen to end");
            let child = long().spawn().unwrap();
            child.signal(SignalKind::terminate()).unwrap();
            let error = child.signal(SignalKind::from_raw(1000)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            let output = child.wait_with_output().await.unwrap();
            assert_eq!(output.status.signal(), Some(libc::SIGTERM));
        });
    }
}

#[test]
fn a_group_is_signalled_as_a_whole() {
    need!("sh", "sleep");
    run(async || {
        let mut child = Command::shell("sleep 1000 & sleep 1000 & echo; wait")
            .process_group(0)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // The sleepers are there, and hold the pipe open.
        let stdout = child.stdout.take().unwrap();
        stdout.read_exact(&mut [0]).await.unwrap();
        child.signal_group(SignalKind::terminate()).unwrap();
        assert_eq!(child.wait().await.unwrap().signal(), Some(libc::SIGTERM));
        assert!(stdout.recv().await.unwrap().is_none(), "all of them are gone");
        assert_eq!(
            child.signal_group(SignalKind::terminate()).unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
        let mut alone = long().spawn().unwrap();
        let error = alone.signal_group(SignalKind::terminate()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "that would be our own group");
        alone.kill().await.unwrap();
    });
}

#[test]
fn a_dropped_child_runs_on_or_is_killed_and_is_reaped() {
    need!("sh", "sleep");
    for builder in both_forms() {
        run_with(builder, async || {
            let child = Command::shell("read x").stdin(Stdio::piped()).spawn();
            let mut child = child.unwrap();
            let (id, input) = (child.id().unwrap(), child.stdin.take().unwrap());
            drop(child);
            turn().await;
            turn().await;
            assert!(is_there(id), "it runs on");
            drop(input);
            until(|| !is_there(id)).await;
            let killed = long().kill_on_drop(true).spawn().unwrap();
            let id = killed.id().unwrap();
            drop(killed);
            until(|| !is_there(id)).await;
            // Also when it is dropped by a future.
            let mut waiting = long();
            let mut future = Box::pin(waiting.kill_on_drop(true).status());
            _ = select(&mut future, turn()).await;
            drop(future);
            until_operations(0).await;
        });
    }
}

#[test]
fn an_output_becomes_the_input_of_another() {
    need!("echo", "cat", "tr");
    run(async || {
        let mut first = Command::new("echo").arg("hello").stdout(Stdio::piped()).spawn().unwrap();
        let output = Stdio::try_from(first.stdout.take().unwrap()).unwrap();
        let second = Command::new("tr").args(["a-z", "A-Z"]).stdin(output).output().await.unwrap();
        assert_eq!(second.stdout, b"HELLO\n");
        assert!(first.wait().await.unwrap().success());
        let mut first =
            Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = first.stdout.take().unwrap();
        assert!(poll_and_drop(stdout.recv()).await.is_none());
        assert_eq!(Stdio::try_from(stdout).unwrap_err().kind(), ErrorKind::ResourceBusy);
        let input = Stdio::try_from(first.stdin.take().unwrap()).unwrap();
        let second = Command::new("echo").stdout(input).status().await.unwrap();
        assert!(second.success());
        _ = first.wait().await.unwrap();
    });
}

#[test]
fn children_of_many_tasks_run_at_once() {
    need!("sh");
    run(async || {
        let children = (0..20)
            .map(|nth| {
                spawn(async move {
                    let output = Command::shell(format!("echo {nth}; exit {nth}"));
                    let output = { output }.output().await.unwrap();
                    assert_eq!(output.status.code(), Some(nth));
                    assert_eq!(output.stdout, format!("{nth}\n").into_bytes());
                })
            })
            .collect();
        joined(children).await;
    });
}

#[test]
fn a_child_inherits_no_descriptor() {
    need!("ls");
    for builder in both_forms() {
        run_with(builder, async || {
            let (_near, _far) = crate::support::settled::stream_pair();
            let _pipe = annulus::io::pipe().unwrap();
            let other = Command::new("ls").stdout(Stdio::piped()).spawn().unwrap();
            let output = Command::new("ls").args(["-l", "/proc/self/fd"]).output().await.unwrap();
            assert_eq!(inherited_by(&output), Vec::<String>::new());
            drop(other);
        });
    }
}

#[test]
fn a_child_whose_runtime_ended_is_reaped_by_the_next_spawn() {
    need!("true", "sleep", "sh");
    let child = in_child!(|| {
        for builder in both_forms() {
            let runtime = builder.build().expect("this machine has io_uring");
            let (input, kept, ids) = runtime.block_on(async {
                let mut waits = Command::shell("read x").stdin(Stdio::piped()).spawn().unwrap();
                let ended = Command::new("true").spawn().unwrap();
                let kept = Command::new("true").spawn().unwrap();
                let ids = [waits.id().unwrap(), ended.id().unwrap(), kept.id().unwrap()];
                let stdin = waits.stdin.take().unwrap().into_fd().await.unwrap();
                (stdin, kept, ids)
            });
            assert_eq!(runtime.shutdown(PATIENCE), Ok(()));
            drop(input);
            ids.into_iter().for_each(wait_for_zombie_or_end);
            // A handle that outlived the runtime reaps as well.
            drop(kept);
            assert!(!is_there(ids[2]));
            let runtime = annulus::Runtime::new().expect("this machine has io_uring");
            runtime.block_on(async { Command::new("true").status().await.unwrap() });
            assert!(ids.iter().all(|id| !is_there(*id)));
        }
    });
    child.iter().for_each(assert_passed);
}

/// Waits until a process has ended, reaped or not.
fn wait_for_zombie_or_end(id: u32) {
    let start = std::time::Instant::now();
    loop {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        if stat.is_empty() || stat.contains(") Z ") {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "{stat}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The signals and surroundings that std gives children are those that ours have.
#[test]
fn a_child_takes_signals() {
    need!("sh", "sleep");
    run(async || {
        let mut std = StdCommand::new("sleep");
        std.arg("1000").process_group(0);
        let mut child = Command::from(std).spawn().unwrap();
        child.signal(SignalKind::user_defined1()).unwrap();
        assert_eq!(child.wait().await.unwrap().signal(), Some(libc::SIGUSR1));
    });
}

/// Its number may be another's by now, and no signal of ours may reach that.
#[test]
fn a_child_that_std_has_waited_for_has_no_number() {
    need!("true");
    for builder in both_forms() {
        run_with(builder, async || {
            let mut child = StdCommand::new("true").process_group(0).spawn().unwrap();
            assert!(child.wait().unwrap().success());
            let mut child = Child::from_std(child).unwrap();
            assert_eq!(child.id(), None);
            let refused = child.signal(SignalKind::terminate()).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::InvalidInput);
            child.start_kill().unwrap();
            assert_eq!(child.try_wait().unwrap().and_then(|status| status.code()), Some(0));
            assert!(child.wait().await.unwrap().success());
        });
    }
}

#[test]
fn a_child_of_std_is_taken_over() {
    need!("sh");
    for builder in both_forms() {
        run_with(builder, async || {
            let starting = std::thread::spawn(|| {
                let mut command = StdCommand::new("/bin/sh");
                command.args(["-c", "read x; echo $x; exit 7"]);
                command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()
            });
            let mut child = Child::from_std(starting.join().unwrap().unwrap()).unwrap();
            let output = child.communicate(b"hello\n".as_slice()).await.unwrap();
            assert_eq!((output.status.code(), output.stdout), (Some(7), b"hello\n".to_vec()));
        });
    }
}

#[test]
fn a_child_outlives_its_runtime() {
    need!("true", "sleep");
    let _leaks = crate::support::leak::LeakGuard::new();
    let runtime = annulus::Runtime::new().expect("this machine has io_uring");
    let (mut ended, mut running) = runtime
        .block_on(async { (Command::new("true").spawn().unwrap(), long().spawn().unwrap()) });
    drop(runtime);
    wait_for_zombie_or_end(ended.id().unwrap());
    let runtime = annulus::Runtime::new().expect("this machine has io_uring");
    runtime.block_on(async {
        assert!(ended.wait().await.unwrap().success());
        assert!(running.wait().await.unwrap_err().to_string().contains("shut down"));
    });
    running.start_kill().unwrap();
    wait_for_zombie_or_end(running.id().unwrap());
    assert_eq!(running.try_wait().unwrap().unwrap().signal(), Some(libc::SIGKILL));
}
