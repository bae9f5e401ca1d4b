//! Buffers that the kernel picks from when data arrives, so that an idle stream holds none.
//!
//! A pool has two classes, small and large; a stream is armed with the one that fits its traffic. A buffer is
//! charged to its stream until it is recycled. Where a stream is past its share, or the pool below its low-water
//! mark, what arrived is copied to the heap at once and the buffer goes back: a task that hoards chunks cannot
//! starve the others.
//!
//! Only as many buffers as a turn of the loop can use lie in the ring; the others wait on a stack, the one that was
//! used last on top. So a quiet core goes round a few warm buffers, and memory is taken up as the load needs it.
//!
//! # Safety rules
//!
//! 1. A buffer is either in the ring (the kernel may write it at any time) or lent (one `Chunk` or nobody touches
//!    it); `charged` says which, and only a lent buffer is read, only once recycled.
//! 2. The entries and the tail of a buffer ring are written by this thread alone; the kernel reads an entry after
//!    it saw the tail move past it, so the tail is stored last, with `Release`.
//! 3. The mappings live in the `Pool`, and every chunk and every stream that received holds the pool: the last of them
//!    frees the memory, after the ring was unregistered and its last operation was reaped.
#![allow(unsafe_code, reason = "room 2: memory shared with the kernel")]

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::RawFd;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::atomic::{AtomicU16, Ordering};

use slab::Slab;

use super::Chunk;
use crate::sys::mapping::Mapping;
use crate::sys::register;

/// How large and how many the buffers are, and who may hold how much.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PoolOptions {
    pub(crate) small_size: u32,
    pub(crate) small_count: u16,
    pub(crate) large_size: u32,
    pub(crate) large_count: u16,
    /// Buffers that one stream may hold before its data is copied to the heap.
    pub(crate) stream_share: u32,
}

/// The most buffers in the ring: more than the completions that one system call delivers.
const DEPTH_MAX: u16 = 256;

/// Which of the two sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Small,
    Large,
}

impl Class {
    /// The number of the class's buffer group in the ring.
    pub(crate) fn group(self) -> u16 {
        self as u16
    }
}

/// Both classes of a core's receive buffers.
#[derive(Debug)]
pub(crate) struct Pool {
    classes: [Group; 2],
    stream_share: u32,
    /// What each stream holds. A place is free again when its stream is gone and holds nothing.
    accounts: RefCell<Slab<Charge>>,
    /// Messages that were copied to the heap for want of a buffer to spare.
    copied: Cell<u64>,
}

/// The buffers of one stream.
#[derive(Debug)]
struct Charge {
    held: u32,
    open: bool,
}

/// Nobody's: the buffer is in the ring.
const IN_RING: u32 = u32::MAX;
/// Nobody's: the buffer is on the stack, and the kernel does not know it.
const SPARE: u32 = u32::MAX - 1;

/// The buffers of one size and the ring that offers them to the kernel.
#[derive(Debug)]
struct Group {
    class: Class,
    ring: Mapping,
    memory: Mapping,
    size: u32,
    count: u16,
    /// Entries of the ring: a power of two.
    depth: u16,
    tail: Cell<u16>,
    /// Buffers in the ring.
    offered: Cell<u16>,
    /// Buffers that are neither in the ring nor lent, the last used on top.
    spare: RefCell<Vec<u16>>,
    /// The account that each lent buffer is charged to.
    charged: Box<[Cell<u32>]>,
    lent_count: Cell<u16>,
    /// The ring that the group is registered with.
    registered: Cell<Option<RawFd>>,
}

/// `struct io_uring_buf`; the tail of the ring lies in the last field of the first entry.
#[repr(C)]
struct Entry {
    address: u64,
    len: u32,
    bid: u16,
    tail: u16,
}

impl Pool {
    /// Maps both classes and offers every buffer to the kernel.
    pub(crate) fn new(ring_fd: RawFd, options: &PoolOptions) -> io::Result<Rc<Self>> {
        let small = Group::new(ring_fd, Class::Small, options.small_size, options.small_count)?;
        let large = Group::new(ring_fd, Class::Large, options.large_size, options.large_count)?;
        Ok(Rc::new(Self {
            classes: [small, large],
            stream_share: options.stream_share,
            accounts: RefCell::default(),
            copied: Cell::new(0),
        }))
    }

    pub(crate) fn size(&self, class: Class) -> u32 {
        self.group(class).size
    }

    /// Buffers that are with a chunk, of both classes.
    pub(crate) fn lent(&self) -> u32 {
        self.classes.iter().map(|group| u32::from(group.lent_count.get())).sum()
    }

    pub(crate) fn copied(&self) -> u64 {
        self.copied.get()
    }

    /// Tells the kernel that these buffers are no longer offered. No receive may be armed any more.
    pub(crate) fn unregister(&self) {
        for group in &self.classes {
            if let Some(fd) = group.registered.take() {
                // An error means that the ring is gone, which has the same effect.
                let _ = register::forget_buffer_ring(fd, group.class.group());
            }
        }
    }

    fn group(&self, class: Class) -> &Group {
        &self.classes[class as usize]
    }

    /// Gives a lent buffer back to the kernel.
    #[inline]
    pub(super) fn recycle(&self, class: Class, bid: u16) {
        let group = self.group(class);
        let account = group.charged[usize::from(bid)].replace(SPARE);
        debug_assert!(account < SPARE, "only a lent buffer is recycled, and by its one chunk");
        group.lent_count.set(group.lent_count.get() - 1);
        group.put(bid);
        let mut accounts = self.accounts.borrow_mut();
        if let Some(charge) = accounts.get_mut(account as usize) {
            charge.held -= 1;
            if charge.held == 0 && !charge.open {
                accounts.remove(account as usize);
            }
        }
    }
}

impl Group {
    fn new(ring_fd: RawFd, class: Class, size: u32, count: u16) -> io::Result<Self> {
        // The largest power of two that is no more than the count.
        let depth = DEPTH_MAX.min(1 << (u16::BITS - 1 - count.leading_zeros()));
        let group = Self {
            class,
            ring: Mapping::new(usize::from(depth) * size_of::<Entry>())?,
            memory: Mapping::new(usize::from(count) * size as usize)?,
            size,
            count,
            depth,
            tail: Cell::new(0),
            offered: Cell::new(0),
            spare: RefCell::new((depth..count).rev().collect()),
            charged: (0..count).map(|_| Cell::new(SPARE)).collect(),
            lent_count: Cell::new(0),
            registered: Cell::new(None),
        };
        // SAFETY: rule 3: the mapping stays until after `unregister`.
        unsafe { register::buffer_ring(ring_fd, group.ring.pointer(), depth, class.group()) }?;
        group.registered.set(Some(ring_fd));
        for bid in 0..depth {
            group.offer(bid);
        }
        Ok(group)
    }

    fn address(&self, bid: u16) -> NonNull<u8> {
        debug_assert!(bid < self.count);
        // SAFETY: `bid < count`, so the buffer lies within the mapping of `count * size` bytes.
        unsafe { self.memory.pointer().add(usize::from(bid) * self.size as usize) }
    }

    /// Takes back a buffer that is not lent: into the ring while there is room, else onto the stack.
    #[inline]
    fn put(&self, bid: u16) {
        if self.offered.get() < self.depth {
            self.offer(bid);
        } else {
            self.spare.borrow_mut().push(bid);
        }
    }

    /// Appends the buffer to the ring, which has room for it. It must not be lent.
    fn offer(&self, bid: u16) {
        if self.registered.get().is_none() {
            return;
        }
        self.charged[usize::from(bid)].set(IN_RING);
        let tail = self.tail.get();
        let entries = self.ring.pointer().cast::<Entry>();
        // SAFETY: rule 2; the index is below `depth`, the size of the ring. The tail field is not written here.
        unsafe {
            let entry = entries.add(usize::from(tail & (self.depth - 1))).as_ptr();
            (&raw mut (*entry).address)
                .write(self.address(bid).as_ptr().expose_provenance() as u64);
            (&raw mut (*entry).len).write(self.size);
            (&raw mut (*entry).bid).write(bid);
        }
        let tail = tail.wrapping_add(1);
        // SAFETY: rule 2; the tail lies in the first entry, aligned, and is only ever accessed as an atomic.
        let shared = unsafe { AtomicU16::from_ptr(&raw mut (*entries.as_ptr()).tail) };
        shared.store(tail, Ordering::Release);
        self.tail.set(tail);
        self.offered.set(self.offered.get() + 1);
    }

    /// The kernel handed the buffer out, to `account`: true if it was in the ring.
    #[inline]
    fn lend(&self, bid: u16, account: u32) -> bool {
        let Some(charged) = self.charged.get(usize::from(bid)).filter(|at| at.get() == IN_RING)
        else {
            return false;
        };
        charged.set(account);
        self.lent_count.set(self.lent_count.get() + 1);
        self.offered.set(self.offered.get() - 1);
        let spare = self.spare.borrow_mut().pop();
        if let Some(spare) = spare {
            self.offer(spare);
        }
        true
    }

    /// A quarter is kept for streams that hold nothing yet, and at least one: with none, every receive would fail at
    /// once and be armed again.
    fn is_low(&self) -> bool {
        self.count - self.lent_count.get() < (self.count / 4).max(1)
    }
}

/// One stream's account with the pool, for as long as the stream lives. Chunks outlive it.
#[derive(Debug)]
pub(crate) struct Account {
    pool: Rc<Pool>,
    number: u32,
}

impl Account {
    pub(crate) fn new(pool: Rc<Pool>) -> Self {
        let number = pool.accounts.borrow_mut().insert(Charge { held: 0, open: true }) as u32;
        Self { pool, number }
    }

    pub(crate) fn pool(&self) -> &Rc<Pool> {
        &self.pool
    }

    /// Turns a completed receive into a chunk; `None` if the kernel named a buffer that it did not have.
    pub(crate) fn chunk(&self, class: Class, bid: u16, len: u32) -> Option<Chunk> {
        let group = self.pool.group(class);
        if len > group.size || !group.lend(bid, self.number) {
            return None;
        }
        let held = {
            let charge = &mut self.pool.accounts.borrow_mut()[self.number as usize];
            charge.held += 1;
            charge.held
        };
        let address = group.address(bid);
        if held > self.pool.stream_share || group.is_low() {
            return Some(self.copy(class, bid, address, len));
        }
        Some(Chunk::lent(Rc::clone(&self.pool), class, bid, address, len))
    }

    /// A chunk on the heap instead; the buffer goes back.
    #[cold]
    fn copy(&self, class: Class, bid: u16, address: NonNull<u8>, len: u32) -> Chunk {
        // SAFETY: rule 1: the buffer is lent, and the kernel wrote `len` bytes of it.
        let bytes = unsafe { std::slice::from_raw_parts(address.as_ptr(), len as usize) };
        let copy = Chunk::from(Box::from(bytes));
        self.pool.recycle(class, bid);
        self.pool.copied.set(self.pool.copied.get() + 1);
        copy
    }

    /// A buffer that came without data goes back.
    pub(crate) fn refuse(&self, class: Class, bid: u16) {
        drop(self.chunk(class, bid, 0));
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let mut accounts = self.pool.accounts.borrow_mut();
        let number = self.number as usize;
        accounts[number].open = false;
        if accounts[number].held == 0 {
            accounts.remove(number);
        }
    }
}
