//! What a process uses of memory, by its allocator and by the kernel.

#![allow(unsafe_code, reason = "mallinfo2")]

/// The process's memory: what malloc has handed out, with its own headers, and what is resident.
#[derive(Clone, Copy)]
pub(crate) struct Memory {
    heap_bytes: u64,
    resident_bytes: u64,
}

impl Memory {
    pub(crate) fn now() -> Self {
        // SAFETY: the call takes nothing and returns a structure of numbers.
        let info = unsafe { libc::mallinfo2() };
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
        let pages: u64 = statm.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
        Self { heap_bytes: (info.uordblks + info.hblkhd) as u64, resident_bytes: pages * 4096 }
    }

    /// Growth since `earlier`, for each of `count` things.
    pub(crate) fn growth(self, earlier: Self, count: u64) -> Vec<(&'static str, f64)> {
        let each = |now: u64, then: u64| (now as f64 - then as f64) / count as f64;
        vec![
            ("heap_bytes", each(self.heap_bytes, earlier.heap_bytes)),
            ("resident_bytes", each(self.resident_bytes, earlier.resident_bytes)),
        ]
    }
}
