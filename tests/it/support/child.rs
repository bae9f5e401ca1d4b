//! A test that runs its body in a process of its own: for limits, signals and ends that others would feel.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use annulus::Builder;

use super::settled::{PATIENCE, rounds, settle};

const CHILD: &str = "ANNULUS_CHILD";

/// Runs the body in a child that is this binary, told to run only the test it is called from; what the child printed
/// and how it ended. In the child itself, `None` after the body.
macro_rules! in_child {
    ($body:expr) => {{
        fn here() {}
        let name = $crate::support::skip::test_name(std::any::type_name_of_val(&here));
        $crate::support::child::run(&name, $body)
    }};
}
pub(crate) use in_child;

/// Runs a body on a runtime in a child, where all threads share their descriptors, as a handler of signals needs it;
/// asserts that nothing is left but the bells of signals.
pub(crate) fn run_alone<T>(builder: Builder, body: impl AsyncFnOnce() -> T) -> T {
    let before = descriptors();
    let runtime = builder.build().expect("this machine has io_uring");
    let output = runtime.block_on(body());
    settle(&runtime);
    assert_eq!(runtime.shutdown(PATIENCE), Ok(()));
    let start = Instant::now();
    while descriptors() > before {
        assert!(start.elapsed() < PATIENCE, "descriptors are left: {} of {before}", descriptors());
        std::thread::sleep(Duration::from_millis(1));
    }
    output
}

/// How many descriptors the process has open, but for eventfds.
fn descriptors() -> usize {
    let table = std::fs::read_dir("/proc/self/fd").expect("list descriptors");
    let names = table.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    names.filter(|name| !name.to_string_lossy().contains("eventfd")).count()
}

/// What [`in_child`] does.
pub(crate) fn run(name: &str, body: impl FnOnce()) -> Option<Output> {
    if std::env::var(CHILD).is_ok_and(|child| child == name) {
        body();
        return None;
    }
    let mut command = Command::new(std::env::current_exe().expect("own path"));
    command.args(["--exact", name, "--nocapture", "--test-threads=1"]).env(CHILD, name);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start the child");
    let start = Instant::now();
    // It does all that a test does, some of it a thousand times, on a machine that may be busy with others; a long form
    // may wait for a thousand of TCP's delayed acknowledgements.
    let patience = PATIENCE * rounds(4, 10) as u32;
    while child.try_wait().expect("a child").is_none() {
        if start.elapsed() > patience {
            child.kill().expect("a child");
            let output = child.wait_with_output().expect("a child");
            panic!("the child hung: {output:?}");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Some(child.wait_with_output().expect("a child"))
}

/// The child's test passed, and it ran.
#[track_caller]
pub(crate) fn assert_passed(output: &Output) {
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{}", describe(output));
}

/// How a child ended and what it said.
pub(crate) fn describe(output: &Output) -> String {
    format!(
        "status {:?}, signal {:?}\n{}\n{}",
        output.status.code(),
        output.status.signal(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// What a child finds open beside its standard streams and the listing itself.
pub(crate) fn inherited_descriptors() -> Vec<String> {
    inherited_by(&Command::new("ls").args(["-l", "/proc/self/fd"]).output().expect("run ls"))
}

/// The same, from what `ls -l /proc/self/fd` wrote.
pub(crate) fn inherited_by(listing: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&listing.stdout);
    let links = text.lines().filter(|line| line.contains(" -> ")).map(str::to_owned);
    let own = |line: &String| {
        let fd = line.split(" -> ").next().and_then(|head| head.split(' ').next_back());
        let fd: i32 = fd.and_then(|fd| fd.parse().ok()).expect("a number");
        fd <= 2 || line.ends_with("/fd")
    };
    links.filter(|line| !own(line)).collect()
}
