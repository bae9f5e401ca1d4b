//! Rings that this machine refuses: the kind and the text of the error, and nothing left behind.
#![allow(unsafe_code, reason = "filters, limits and users are set by system calls")]

use std::io::{self, ErrorKind};
use std::mem::ManuallyDrop;

use annulus::Runtime;

use crate::support::child::{assert_passed, in_child};
use crate::support::leak::LeakGuard;
use crate::support::settled::run_with;
use crate::support::skip::{print, skip};

/// Has `call` fail with `errno` in this thread and in those it starts, for ever.
pub(super) fn forbid(call: libc::c_long, errno: i32) -> io::Result<()> {
    let refuse = libc::SECCOMP_RET_ERRNO | errno.cast_unsigned();
    answer(call, refuse, libc::SECCOMP_RET_ALLOW)
}

/// Has every call of this thread but `call` end the process, from now on.
pub(crate) fn allow_only(call: libc::c_long) -> io::Result<()> {
    answer(call, libc::SECCOMP_RET_ALLOW, libc::SECCOMP_RET_KILL_PROCESS)
}

/// Has the kernel do `with_it` when this thread makes the call, and `with_others` when it makes another.
fn answer(call: libc::c_long, with_it: u32, with_others: u32) -> io::Result<()> {
    let statement = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    let mut filter = [
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, call as u32),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, with_it),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, with_others),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the program names the four statements above; the kernel copies them.
    let status = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program)
    };
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The error of a start in a thread where `call` fails with `errno`; `None` where there are no filters.
fn refusal(call: libc::c_long, errno: i32) -> Option<io::Error> {
    let thread = std::thread::spawn(move || {
        let _leaks = LeakGuard::new();
        forbid(call, errno).ok()?;
        let error = Runtime::new().expect_err("the call is forbidden");
        let run = annulus::run(async { Ok::<_, io::Error>(()) }).expect_err("as above");
        assert_eq!((run.kind(), run.to_string()), (error.kind(), error.to_string()));
        Some(error)
    });
    thread.join().expect("nothing leaked")
}

#[test]
fn a_seccomp_filter_is_named_with_its_cure() {
    // Each alone; the last is found when the ring was made already, and it leaves nothing open either.
    for call in [libc::SYS_io_uring_setup, libc::SYS_io_uring_register, libc::SYS_io_uring_enter] {
        let Some(error) = refusal(call, libc::EPERM) else {
            skip!("no seccomp filters here");
        };
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        let text = error.to_string();
        let disabled = text.contains("kernel.io_uring_disabled=");
        assert!(disabled || text.contains("seccomp") && text.contains("SELinux"), "{text}");
    }
}

#[test]
fn a_kernel_without_io_uring_is_told_from_a_refusal() {
    let Some(error) = refusal(libc::SYS_io_uring_setup, libc::ENOSYS) else {
        skip!("no seccomp filters here");
    };
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let text = error.to_string();
    assert!(text.contains("CONFIG_IO_URING") && text.contains("no fallback"), "{text}");
}

#[test]
fn a_kernel_that_knows_no_flag_is_too_old() {
    let Some(error) = refusal(libc::SYS_io_uring_setup, libc::EINVAL) else {
        skip!("no seccomp filters here");
    };
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    // What is missing, the minimum, and what was found.
    let found = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("a release");
    for part in ["IORING_SETUP_SINGLE_ISSUER", "Linux 6.1", found.trim()] {
        assert!(error.to_string().contains(part), "{part} is not in: {error}");
    }
}

/// What the child says where a ring costs no locked memory, as on Linux 6.1.
const NOT_CHARGED: &str = "rings_cost_no_locked_memory";

#[test]
fn too_little_lockable_memory_is_named_with_needed_and_limit() {
    /// A user whom nobody else here is, so that the rings of others do not count.
    const USER: libc::uid_t = 54_321;
    // SAFETY: a plain question.
    if unsafe { libc::getuid() } != 0 {
        skip!("becoming another user needs root");
    }
    let Some(output) = in_child!(|| {
        let limit = libc::rlimit { rlim_cur: 65_536, rlim_max: 65_536 };
        // SAFETY: no memory is passed but the limit; the user changes for the whole child. What the guard lists would
        // be hidden from the new user without the last call.
        unsafe {
            assert_eq!(libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit), 0);
            assert_eq!(libc::setuid(USER), 0);
            assert_eq!(libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0), 0);
        }
        let leaks = LeakGuard::new();
        let large = Runtime::builder().ring_entries(4096, 16_384);
        let Err(error) = large.build() else {
            // This user may not list its descriptors where it was root before.
            let _unchecked = ManuallyDrop::new(leaks);
            return print(&format!("it::{NOT_CHARGED}"), format_args!("the child got its ring"));
        };
        assert_eq!(error.kind(), ErrorKind::OutOfMemory);
        let text = error.to_string();
        for part in ["ulimit -l", "LimitMEMLOCK", "65536 bytes", "fewer ring entries"] {
            assert!(text.contains(part), "{part} is not in: {text}");
        }
        drop(leaks);
        run_with(Runtime::builder().ring_entries(8, 32), async || {
            annulus::time::sleep(std::time::Duration::from_millis(1)).await;
        });
    }) else {
        return;
    };
    assert_passed(&output);
    if String::from_utf8_lossy(&output.stdout).contains(NOT_CHARGED) {
        skip!("this kernel does not charge rings to the user's locked memory");
    }
}
