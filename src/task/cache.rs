//! Memory of finished tasks, kept for the next ones.
//!
//! Tasks are rounded up to size classes of 64 bytes. At home a freed cell goes onto the list of its class and
//! the next spawn takes it from there, so a steady load asks the global allocator for nothing. What is large,
//! over-aligned, over the bound or freed on another thread goes straight back to it.
//!
//! Its bound: [`LIMIT`] cells of each class, 8.5 MiB in all.
//!
//! # Safety rules
//!
//! 1. A cell of a class was allocated with the layout that [`rounded`] gives for that class, and is freed so.
//! 2. A cell in a list is nobody else's; its first word is the link.
#![allow(unsafe_code, reason = "room 4: tasks are allocated by hand")]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::cell::Cell;
use std::ptr::{self, NonNull};

/// How many free cells of one class are kept.
const LIMIT: u32 = 1024;
const STEP: usize = 64;
const CLASSES: usize = 16;
/// The alignment that every cell of a class has; stricter ones are not cached.
const ALIGN: usize = 16;

/// The layout with which a task of `layout` is allocated and freed.
pub(super) const fn rounded(layout: Layout) -> Layout {
    if class(layout).is_none() {
        return layout;
    }
    match Layout::from_size_align(layout.size().div_ceil(STEP) * STEP, ALIGN) {
        Ok(layout) => layout,
        Err(_) => panic!("a class is at most 1 KiB"),
    }
}

const fn class(layout: Layout) -> Option<usize> {
    let cached = layout.align() <= ALIGN && layout.size() > 0 && layout.size() <= STEP * CLASSES;
    if cached { Some(layout.size().div_ceil(STEP) - 1) } else { None }
}

struct Free {
    next: *mut Self,
}

/// The free lists of one executor.
#[derive(Debug)]
pub(super) struct Cache {
    lists: [List; CLASSES],
}

#[derive(Debug)]
struct List {
    head: Cell<*mut Free>,
    count: Cell<u32>,
}

impl Cache {
    pub(super) fn new() -> Self {
        let empty = || List { head: Cell::new(ptr::null_mut()), count: Cell::new(0) };
        Self { lists: std::array::from_fn(|_| empty()) }
    }

    /// Memory for a task, uninitialised. `layout` is a rounded one.
    #[inline]
    pub(super) fn allocate(&self, layout: Layout) -> NonNull<u8> {
        if let Some(class) = class(layout) {
            let list = &self.lists[class];
            if let Some(cell) = NonNull::new(list.head.get()) {
                // SAFETY: rule 2.
                list.head.set(unsafe { cell.as_ref() }.next);
                list.count.set(list.count.get() - 1);
                return cell.cast();
            }
        }
        allocate(layout)
    }

    /// Takes memory back.
    ///
    /// # Safety
    ///
    /// It was allocated with the same `layout`, by this or another cache, and nobody uses it (rule 1).
    #[inline]
    pub(super) unsafe fn recycle(&self, memory: NonNull<u8>, layout: Layout) {
        let Some(list) = class(layout).map(|class| &self.lists[class]) else {
            // SAFETY: rule 1.
            return unsafe { free(memory, layout) };
        };
        if list.count.get() == LIMIT {
            // SAFETY: rule 1.
            return unsafe { free(memory, layout) };
        }
        let cell = memory.cast::<Free>();
        // SAFETY: rule 2; a cell is at least a step large, and aligned.
        unsafe { cell.write(Free { next: list.head.get() }) };
        list.head.set(cell.as_ptr());
        list.count.set(list.count.get() + 1);
    }

    /// How many cells are kept.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.lists.iter().map(|list| list.count.get() as usize).sum()
    }

    /// Gives everything back to the global allocator.
    pub(super) fn clear(&self) {
        for (class, list) in self.lists.iter().enumerate() {
            let layout = Layout::from_size_align((class + 1) * STEP, ALIGN).expect("at most 1 KiB");
            list.count.set(0);
            let mut head = list.head.replace(ptr::null_mut());
            while let Some(cell) = NonNull::new(head) {
                // SAFETY: rules 1 and 2.
                unsafe {
                    head = cell.as_ref().next;
                    free(cell.cast(), layout);
                }
            }
        }
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Memory from the global allocator, on any thread. `layout` is a rounded one.
#[cold]
pub(super) fn allocate(layout: Layout) -> NonNull<u8> {
    assert!(layout.size() > 0, "tasks and parcels have a head");
    // SAFETY: the size is not zero.
    let memory = unsafe { alloc(layout) };
    NonNull::new(memory).unwrap_or_else(|| handle_alloc_error(layout))
}

/// Frees memory of a task, on any thread.
///
/// # Safety
///
/// It was allocated with `layout`, and nobody uses it (rule 1).
pub(super) unsafe fn free(memory: NonNull<u8>, layout: Layout) {
    // SAFETY: the caller's promise.
    unsafe { dealloc(memory.as_ptr(), layout) };
}
