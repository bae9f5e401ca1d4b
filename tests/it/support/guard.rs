//! A global allocator that catches a write into freed memory, whoever makes it.
//!
//! The address sanitizer sees the stores of instrumented code; the kernel's are not. A ring that
//! was closed too early lets the kernel write into a buffer that was freed, and nothing else would
//! notice. So a freed block is filled with a pattern and kept in quarantine; when it leaves, at
//! `verify` and at exit, the pattern must be whole. If it is not, the process says where and
//! aborts.
//!
//! Fresh memory holds another pattern, so that reading before writing shows. `realloc` is the
//! trait's own: allocate, copy, free; memory never moves without its old place being watched.
//!
//! Bounds: `COUNT_MAX` blocks and `SIZE_MAX` bytes, first in, first out. A block over `BLOCK_MAX`
//! is poisoned and freed at once: a few of them would push everything else out, and the C library
//! mostly unmaps blocks of that size, so a late write faults there (or the kernel reports EFAULT)
//! instead of going unseen.
//!
//! A child that was forked from a test and does not exec must not allocate: the lock may be held.
//!
//! # Safety rules
//!
//! 1. A block is poisoned and recorded after its owner gave it back, with the layout it was given;
//!    from then on only the quarantine touches it, by raw pointer, and returns it to `System`
//!    exactly once.
//! 2. Nothing here allocates through the global allocator: texts are built on the stack, the lock
//!    is a futex, the records lie in a static array.
#![allow(unsafe_code, reason = "a global allocator is unsafe by its trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::fmt::{self, Write};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const FRESH: u8 = 0xCD;
const FREED: u8 = 0xDF;
const COUNT_MAX: usize = 65_536;
const SIZE_MAX: usize = 64 << 20;
const BLOCK_MAX: usize = 8 << 20;
/// How long the kernel may take to show a write that was under way when the last test ended.
const LATE: Duration = Duration::from_millis(50);

/// The guarding allocator; `main.rs` makes it the global one.
pub(crate) struct GuardAlloc {
    quarantine: Mutex<Quarantine>,
}

impl GuardAlloc {
    pub(crate) const fn new() -> Self {
        const NONE: Block = Block { start: ptr::null_mut(), size: 0, align: 0 };
        let blocks = [NONE; COUNT_MAX];
        Self { quarantine: Mutex::new(Quarantine { blocks, first: 0, count: 0, size: 0 }) }
    }

    /// Aborts if any block in quarantine was written to.
    pub(crate) fn verify(&self) {
        let quarantine = self.quarantine.lock().unwrap_or_else(PoisonError::into_inner);
        for nth in 0..quarantine.count {
            quarantine.blocks[(quarantine.first + nth) % COUNT_MAX].verify();
        }
    }
}

// SAFETY: memory comes from `System` and goes back with the same layout, once (rule 1).
unsafe impl GlobalAlloc for GuardAlloc {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract is `System`'s.
        let start = unsafe { System.alloc(layout) };
        if !start.is_null() {
            // SAFETY: fresh memory of this size, not yet handed out.
            unsafe { start.write_bytes(FRESH, layout.size()) };
        }
        start
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's contract is `System`'s.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        verify_at_exit();
        let block = Block { start, size: layout.size(), align: layout.align() };
        // SAFETY: rule 1; the owner has just given it back.
        unsafe { start.write_bytes(FREED, block.size) };
        if block.size > BLOCK_MAX {
            return block.free();
        }
        self.quarantine.lock().unwrap_or_else(PoisonError::into_inner).push(block);
    }
}

/// Freed blocks, oldest first, in a ring of records.
struct Quarantine {
    blocks: [Block; COUNT_MAX],
    first: usize,
    count: usize,
    size: usize,
}

impl Quarantine {
    fn push(&mut self, block: Block) {
        while self.count == COUNT_MAX || self.size + block.size > SIZE_MAX {
            self.evict();
        }
        self.blocks[(self.first + self.count) % COUNT_MAX] = block;
        self.count += 1;
        self.size += block.size;
    }

    fn evict(&mut self) {
        let block = self.blocks[self.first];
        self.first = (self.first + 1) % COUNT_MAX;
        self.count -= 1;
        self.size -= block.size;
        block.verify();
        block.free();
    }
}

/// One freed block and the layout to return it with.
#[derive(Clone, Copy)]
struct Block {
    start: *mut u8,
    size: usize,
    align: usize,
}

// SAFETY: the block belongs to the quarantine alone (rule 1), and that lies behind a lock.
unsafe impl Send for Block {}

impl Block {
    /// Aborts if the pattern is broken. Compares through the C library: a reference to memory that
    /// the kernel may be writing would be a lie.
    fn verify(self) {
        static PATTERN: [u8; 4096] = [FREED; 4096];
        let mut offset = 0;
        while offset < self.size {
            let size = PATTERN.len().min(self.size - offset);
            // SAFETY: rule 1; both sides are `size` bytes long.
            let order = unsafe {
                libc::memcmp(self.start.add(offset).cast(), PATTERN.as_ptr().cast(), size)
            };
            if order != 0 {
                self.report(offset);
            }
            offset += size;
        }
    }

    /// Names the first broken byte at or after `offset` and aborts.
    fn report(self, mut offset: usize) -> ! {
        // SAFETY: rule 1; the index stays below `size`.
        let byte = |index: usize| unsafe { self.start.add(index).read_volatile() };
        while offset + 1 < self.size && byte(offset) == FREED {
            offset += 1;
        }
        let mut text = StackText { bytes: [0; 256], size: 0 };
        let _ = write!(
            text,
            "GuardAlloc: freed block {:p} of {} bytes was written to at offset {offset}:",
            self.start, self.size
        );
        for index in offset..self.size.min(offset + 16) {
            let _ = write!(text, " {:02x}", byte(index));
        }
        let _ = text.write_str("\n");
        // SAFETY: the bytes are initialised up to `size`; abort does not return.
        unsafe {
            libc::write(2, text.bytes.as_ptr().cast(), text.size);
            libc::abort()
        }
    }

    fn free(self) {
        // SAFETY: rule 1; this is the layout that `dealloc` was called with.
        unsafe {
            System.dealloc(self.start, Layout::from_size_align_unchecked(self.size, self.align));
        }
    }
}

/// A text on the stack; what does not fit is cut off.
struct StackText {
    bytes: [u8; 256],
    size: usize,
}

impl Write for StackText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let size = text.len().min(self.bytes.len() - self.size);
        self.bytes[self.size..self.size + size].copy_from_slice(&text.as_bytes()[..size]);
        self.size += size;
        Ok(())
    }
}

/// Has the global allocator checked once more when the process ends; later calls do nothing.
fn verify_at_exit() {
    static DONE: AtomicBool = AtomicBool::new(false);
    extern "C" fn at_exit() {
        std::thread::sleep(LATE);
        crate::GUARD.verify();
    }
    if !DONE.load(Ordering::Relaxed) && !DONE.swap(true, Ordering::Relaxed) {
        // SAFETY: the handler may run at any time; it touches statics only.
        unsafe { libc::atexit(at_exit) };
    }
}

mod tests {
    use super::{BLOCK_MAX, COUNT_MAX, FREED, FRESH, GuardAlloc};
    use std::alloc::{GlobalAlloc, Layout};
    use std::hint::black_box;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, Output};

    /// Not the global one, so that breaking its rules is defined behaviour: the blocks stay
    /// allocated.
    static LOCAL: GuardAlloc = GuardAlloc::new();
    const BLOCK: Layout = Layout::new::<[u8; 64]>();

    fn freed(layout: Layout) -> *mut u8 {
        // SAFETY: the size is not zero; given back once with the layout it came with.
        unsafe {
            let start = LOCAL.alloc(layout);
            LOCAL.dealloc(start, layout);
            start
        }
    }

    /// Runs `body` in a child that is this binary, told to run only the test `name`; the child gets
    /// None.
    fn in_child(name: &str, body: impl FnOnce()) -> Option<Output> {
        const CHILD: &str = "ANNULUS_GUARD_CHILD";
        if std::env::var_os(CHILD).is_some() {
            body();
            return None;
        }
        let mut child = Command::new(std::env::current_exe().expect("own path"));
        child.args(["--exact", &format!("support::guard::tests::{name}"), "--nocapture"]);
        Some(child.env(CHILD, "1").output().expect("start the child"))
    }

    #[track_caller]
    fn assert_caught(output: Output, text: &str) {
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{stderr}");
        assert!(stderr.contains("GuardAlloc: freed block"), "{stderr}");
        assert!(stderr.contains(text), "{stderr}");
    }

    #[test]
    fn fresh_and_freed_memory_hold_their_patterns() {
        // SAFETY: 64 bytes, given back once; a freed block stays readable while in quarantine.
        unsafe {
            let start = LOCAL.alloc(BLOCK);
            assert_eq!(start.cast::<[u8; 64]>().read(), [FRESH; 64]);
            LOCAL.dealloc(start, BLOCK);
            assert_eq!(start.cast::<[u8; 64]>().read_volatile(), [FREED; 64]);
        }
        LOCAL.verify();
    }

    #[test]
    fn a_clean_child_ends_well() {
        let Some(output) = in_child("a_clean_child_ends_well", || {
            for _ in 0..2 * COUNT_MAX {
                freed(BLOCK);
            }
            freed(Layout::new::<[u8; BLOCK_MAX]>());
            freed(Layout::new::<[u8; BLOCK_MAX + 1]>());
            LOCAL.verify();
            crate::GUARD.verify();
        }) else {
            return;
        };
        assert!(output.status.success(), "{output:?}");
    }

    #[test]
    fn a_write_is_caught_by_verify() {
        let Some(output) = in_child("a_write_is_caught_by_verify", || {
            // SAFETY: the block is in quarantine, so the memory is still there.
            unsafe { freed(Layout::new::<[u8; 9000]>()).add(8000).write_volatile(0x41) };
            LOCAL.verify();
        }) else {
            return;
        };
        assert_caught(output, "of 9000 bytes was written to at offset 8000: 41 df df");
    }

    #[test]
    fn a_write_is_caught_on_eviction() {
        let Some(output) = in_child("a_write_is_caught_on_eviction", || {
            // SAFETY: as above.
            unsafe { freed(BLOCK).add(63).write_volatile(0x42) };
            for _ in 0..COUNT_MAX {
                freed(BLOCK);
            }
        }) else {
            return;
        };
        assert_caught(output, "of 64 bytes was written to at offset 63: 42\n");
    }

    #[test]
    fn a_write_by_the_kernel_is_caught_at_exit() {
        let Some(output) = in_child("a_write_by_the_kernel_is_caught_at_exit", || {
            use std::io::Write;
            use std::os::fd::AsRawFd;
            let (reader, mut writer) = std::io::pipe().expect("pipe");
            writer.write_all(b"late").expect("write");
            let mut buffer = vec![0_u8; 1000];
            let start = black_box(buffer.as_mut_ptr());
            drop(buffer);
            // SAFETY: the bug under test; the quarantine keeps the memory mapped.
            let count = unsafe { libc::read(reader.as_raw_fd(), start.add(500).cast(), 4) };
            assert_eq!(count, 4);
        }) else {
            return;
        };
        assert_caught(output, "of 1000 bytes was written to at offset 500: 6c 61 74 65 df");
    }
}
