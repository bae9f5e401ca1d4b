//! Where a thread runs, what the clocks say, and what the host took away meanwhile.

#![allow(unsafe_code, reason = "libc calls that take pointers to locals")]

use std::io;
use std::mem::MaybeUninit;

/// Jiffies of some processors at one moment, from `/proc/stat`.
pub(crate) struct Steal {
    rows: Vec<(u64, u64)>,
}

impl Steal {
    pub(crate) fn now(cpus: &[usize]) -> Self {
        let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
        let row = |cpu: &usize| {
            let name = format!("cpu{cpu} ");
            let line = text.lines().find_map(|line| line.strip_prefix(name.as_str()));
            let ticks: Vec<u64> =
                line.unwrap_or_default().split(' ').filter_map(|word| word.parse().ok()).collect();
            // user nice system idle iowait irq softirq steal; the guest columns repeat user and nice.
            (ticks.get(7).copied().unwrap_or(0), ticks.iter().take(8).sum())
        };
        Self { rows: cpus.iter().map(row).collect() }
    }

    /// The largest share stolen from any one of the processors since `earlier`, in percent.
    pub(crate) fn percent_since(&self, earlier: &Self) -> f64 {
        let share = |(now, then): (&(u64, u64), &(u64, u64))| {
            100.0 * (now.0 - then.0) as f64 / (now.1 - then.1).max(1) as f64
        };
        self.rows.iter().zip(&earlier.rows).map(share).fold(0.0, f64::max)
    }
}

/// The processors this process may run on, in order.
pub(crate) fn allowed() -> Vec<usize> {
    let mut set = MaybeUninit::<libc::cpu_set_t>::zeroed();
    // SAFETY: the set is a valid place of the size given, and all zeros is a set.
    let set = unsafe {
        libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), set.as_mut_ptr());
        set.assume_init()
    };
    // SAFETY: the index stays below the set's size.
    (0..libc::CPU_SETSIZE as usize).filter(|&cpu| unsafe { libc::CPU_ISSET(cpu, &set) }).collect()
}

/// Ties the calling thread to one processor.
pub(crate) fn pin_to(cpu: usize) -> io::Result<()> {
    // SAFETY: all zeros is an empty set.
    let mut set: libc::cpu_set_t = unsafe { MaybeUninit::zeroed().assume_init() };
    // SAFETY: CPU_SET ignores an index beyond the set.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: the set is valid for reads of the size given.
    match unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

pub(crate) fn monotonic_ns() -> u64 {
    clock_ns(libc::CLOCK_MONOTONIC)
}

/// Processor time of all threads of the process, the kernel's workers for it included.
pub(crate) fn process_ns() -> u64 {
    clock_ns(libc::CLOCK_PROCESS_CPUTIME_ID)
}

/// Any clock; 0 when it is gone, like that of a thread which has ended.
pub(crate) fn clock_ns(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for the answer.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
