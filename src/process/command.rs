//! How to start a child.

use std::ffi::OsStr;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command as StdCommand, ExitStatus, Output, Stdio};

use super::Child;
use crate::driver;
use crate::op::exit::reap_orphans;
use crate::sys::affinity::Unpinned;

/// A program to start, with its arguments and surroundings; [`std::process::Command`] with children that are awaited.
///
/// ```
/// use annulus::process::Command;
///
/// annulus::run(async {
///     let output = Command::new("echo").arg("hello").output().await?;
///     assert!(output.status.success());
///     assert_eq!(output.stdout, b"hello\n");
///     std::io::Result::Ok(())
/// })
/// # .unwrap();
/// ```
///
/// What is not set is as in std: the child inherits the environment, the directory and, but for
/// [`output`](Self::output), the standard streams. No other descriptor of annulus reaches it.
#[derive(Debug)]
pub struct Command {
    command: StdCommand,
    kill_on_drop: bool,
    leads_group: bool,
    /// Which of the standard streams were set.
    is_set: [bool; 3],
}

impl Command {
    /// To start `program`, which is looked for in `PATH` unless it has a slash.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self::from(StdCommand::new(program))
    }

    /// To have `sh -c` run a text. What comes from elsewhere does not belong into it: hand it over as arguments, which
    /// the text sees as `"$1"` and so on; the first of them is `"$0"`.
    ///
    /// ```
    /// use annulus::process::Command;
    ///
    /// annulus::run(async {
    ///     let name = "it's; rm -rf";
    ///     let output = Command::shell("echo \"<$1>\" | tr a-z A-Z").args(["sh", name]).output().await?;
    ///     assert_eq!(output.stdout, b"<IT'S; RM -RF>\n");
    ///     std::io::Result::Ok(())
    /// })
    /// # .unwrap();
    /// ```
    pub fn shell(text: impl AsRef<OsStr>) -> Self {
        let mut command = Self::new("/bin/sh");
        command.arg("-c").arg(text);
        command
    }

    /// Adds an argument.
    pub fn arg(&mut self, arg: impl AsRef<OsStr>) -> &mut Self {
        self.command.arg(arg);
        self
    }

    /// Adds arguments.
    pub fn args(&mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> &mut Self {
        self.command.args(args);
        self
    }

    /// The name that the program is told to have, instead of its path.
    pub fn arg0(&mut self, arg: impl AsRef<OsStr>) -> &mut Self {
        self.command.arg0(arg);
        self
    }

    /// Sets a variable of the environment.
    pub fn env(&mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Self {
        self.command.env(key, value);
        self
    }

    /// Sets variables of the environment.
    pub fn envs<K: AsRef<OsStr>, V: AsRef<OsStr>>(
        &mut self,
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> &mut Self {
        self.command.envs(variables);
        self
    }

    /// Removes a variable of the environment.
    pub fn env_remove(&mut self, key: impl AsRef<OsStr>) -> &mut Self {
        self.command.env_remove(key);
        self
    }

    /// Removes all variables of the environment.
    pub fn env_clear(&mut self) -> &mut Self {
        self.command.env_clear();
        self
    }

    /// The directory that the child starts in.
    pub fn current_dir(&mut self, dir: impl AsRef<Path>) -> &mut Self {
        self.command.current_dir(dir);
        self
    }

    /// What the child reads. Inherited by default, but nothing for [`output`](Self::output).
    pub fn stdin(&mut self, stdin: impl Into<Stdio>) -> &mut Self {
        self.is_set[0] = true;
        self.command.stdin(stdin);
        self
    }

    /// Where the child writes to. Inherited by default, but captured by [`output`](Self::output).
    pub fn stdout(&mut self, stdout: impl Into<Stdio>) -> &mut Self {
        self.is_set[1] = true;
        self.command.stdout(stdout);
        self
    }

    /// Where the child writes its errors to. Inherited by default, but captured by [`output`](Self::output).
    pub fn stderr(&mut self, stderr: impl Into<Stdio>) -> &mut Self {
        self.is_set[2] = true;
        self.command.stderr(stderr);
        self
    }

    /// The user that the child is to be. The child is then made by `fork(2)`, as for [`pre_exec`](Self::pre_exec).
    pub fn uid(&mut self, id: u32) -> &mut Self {
        self.command.uid(id);
        self
    }

    /// The group that the child is to be of. The child is then made by `fork(2)`, as for [`pre_exec`](Self::pre_exec).
    pub fn gid(&mut self, id: u32) -> &mut Self {
        self.command.gid(id);
        self
    }

    /// The process group of the child: 0 makes it the leader of a new one, which a ctrl-c at the terminal does not
    /// reach and [`Child::signal_group`] does, with all that the child starts.
    pub fn process_group(&mut self, group: i32) -> &mut Self {
        self.leads_group = group == 0;
        self.command.process_group(group);
        self
    }

    /// Kills the child when its handle is dropped before its end was seen. By default it runs on. Either way it is
    /// reaped.
    pub fn kill_on_drop(&mut self, kill: bool) -> &mut Self {
        self.kill_on_drop = kill;
        self
    }

    /// Starts the child.
    ///
    /// The core waits until the program was found and begun: a quarter of a millisecond, however much memory the
    /// process has. But where a user, a group or a closure is set, the child is made by `fork(2)`, and that took 200
    /// ms with one GiB of memory in use. Then, or where the program lies on a slow disk, start it by a
    /// [`std::process::Command`] on another thread, and hand it to [`Child::from_std`]. The child may use the
    /// processors that this thread might before a mesh pinned it to one.
    ///
    /// # Errors
    ///
    /// Those of std: `NotFound`, `PermissionDenied`, that no descriptor or process is left. Nothing runs then.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    pub fn spawn(&mut self) -> io::Result<Child> {
        let driver = driver::current::expect("Command::spawn");
        reap_orphans();
        let unpinned = Unpinned::new();
        let child = self.command.spawn()?;
        drop(unpinned);
        Child::new(child, driver, self.kill_on_drop, self.leads_group)
    }

    /// Starts the child and waits for its end. Ends of pipes that were asked for are closed at once.
    ///
    /// If the future is dropped, the child runs on, or is killed if [`kill_on_drop`](Self::kill_on_drop) says so.
    ///
    /// # Errors
    ///
    /// As for [`spawn`](Self::spawn) and [`Child::wait`].
    ///
    /// # Panics
    ///
    /// Outside a runtime, when called.
    pub fn status(&mut self) -> impl Future<Output = io::Result<ExitStatus>> + use<> {
        let child = self.spawn();
        async move {
            let mut child = child?;
            child.stdin.take();
            child.stdout.take();
            child.stderr.take();
            child.wait().await
        }
    }

    /// Starts the child and gathers what it writes until it ends. What was not set before is captured, and the input is
    /// nothing. There is no limit to the output but the memory.
    ///
    /// If the future is dropped, what was gathered is lost, and the child runs on, or is killed if
    /// [`kill_on_drop`](Self::kill_on_drop) says so.
    ///
    /// # Errors
    ///
    /// As for [`spawn`](Self::spawn) and [`Child::wait_with_output`]. That the child failed is no error: `status` says
    /// it.
    ///
    /// # Panics
    ///
    /// Outside a runtime, when called.
    pub fn output(&mut self) -> impl Future<Output = io::Result<Output>> + use<> {
        let [stdin, stdout, stderr] = self.is_set;
        if !stdin {
            self.command.stdin(Stdio::null());
        }
        if !stdout {
            self.command.stdout(Stdio::piped());
        }
        if !stderr {
            self.command.stderr(Stdio::piped());
        }
        let child = self.spawn();
        async move { child?.wait_with_output().await }
    }

    /// The command of std that this one is.
    pub fn as_std(&self) -> &StdCommand {
        &self.command
    }

    /// The command of std that this one is. What is set there for the standard streams and the process group this one
    /// does not know of.
    pub fn as_std_mut(&mut self) -> &mut StdCommand {
        &mut self.command
    }

    /// The command of std that this one is.
    pub fn into_std(self) -> StdCommand {
        self.command
    }
}

impl From<StdCommand> for Command {
    fn from(command: StdCommand) -> Self {
        Self { command, kill_on_drop: false, leads_group: false, is_set: [false; 3] }
    }
}
