//! Recycled memory for tasks: a bounded stack of free blocks for each size, over the global allocator.
//!
//! # Safety rules
//!
//! 1. A block in a class has the class's size and alignment, and belongs to the stack alone.
#![allow(unsafe_code, reason = "room 4: tasks")]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::{Cell, UnsafeCell};
use std::ptr::NonNull;

/// Sizes are rounded up to multiples of this.
const STEP: usize = 64;
/// Larger tasks go to the allocator every time.
const SIZE_MAX: usize = 1024;
const CLASSES: usize = SIZE_MAX / STEP;
const ALIGN: usize = 16;
/// Free blocks that are kept of a class.
const KEPT_MAX: usize = 1024;

/// The free blocks of a core. Touched by the home thread only.
#[derive(Debug)]
pub(super) struct Memory {
    classes: [Class; CLASSES],
}

#[derive(Debug, Default)]
struct Class {
    /// Linked through their first word.
    first: Cell<Option<NonNull<Free>>>,
    len: Cell<usize>,
}

#[derive(Debug)]
struct Free {
    next: UnsafeCell<Option<NonNull<Self>>>,
}

impl Default for Memory {
    fn default() -> Self {
        Self { classes: std::array::from_fn(|_| Class::default()) }
    }
}

/// The class of a task's memory, and the layout that its blocks are allocated with.
pub(crate) fn class_layout(layout: Layout) -> (Option<usize>, Layout) {
    if layout.size() > SIZE_MAX || layout.align() > ALIGN {
        return (None, layout);
    }
    let index = layout.size().max(1).div_ceil(STEP) - 1;
    let rounded = Layout::from_size_align((index + 1) * STEP, ALIGN);
    (Some(index), rounded.expect("a small size and a power of two"))
}

impl Memory {
    #[inline]
    pub(super) fn allocate(&self, layout: Layout) -> NonNull<u8> {
        let (class, layout) = class_layout(layout);
        if let Some(class) = class {
            let class = &self.classes[class];
            if let Some(free) = class.first.get() {
                // SAFETY: rule 1; the link was written when the block was recycled.
                class.first.set(unsafe { *(*free.as_ptr()).next.get() });
                class.len.set(class.len.get() - 1);
                return free.cast();
            }
        }
        // SAFETY: a task has at least its header, so the size is not zero.
        let block = unsafe { alloc(layout) };
        NonNull::new(block).unwrap_or_else(|| handle_alloc_error(layout))
    }

    /// Takes a block back that `allocate` gave for `layout`, on this or another executor.
    #[inline]
    pub(super) fn recycle(&self, block: NonNull<u8>, layout: Layout) {
        let (class, rounded) = class_layout(layout);
        let class = class.map(|class| &self.classes[class]);
        match class.filter(|class| class.len.get() < KEPT_MAX) {
            Some(class) => {
                let free = block.cast::<Free>();
                // SAFETY: rule 1: the block is ours and has room for a word.
                unsafe { free.write(Free { next: UnsafeCell::new(class.first.get()) }) };
                class.first.set(Some(free));
                class.len.set(class.len.get() + 1);
            }
            // SAFETY: rule 1: it was allocated with this layout.
            None => unsafe { dealloc(block.as_ptr(), rounded) },
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        for (index, class) in self.classes.iter().enumerate() {
            let layout = Layout::from_size_align((index + 1) * STEP, ALIGN);
            let layout = layout.expect("a small size and a power of two");
            let mut next = class.first.take();
            while let Some(free) = next {
                // SAFETY: rule 1.
                next = unsafe { *(*free.as_ptr()).next.get() };
                // SAFETY: rule 1: every block of a class was allocated with its layout.
                unsafe { dealloc(free.as_ptr().cast(), layout) };
            }
        }
    }
}

/// Frees a task's memory on a thread that is not its home.
///
/// # Safety
///
/// `block` is from `allocate` with this `layout`, and nobody uses it any more.
pub(crate) unsafe fn free(block: NonNull<u8>, layout: Layout) {
    let (_, layout) = class_layout(layout);
    // SAFETY: our caller's promise; `allocate` rounded the layout in the same way.
    unsafe { dealloc(block.as_ptr(), layout) };
}
