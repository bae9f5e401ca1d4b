//! Where a thread runs, what processor time it used, and what the host took away meanwhile.

#![allow(unsafe_code, reason = "libc calls that take pointers to locals")]

use std::io;
use std::mem::MaybeUninit;

/// A thread's processor-time clock, readable from any thread of the process while the thread lives.
#[derive(Clone, Copy)]
pub(crate) struct CpuClock(libc::clockid_t);

/// Jiffies of some processors at one moment, from `/proc/stat`.
pub(crate) struct Steal {
    rows: Vec<(u64, u64)>,
}

impl CpuClock {
    /// The clock of whichever thread reads it.
    pub(crate) const THREAD: Self = Self(libc::CLOCK_THREAD_CPUTIME_ID);
    /// All threads of the process together, the kernel's workers for it included.
    pub(crate) const PROCESS: Self = Self(libc::CLOCK_PROCESS_CPUTIME_ID);

    /// The clock of the calling thread.
    pub(crate) fn of_this_thread() -> io::Result<Self> {
        let mut clock = 0;
        // SAFETY: the calling thread is alive and `clock` is a valid place for the answer.
        match unsafe { libc::pthread_getcpuclockid(libc::pthread_self(), &mut clock) } {
            0 => Ok(Self(clock)),
            code => Err(io::Error::from_raw_os_error(code)),
        }
    }

    /// Nanoseconds of processor time, user and kernel; 0 once the thread has ended.
    pub(crate) fn now_ns(self) -> u64 {
        read_clock(self.0)
    }
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
    read_clock(libc::CLOCK_MONOTONIC)
}

fn read_clock(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for the answer; a clock that is gone leaves it at zero.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
