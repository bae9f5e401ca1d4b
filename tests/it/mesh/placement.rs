//! Which processor and which name a shard has, and cores that cannot start.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use annulus::mesh::{Builder, Cores, Mesh, MeshError};
use annulus::process::Command;

use super::mesh;
use crate::support::child::{assert_passed, in_child};
use crate::support::files::nameless_file;
use crate::support::leak::LeakGuard;
use crate::support::settled::PATIENCE;
use crate::support::skip::{print, skip};

type Result<T> = std::result::Result<T, io::Error>;

/// The processors that the calling thread may run on, as the kernel lists them.
fn allowed() -> Vec<usize> {
    listed(&std::fs::read_to_string("/proc/thread-self/status").expect("procfs"))
}

fn listed(status: &str) -> Vec<usize> {
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let ranges = list.expect("a list").trim().split(',').map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        first.parse::<usize>().expect("a number")..=last.parse().expect("a number")
    });
    ranges.flatten().collect()
}

/// A mesh of shards that are tied to their processors.
fn pinned(cores: Cores) -> Builder {
    Mesh::builder().cores(cores).runtime(|builder| builder.ring_entries(16, 64))
}

#[test]
fn each_shard_is_pinned_to_its_processor() {
    let _leaks = LeakGuard::new();
    let processors = allowed();
    let twice: Vec<usize> = processors.iter().chain(&processors).copied().collect();
    let outputs = pinned(Cores::List(twice.clone()))
        .run(async |shard| Result::Ok((shard.processor(), allowed())));
    for (processor, output) in twice.iter().zip(outputs.expect("all are allowed")) {
        assert_eq!(output, (Some(*processor), vec![*processor]));
    }
}

#[test]
fn a_child_of_a_pinned_shard_may_use_what_the_process_may() {
    if allowed().len() < 2 {
        skip!("there is one processor");
    }
    let _leaks = LeakGuard::new();
    let outputs = pinned(Cores::Count(1)).run(async |shard| {
        let output = Command::new("cat").arg("/proc/self/status").output().await?;
        assert_eq!(shard.processor().map(|processor| vec![processor]), Some(allowed()));
        Result::Ok(listed(&String::from_utf8_lossy(&output.stdout)))
    });
    assert_eq!(outputs.expect("it runs"), [allowed()]);
}

#[test]
fn blocking_threads_of_a_pinned_shard_run_where_the_process_may() {
    let _leaks = LeakGuard::new();
    let outputs =
        pinned(Cores::Count(1)).run(async |_| Result::Ok(annulus::spawn_blocking(allowed).await?));
    assert_eq!(outputs.expect("one is allowed"), [allowed()]);
}

#[test]
fn kernel_workers_are_kept_off_the_shards_where_there_are_others() {
    if allowed().len() < 2 {
        skip!("there is one processor");
    }
    let _leaks = LeakGuard::new();
    let outputs = pinned(Cores::Count(1)).run(async |shard| {
        let file = annulus::fs::File::from_std(nameless_file());
        // It always goes to a worker, which stays for a while.
        file.sync_all().await?;
        Result::Ok((shard.processor(), workers()?))
    });
    for (processor, workers) in outputs.expect("one is allowed") {
        let others = allowed().into_iter().filter(|number| Some(*number) != processor);
        let others: Vec<usize> = others.collect();
        assert!(!workers.is_empty(), "there is one");
        assert!(workers.iter().all(|worker| *worker == others), "{workers:?}, not {others:?}");
    }
}

/// Where the kernel's workers of this thread's ring may run.
fn workers() -> Result<Vec<Vec<usize>>> {
    let own = std::fs::read_link("/proc/thread-self")?;
    let own = own.file_name().expect("a number").to_string_lossy();
    let mut masks = Vec::new();
    for task in std::fs::read_dir("/proc/self/task")? {
        let status = std::fs::read_to_string(task?.path().join("status")).unwrap_or_default();
        if status.contains(&format!("Name:\tiou-wrk-{own}\n")) {
            masks.push(listed(&status));
        }
    }
    Ok(masks)
}

#[test]
fn all_is_a_shard_for_each_processor_within_the_quota() {
    let _leaks = LeakGuard::new();
    let most = std::thread::available_parallelism().expect("a number").get();
    let mesh = Mesh::builder().runtime(|builder| builder.ring_entries(16, 64));
    let outputs = mesh.run(async |shard| Result::Ok(shard.processor()));
    let mut outputs = outputs.expect("all is well");
    assert_eq!(outputs.len(), most.min(allowed().len()));
    outputs.sort_unstable();
    outputs.dedup();
    assert_eq!(outputs.len(), most.min(allowed().len()), "each has its own");
}

#[test]
fn shards_that_are_not_pinned_run_where_the_process_may() {
    let _leaks = LeakGuard::new();
    let outputs = mesh(3).run(async |shard| Result::Ok((shard.processor(), allowed())));
    for output in outputs.expect("all is well") {
        assert_eq!(output, (None, allowed()));
    }
}

#[test]
fn threads_have_the_name_that_was_asked_for() {
    let _leaks = LeakGuard::new();
    let name = async |_| Result::Ok(std::fs::read_to_string("/proc/thread-self/comm")?);
    assert_eq!(mesh(2).run(name).expect("all is well"), ["shard-0\n", "shard-1\n"]);
    let named = mesh(1).thread_name("kv/").run(name);
    assert_eq!(named.expect("all is well"), ["kv/0\n"]);
}

#[test]
fn more_cores_than_there_are_is_an_error_that_says_which_there_are() {
    let _leaks = LeakGuard::new();
    let none = async |_| Result::<()>::Ok(());
    let asked = allowed().len() + 1;
    let error = Mesh::builder().cores(Cores::Count(asked)).run(none).expect_err("one too many");
    assert_eq!(error.shard(), None);
    assert!(error.to_string().contains(&format!("{asked} cores")), "{error}");
    let error = Mesh::builder().cores(Cores::List(vec![8000])).run(none).expect_err("no such one");
    assert!(error.to_string().contains("processor 8000"), "{error}");
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn a_ring_that_is_refused_is_an_error_and_no_shard_runs() {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    static RAN: AtomicUsize = AtomicUsize::new(0);
    let _leaks = LeakGuard::new();
    let mesh = mesh(4).runtime(|builder| match MADE.fetch_add(1, Ordering::Relaxed) {
        2 => builder.ring_entries(0, 0),
        _ => builder.ring_entries(16, 64),
    });
    let outcome = mesh.run(async |_| {
        RAN.fetch_add(1, Ordering::Relaxed);
        Result::Ok(())
    });
    let error = outcome.expect_err("one has no ring");
    let MeshError::Start { shard: Some(failed), started, .. } = &error else { panic!("{error}") };
    let others: Vec<usize> = (0..4).filter(|shard| shard != failed).collect();
    assert_eq!(*started, others, "{error}");
    assert!(error.to_string().contains("had started and were ended again"), "{error}");
    assert_eq!(RAN.load(Ordering::Relaxed), 0);
}

#[test]
fn a_panic_at_the_start_is_an_error_and_hangs_nobody() {
    let _leaks = LeakGuard::new();
    let mesh = mesh(3).runtime(|builder| {
        assert!(std::thread::current().name() != Some("shard-1"), "not this one");
        builder.ring_entries(16, 64)
    });
    let error = mesh.run(async |_| Result::Ok(())).expect_err("one panicked");
    assert_eq!(error.shard(), Some(1));
    assert!(error.to_string().contains("not this one"), "{error}");
}

/// Where a group of this test's process would be; `true`: in the second version of control groups.
fn group_of(process: u32) -> (PathBuf, bool) {
    let root = Path::new("/sys/fs/cgroup");
    let controllers = std::fs::read_to_string(root.join("cgroup.subtree_control"));
    let is_v2 = controllers.is_ok_and(|all| all.split_whitespace().any(|one| one == "cpu"));
    let parent = if is_v2 { root.to_owned() } else { root.join("cpu") };
    (parent.join(format!("annulus-test-{process}")), is_v2)
}

/// Puts this process into a group with the processor time of one; an error says what is in the way.
fn take_the_time_of_one(group: &Path, is_v2: bool) -> io::Result<()> {
    std::fs::create_dir(group)?;
    if is_v2 {
        std::fs::write(group.join("cpu.max"), "100000 100000")?;
    } else {
        std::fs::write(group.join("cpu.cfs_period_us"), "100000")?;
        std::fs::write(group.join("cpu.cfs_quota_us"), "100000")?;
    }
    std::fs::write(group.join("cgroup.procs"), std::process::id().to_string())
}

#[test]
fn all_keeps_to_the_quota_of_a_real_control_group() {
    if allowed().len() < 2 {
        skip!("there is one processor");
    }
    let output = in_child!(|| {
        let (group, is_v2) = group_of(std::os::unix::process::parent_id());
        if let Err(error) = take_the_time_of_one(&group, is_v2) {
            print("all_keeps_to_the_quota_of_a_real_control_group", format_args!("{error}"));
            return;
        }
        let mesh = Mesh::builder().runtime(|builder| builder.ring_entries(16, 64));
        let outputs = mesh.run(async |shard| Result::Ok(shard.processor()));
        assert_eq!(outputs.expect("all is well").len(), 1, "the time of one processor");
    });
    if let Some(output) = output {
        // It is empty now that the child has ended, or will be in a moment.
        let (group, _) = group_of(std::process::id());
        let start = Instant::now();
        while group.exists()
            && let Err(error) = std::fs::remove_dir(&group)
        {
            assert!(start.elapsed() < PATIENCE, "the group is empty: {error}");
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_passed(&output);
        let text = String::from_utf8_lossy(&output.stdout);
        // One line of it: the rest is the harness's, which `.ci/kernels` would count as a result.
        if let Some((_, reason)) = text.lines().find_map(|line| line.split_once("SKIP ")) {
            skip!("no control group with a quota can be made here {reason}");
        }
    }
}
