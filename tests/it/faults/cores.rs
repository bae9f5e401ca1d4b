//! Cores that cannot start: no thread, no processor; and buffers that a core keeps to its end.
#![allow(unsafe_code, reason = "masks, limits and users are set by system calls")]

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::mem::MaybeUninit;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use annulus::buf::Chunk;
use annulus::mesh::{Cores, Mesh, MeshError, Sharded};

use super::start::forbid;
use crate::mesh::mesh;
use crate::support::child::{assert_passed, in_child};
use crate::support::leak::LeakGuard;
use crate::support::settled::{PATIENCE, pair, write_now};
use crate::support::skip::{print, skip};

/// A processor that this thread may run on.
fn first_allowed() -> usize {
    // SAFETY: all zeros is an empty set; the call writes a set of this size.
    unsafe {
        let mut set: libc::cpu_set_t = MaybeUninit::zeroed().assume_init();
        libc::sched_getaffinity(0, size_of_val(&set), &mut set);
        (0..1024).find(|number| libc::CPU_ISSET(*number, &set)).expect("one")
    }
}

async fn nothing(_: annulus::mesh::Shard) -> io::Result<()> {
    Ok(())
}

/// Row 47 of the fault table, where not even one thread can be made.
#[test]
fn a_mesh_without_threads_is_an_error_with_the_cure() {
    let thread = std::thread::spawn(|| {
        let _leaks = LeakGuard::new();
        for call in [libc::SYS_clone, libc::SYS_clone3] {
            if forbid(call, libc::EAGAIN).is_err() {
                return false;
            }
        }
        let error = mesh(2).run(nothing).expect_err("no thread can be made");
        assert_eq!(error.shard(), Some(0), "{error}");
        let text = error.to_string();
        assert!(text.contains("RLIMIT_NPROC") && text.contains("none had started"), "{text}");
        assert_eq!(io::Error::from(error).kind(), ErrorKind::WouldBlock);
        true
    });
    if !thread.join().expect("nothing leaked") {
        skip!("no seccomp filters here");
    }
}

/// Row 47: some threads can be made, and then no more.
#[test]
fn a_limit_of_threads_ends_those_that_had_started() {
    let output = in_child!(|| {
        let _leaks = LeakGuard::new();
        // A user of nobody else, so that its processes are this one's threads.
        let user = 61_000 + std::process::id() % 4000;
        let limit = |count| libc::rlimit { rlim_cur: count, rlim_max: count };
        // SAFETY: plain calls on this process, with a limit that lives across the call.
        let set = unsafe {
            libc::geteuid() == 0
                && libc::setresuid(user, user, user) == 0
                // The leak guard looks into `/proc`, which is root's for a process that changed its user.
                && libc::prctl(libc::PR_SET_DUMPABLE, 1) == 0
                && libc::setrlimit(libc::RLIMIT_NPROC, &limit(4)) == 0
        };
        if !set {
            print("a_limit_of_threads_ends_those_that_had_started", format_args!("not root"));
            return;
        }
        let ran = AtomicUsize::new(0);
        let outcome = mesh(8).run(async |_| {
            ran.fetch_add(1, Ordering::SeqCst);
            io::Result::Ok(())
        });
        let error = outcome.expect_err("eight are too many");
        let MeshError::Start { shard: Some(failed), started, .. } = &error else {
            panic!("{error}");
        };
        assert!(!started.is_empty() && started.len() < 8, "{error}");
        assert!(!started.contains(failed), "{error}");
        assert_eq!(ran.into_inner(), 0);
        // Their threads are gone, those of the kernel a little later: as many can be made again.
        let start = std::time::Instant::now();
        while let Err(error) = mesh(1).run(nothing) {
            assert!(start.elapsed() < PATIENCE, "one is not too many: {error}");
        }
    });
    if let Some(output) = output {
        assert_passed(&output);
        if String::from_utf8_lossy(&output.stdout).contains("SKIP") {
            skip!("only root can become a user that has no other process");
        }
    }
}

/// One core of three is refused its processor or its ring: the others end again, and the error says who and why.
#[test]
fn a_core_that_is_refused_alone_ends_those_that_had_started() {
    static UNFILTERED: AtomicBool = AtomicBool::new(false);
    let one = first_allowed();
    for (call, errno, cause) in [
        (libc::SYS_sched_setaffinity, libc::EPERM, "cannot be pinned to processor"),
        (libc::SYS_io_uring_setup, libc::ENOMEM, "LimitMEMLOCK"),
        (libc::SYS_io_uring_setup, libc::EPERM, "SELinux"),
    ] {
        let _leaks = LeakGuard::new();
        let ran = AtomicUsize::new(0);
        let mesh = Mesh::builder().cores(Cores::List(vec![one; 3])).runtime(move |builder| {
            // On the thread of the core, which alone is refused.
            if std::thread::current().name() == Some("shard-1") && forbid(call, errno).is_err() {
                UNFILTERED.store(true, Ordering::SeqCst);
            }
            builder.ring_entries(16, 64)
        });
        let outcome = mesh.run(async |_| {
            ran.fetch_add(1, Ordering::SeqCst);
            io::Result::Ok(())
        });
        if UNFILTERED.load(Ordering::SeqCst) {
            skip!("no seccomp filters here");
        }
        let error = outcome.expect_err("one is refused");
        let MeshError::Start { shard: Some(1), started, .. } = &error else { panic!("{error}") };
        assert_eq!(*started, [0, 2], "{error}");
        let text = error.to_string();
        assert!(text.contains(cause) && text.contains("were ended again"), "{text}");
        assert_eq!(ran.into_inner(), 0, "{text}");
    }
}

/// Row 49: the affinity mask is smaller than the cores that are asked for.
#[test]
fn a_small_affinity_mask_bounds_all_and_refuses_more() {
    let thread = std::thread::spawn(|| {
        let _leaks = LeakGuard::new();
        let one = first_allowed();
        // SAFETY: all zeros is an empty set; the call reads a set of this size.
        unsafe {
            let mut set: libc::cpu_set_t = MaybeUninit::zeroed().assume_init();
            libc::CPU_SET(one, &mut set);
            libc::sched_setaffinity(0, size_of_val(&set), &set);
        }
        let settings = || Mesh::builder().runtime(|builder| builder.ring_entries(16, 64));
        let here = async |shard: annulus::mesh::Shard| io::Result::Ok(shard.processor());
        let all = settings().cores(Cores::All).run(here).expect("one is allowed");
        assert_eq!(all, [Some(one)]);
        let error = settings().cores(Cores::Count(2)).run(nothing).expect_err("there is one");
        assert!(error.to_string().contains(&format!("[{one}]")), "{error}");
        let other = Cores::List(vec![one, one + 1]);
        let error = settings().cores(other).run(nothing).expect_err("one is not allowed");
        assert!(error.to_string().contains(&format!("processor {}", one + 1)), "{error}");
        assert_eq!(io::Error::from(error).kind(), ErrorKind::InvalidInput);
    });
    thread.join().expect("nothing leaked");
}

/// Row 32: a buffer that a core keeps until its runtime is gone.
#[test]
fn a_buffer_that_a_core_keeps_to_its_end_is_freed_there() {
    let _leaks = LeakGuard::new();
    let kept = mesh(2).run(async |me| {
        let place: Sharded<RefCell<Vec<Chunk>>> = Sharded::new(RefCell::default).await?;
        let (stream, far) = pair();
        write_now(&far, b"kept");
        let chunk = stream.recv().await?.expect("bytes");
        place.local().borrow_mut().push(chunk);
        // And one by the thread itself, beyond its runtime.
        write_now(&far, b"longer");
        thread_local! {
            static LAST: RefCell<Option<Rc<Chunk>>> = const { RefCell::new(None) };
        }
        LAST.set(stream.recv().await?.map(Rc::new));
        assert_eq!(me.count(), 2);
        io::Result::Ok(place)
    });
    drop(kept.expect("all is well"));
}
