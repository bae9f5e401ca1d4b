//! Making a ring: flags tried from best to floor, optional features probed, and refusals that say what to do.
//!
//! Nothing is guessed from a version number. Each optional feature can be forced off, so that tests run without it.

use std::io;
use std::os::fd::AsRawFd;

use io_uring::{IoUring, opcode};

use super::plain;
use super::register;
use super::ring::Ring;

/// A kernel feature that annulus uses where it is present and does without where it is not.
///
/// All are on by default; [`Builder::disable`](crate::Builder::disable) forces one off. Those without a version are in
/// the oldest kernel that annulus supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Feature {
    /// Completions run only inside our own system call (`IORING_SETUP_DEFER_TASKRUN`). Without it: `COOP_TASKRUN`.
    DeferTaskrun,
    /// Entries are taken by position, without an index array (`IORING_SETUP_NO_SQARRAY`, Linux 6.6).
    NoSqArray,
    /// The ring is entered by a registered index instead of its descriptor.
    RegisteredRing,
    /// A sleeping core is not shown as waiting for a disk (`IORING_ENTER_NO_IOWAIT`, Linux 6.15).
    NoIowait,
    /// One armed receive brings many messages. Without it: a receive a message, armed by readiness.
    MultishotReceive,
    /// One armed accept brings many connections. Without it: an accept a connection.
    MultishotAccept,
    /// One armed read of a pipe brings all that is written to it (`IORING_OP_READ_MULTISHOT`, Linux 6.7). Without it: a
    /// read an answer.
    MultishotRead,
    /// The end of a child is waited for by its number (`IORING_OP_WAITID`, Linux 6.7). Without it: by a descriptor for
    /// each child.
    WaitId,
}

impl Feature {
    /// Every feature, in the order of the enum: for tests that force off one after the other.
    pub const ALL: [Self; 8] = [
        Self::DeferTaskrun,
        Self::NoSqArray,
        Self::RegisteredRing,
        Self::NoIowait,
        Self::MultishotReceive,
        Self::MultishotAccept,
        Self::MultishotRead,
        Self::WaitId,
    ];
}

/// Which of the features are in use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Features {
    pub(crate) defer_taskrun: bool,
    pub(crate) no_sqarray: bool,
    pub(crate) registered_ring: bool,
    pub(crate) no_iowait: bool,
    pub(crate) multishot_receive: bool,
    pub(crate) multishot_accept: bool,
    pub(crate) multishot_read: bool,
    pub(crate) wait_id: bool,
}

impl Features {
    pub(crate) const fn all() -> Self {
        Self {
            defer_taskrun: true,
            no_sqarray: true,
            registered_ring: true,
            no_iowait: true,
            multishot_receive: true,
            multishot_accept: true,
            multishot_read: true,
            wait_id: true,
        }
    }

    pub(crate) fn disable(&mut self, feature: Feature) {
        match feature {
            Feature::DeferTaskrun => self.defer_taskrun = false,
            Feature::NoSqArray => self.no_sqarray = false,
            Feature::RegisteredRing => self.registered_ring = false,
            Feature::NoIowait => self.no_iowait = false,
            Feature::MultishotReceive => self.multishot_receive = false,
            Feature::MultishotAccept => self.multishot_accept = false,
            Feature::MultishotRead => self.multishot_read = false,
            Feature::WaitId => self.wait_id = false,
        }
    }
}

/// The sizes of a ring and what it may use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RingOptions {
    pub(crate) submission_entries: u32,
    pub(crate) completion_entries: u32,
    /// Kernel worker threads for what blocks: of files and block devices, and of everything else.
    pub(crate) kernel_workers_max: [u32; 2],
    pub(crate) features: Features,
}

/// Operations that Linux 6.1 has and without which annulus does not start.
const REQUIRED: [(u8, &str); 13] = [
    (opcode::Nop::CODE, "NOP"),
    (opcode::Read::CODE, "READ"),
    (opcode::Write::CODE, "WRITE"),
    (opcode::Recv::CODE, "RECV"),
    (opcode::Send::CODE, "SEND"),
    (opcode::SendMsg::CODE, "SENDMSG"),
    (opcode::Accept::CODE, "ACCEPT"),
    (opcode::Connect::CODE, "CONNECT"),
    (opcode::Close::CODE, "CLOSE"),
    (opcode::AsyncCancel::CODE, "ASYNC_CANCEL"),
    (opcode::Timeout::CODE, "TIMEOUT"),
    (opcode::TimeoutUpdate::CODE, "TIMEOUT_REMOVE"),
    (opcode::PollAdd::CODE, "POLL_ADD"),
];

/// Makes a ring with the best flags this kernel takes, and says which features it ended with.
pub(crate) fn ring(options: &RingOptions) -> io::Result<(Ring, Features)> {
    check_sizes(options)?;
    let mut features = options.features;
    let uring = build_ladder(options, &mut features).map_err(|error| refusal(error, options))?;
    let operations = require_operations(&uring).map_err(|error| match error.raw_os_error() {
        // A filter may let the ring be made and forbid the rest.
        Some(libc::EPERM | libc::EACCES) => refusal(error, options),
        _ => error,
    })?;
    features.multishot_read &= operations.is_supported(opcode::ReadMulti::CODE);
    features.wait_id &= operations.is_supported(opcode::WaitId::CODE);
    features.no_iowait &= uring.params().is_feature_no_iowait();
    uring.submitter().register_iowq_max_workers(&mut options.kernel_workers_max.clone())?;
    let registered = match features.registered_ring {
        true => register::ring(uring.as_raw_fd()).ok(),
        false => None,
    };
    features.registered_ring = registered.is_some();
    let mut ring = Ring::new(uring, registered, features);
    match ring.enter(0, None) {
        // Found by the first sleep it would be too late: nothing could end what was begun by then.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES)) => {
            Err(refusal(error, options))
        }
        _ => Ok((ring, features)),
    }
}

/// What the kernel would refuse with the same error as an unknown flag.
fn check_sizes(options: &RingOptions) -> io::Result<()> {
    let (submission, completion) = (options.submission_entries, options.completion_entries);
    if submission > 0 && completion >= submission {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        format!(
            "a ring of {submission} submission and {completion} completion entries: there must be at least one \
             submission, and no fewer completions than submissions"
        ),
    ))
}

/// Tries the flag sets top-down. Only "invalid argument" leads to the next one.
fn build_ladder(options: &RingOptions, features: &mut Features) -> io::Result<IoUring> {
    loop {
        match build(options, *features) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) && features.no_sqarray => {
                features.no_sqarray = false;
            }
            result => return result,
        }
    }
}

fn build(options: &RingOptions, features: Features) -> io::Result<IoUring> {
    let mut builder = IoUring::builder();
    builder
        .dontfork()
        .setup_single_issuer()
        .setup_taskrun_flag()
        .setup_submit_all()
        .setup_clamp()
        .setup_cqsize(options.completion_entries);
    if features.defer_taskrun {
        builder.setup_defer_taskrun();
    } else {
        builder.setup_coop_taskrun();
    }
    if features.no_sqarray {
        builder.setup_no_sqarray();
    }
    builder.build(options.submission_entries)
}

/// What the kernel supports, if that is enough.
fn require_operations(uring: &IoUring) -> io::Result<io_uring::Probe> {
    let mut probe = io_uring::Probe::new();
    uring.submitter().register_probe(&mut probe)?;
    let missing: Vec<&str> = REQUIRED
        .iter()
        .filter(|(code, _)| !probe.is_supported(*code))
        .map(|(_, name)| *name)
        .collect();
    if missing.is_empty() { Ok(probe) } else { Err(too_old(&missing.join(", "))) }
}

fn too_old(missing: &str) -> io::Error {
    let found = plain::kernel_release();
    io::Error::new(
        io::ErrorKind::Unsupported,
        format!("annulus needs Linux 6.1 or newer: this kernel ({found}) lacks {missing}"),
    )
}

/// Names the cause of a refused ring and its cure.
fn refusal(error: io::Error, options: &RingOptions) -> io::Error {
    let text = match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => match plain::io_uring_disabled() {
            Some(level @ 1..) => format!(
                "io_uring is switched off by kernel.io_uring_disabled={level}; \
                 set it to 0 (sysctl -w kernel.io_uring_disabled=0)"
            ),
            _ => "io_uring is forbidden here, most likely by the container's seccomp profile; \
                  allow io_uring_setup, io_uring_enter and io_uring_register in it \
                  (or a security module such as SELinux denies it)"
                .to_owned(),
        },
        Some(libc::ENOSYS) => "this kernel or sandbox has no io_uring \
             (CONFIG_IO_URING is off, or the sandbox does not offer it); annulus has no fallback"
            .to_owned(),
        Some(libc::ENOMEM) => {
            let needed = memory_needed(options);
            let limit = plain::memlock_limit();
            format!(
                "not enough lockable memory for the ring: it needs {needed} bytes of this user's \
                 RLIMIT_MEMLOCK ({limit}), which all rings of the user share; raise it \
                 (ulimit -l, or LimitMEMLOCK= in the service) or ask for fewer ring entries"
            )
        }
        Some(libc::EINVAL) => return too_old("IORING_SETUP_SINGLE_ISSUER or DEFER_TASKRUN"),
        Some(libc::EMFILE | libc::ENFILE) => {
            "no file descriptor is left for the ring; raise RLIMIT_NOFILE (ulimit -n)".to_owned()
        }
        _ => format!("io_uring_setup failed: {error}"),
    };
    io::Error::new(error.kind(), text)
}

/// What the kernel charges for a ring: 64 bytes a submission, 16 a completion, an index, whole pages.
fn memory_needed(options: &RingOptions) -> u64 {
    let submissions = u64::from(options.submission_entries.next_power_of_two());
    let completions = u64::from(options.completion_entries.next_power_of_two());
    let page = |bytes: u64| bytes.next_multiple_of(4096);
    page(submissions * 64) + page(completions * 16 + submissions * 4 + 320)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> RingOptions {
        RingOptions {
            submission_entries: 8,
            completion_entries: 32,
            kernel_workers_max: [2, 2],
            features: Features::all(),
        }
    }

    #[test]
    fn a_ring_comes_up_and_every_feature_can_be_forced_off() {
        ring(&options()).expect("this machine has io_uring");
        for feature in Feature::ALL {
            let mut options = options();
            options.features.disable(feature);
            let (_ring, used) = ring(&options).expect("the floor is enough");
            match feature {
                Feature::DeferTaskrun => assert!(!used.defer_taskrun),
                Feature::NoSqArray => assert!(!used.no_sqarray),
                Feature::RegisteredRing => assert!(!used.registered_ring),
                Feature::NoIowait => assert!(!used.no_iowait),
                Feature::MultishotReceive => assert!(!used.multishot_receive),
                Feature::MultishotAccept => assert!(!used.multishot_accept),
                Feature::MultishotRead => assert!(!used.multishot_read),
                Feature::WaitId => assert!(!used.wait_id),
            }
        }
    }

    #[test]
    fn impossible_sizes_are_refused_as_such() {
        for (submission_entries, completion_entries) in [(0, 8), (8, 0), (8, 4)] {
            let options = RingOptions { submission_entries, completion_entries, ..options() };
            let error = ring(&options).expect_err("no such ring");
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
        }
    }

    #[test]
    fn each_refusal_names_its_cause_and_its_cure() {
        let text = |errno| refusal(io::Error::from_raw_os_error(errno), &options()).to_string();
        assert!(text(libc::EPERM).contains("seccomp"), "{}", text(libc::EPERM));
        assert!(text(libc::ENOSYS).contains("CONFIG_IO_URING"));
        assert!(text(libc::ENOMEM).contains("ulimit -l"));
        assert!(text(libc::EINVAL).contains("6.1"));
        assert!(text(libc::EMFILE).contains("ulimit -n"));
        assert!(text(libc::EIO).contains("io_uring_setup"));
    }
}
