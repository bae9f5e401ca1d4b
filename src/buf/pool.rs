//! Buffers that the kernel picks from when data arrives, so that an idle stream holds none.
//!
//! A pool has three classes; a stream is armed with the one that fits its traffic. A buffer is charged to its stream
//! until it is recycled. Where a stream is past its share, or the pool below its low-water mark, what arrived is copied
//! to the heap at once and the buffer goes back: a task that hoards chunks cannot starve the others.
//!
//! Only as many buffers as a turn of the loop can use lie in the ring; the others wait on a stack, the one that was
//! used last on top. So a quiet core goes round a few warm buffers, and memory is taken up as the load needs it.
//!
//! # Safety rules
//!
//! 1. A buffer is in the ring (the kernel may write it at any time), or lent (one `Chunk` or nobody touches it), or
//!    spare; its `place` says which, and only a lent buffer is read, only once recycled.
//! 2. The entries and the tail of a buffer ring are written by this thread alone; the kernel reads an entry after
//!    it saw the tail move past it, so the tail is stored last, with `Release`.
//! 3. The mappings live in the `Pool`, and every chunk and every stream that received holds the pool: the last of them
//!    frees the memory, after the ring was unregistered and its last operation was reaped.
#![allow(unsafe_code, reason = "room 2: memory shared with the kernel")]

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::sync::atomic::{AtomicU16, Ordering};

use super::Chunk;
use super::buffer::{Buffer, Place};
use crate::sys::mapping::Mapping;
use crate::sys::register;

/// How large and how many the buffers are, and who may hold how much.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PoolOptions {
    pub(crate) small_size: u32,
    pub(crate) small_count: u16,
    pub(crate) large_size: u32,
    pub(crate) large_count: u16,
    pub(crate) bulk_size: u32,
    pub(crate) bulk_count: u16,
    /// Buffers that one stream may hold before its data is copied to the heap.
    pub(crate) stream_share: u32,
}

#[cfg(test)]
impl PoolOptions {
    /// Of a pool that tests use up.
    pub(crate) const TINY: Self = Self {
        small_size: 64,
        small_count: 16,
        large_size: 256,
        large_count: 4,
        bulk_size: 1024,
        bulk_count: 2,
        stream_share: 4,
    };
}

/// With fewer buffers in its ring a class is filled up before a system call: more than a call usually brings receives.
const OFFERED_MIN: u16 = 64;

/// Which of the sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Small,
    Large,
    /// For one receive at a time of a stream that always has more: the larger a receive, the fewer acknowledgements,
    /// and times that a sender who waits for room is woken (`net`, `proxy_bulk`).
    Bulk,
}

impl Class {
    /// The most buffers of the class in the ring. Few enough that the large ones stay in the processor's caches
    /// (`echo`, `c64_64K`: 256 cost a quarter more).
    fn depth_max(self) -> u16 {
        match self {
            Self::Small => 256,
            Self::Large | Self::Bulk => 64,
        }
    }

    /// How many buffers are to lie in a ring of this depth, when the receives that are armed may need so many at once.
    ///
    /// The kernel goes round all that lie there, whether or not it needs them, so of those that fill a cache there are
    /// no more than needed (`net`, `lines`: with 64 large ones instead of 4 a line cost 1.4 times as much).
    fn wanted(self, demand: usize, depth: u16) -> u16 {
        match self {
            Self::Small => depth,
            Self::Large | Self::Bulk => demand.min(usize::from(depth)) as u16,
        }
    }

    /// The number of the class's buffer group in the ring.
    pub(crate) fn group(self) -> u16 {
        self as u16
    }
}

/// All classes of a core's receive buffers.
#[derive(Debug)]
pub(crate) struct Pool {
    classes: [Group; 3],
    stream_share: usize,
    /// Messages that were copied to the heap for want of a buffer to spare.
    copied: Cell<u64>,
}

/// The buffers of one size and the ring that offers them to the kernel.
#[derive(Debug)]
struct Group {
    class: Class,
    ring: Mapping,
    /// What the buffers are pieces of.
    _memory: Mapping,
    buffers: Box<[Buffer]>,
    size: u32,
    /// Entries of the ring: a power of two.
    depth: u16,
    /// Buffers that the receives which are armed may need at once.
    demand: Cell<usize>,
    /// Buffers that are to lie in the ring.
    wanted: Cell<u16>,
    tail: Cell<u16>,
    /// Buffers in the ring.
    offered: Cell<u16>,
    /// Buffers that are neither in the ring nor lent, the last used on top.
    spare: RefCell<Vec<u16>>,
    lent_count: Cell<u16>,
    /// With more lent than this the group is low: what is left is for streams that hold nothing yet.
    lent_max: u16,
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
    /// Maps all classes and registers their rings.
    pub(crate) fn new(ring_fd: RawFd, options: &PoolOptions) -> io::Result<Rc<Self>> {
        let small = Group::new(ring_fd, Class::Small, options.small_size, options.small_count)?;
        let large = Group::new(ring_fd, Class::Large, options.large_size, options.large_count)
            .inspect_err(|_| small.unregister())?;
        let bulk = Group::new(ring_fd, Class::Bulk, options.bulk_size, options.bulk_count)
            .inspect_err(|_| [&small, &large].into_iter().for_each(Group::unregister))?;
        Ok(Rc::new(Self {
            classes: [small, large, bulk],
            stream_share: options.stream_share as usize,
            copied: Cell::new(0),
        }))
    }

    pub(crate) fn size(&self, class: Class) -> u32 {
        self.group(class).size
    }

    /// Buffers that are with a chunk, of all classes.
    pub(crate) fn lent(&self) -> u32 {
        self.classes.iter().map(|group| u32::from(group.lent_count.get())).sum()
    }

    pub(crate) fn copied(&self) -> u64 {
        self.copied.get()
    }

    /// Tells the kernel that these buffers are no longer offered. No receive may be armed any more.
    pub(crate) fn unregister(&self) {
        self.classes.iter().for_each(Group::unregister);
    }

    fn group(&self, class: Class) -> &Group {
        &self.classes[class as usize]
    }

    /// Fills the rings that have got low up from the stacks. Called before the kernel takes from them.
    #[inline]
    pub(crate) fn refill(&self) {
        for group in &self.classes {
            if group.offered.get() < OFFERED_MIN.min(group.wanted.get()) {
                group.refill();
            }
        }
    }

    /// How many receives are sure to find a buffer now, whatever their class. For bulk one is armed only then.
    pub(crate) fn room(&self) -> usize {
        self.group(Class::Small).room().min(self.group(Class::Large).room())
    }

    /// A buffer for bulk is there for one more receive, and the class is not low then.
    fn has_bulk(&self) -> bool {
        let bulk = self.group(Class::Bulk);
        let (armed, lent) = (bulk.demand.get(), usize::from(bulk.lent_count.get()));
        armed < usize::from(bulk.depth) && armed + lent < usize::from(bulk.lent_max)
    }

    /// Takes a lent buffer back.
    #[inline]
    fn recycle(&self, buffer: &Buffer) {
        let group = self.group(buffer.class);
        debug_assert_eq!(buffer.place.get(), Place::Lent);
        group.lent_count.set(group.lent_count.get() - 1);
        group.put(buffer);
    }
}

impl Group {
    fn new(ring_fd: RawFd, class: Class, size: u32, count: u16) -> io::Result<Self> {
        // The largest power of two that is no more than the count.
        let depth = class.depth_max().min(1 << (u16::BITS - 1 - count.leading_zeros()));
        let memory = Mapping::new(usize::from(count) * size as usize)?;
        let group = Self {
            class,
            ring: Mapping::new(usize::from(depth) * size_of::<Entry>())?,
            buffers: buffers(&memory, class, size, count),
            _memory: memory,
            size,
            depth,
            demand: Cell::new(0),
            wanted: Cell::new(class.wanted(0, depth)),
            tail: Cell::new(0),
            offered: Cell::new(0),
            spare: RefCell::new((0..count).rev().collect()),
            lent_count: Cell::new(0),
            // At least one is kept: with none in the ring, every receive would fail at once and be armed again.
            lent_max: count - (count / 4).max(1),
            registered: Cell::new(None),
        };
        // SAFETY: rule 3: the mapping stays until after `unregister`.
        unsafe { register::buffer_ring(ring_fd, group.ring.pointer(), depth, class.group()) }?;
        group.registered.set(Some(ring_fd));
        group.refill();
        Ok(group)
    }

    /// See [`Pool::unregister`].
    fn unregister(&self) {
        if let Some(fd) = self.registered.take() {
            // An error means that the ring is gone, which has the same effect.
            let _ = register::forget_buffer_ring(fd, self.class.group());
        }
    }

    /// Takes back a buffer that is not lent any more: into the ring while there is room, else onto the stack.
    #[inline]
    fn put(&self, buffer: &Buffer) {
        if self.offered.get() < self.wanted.get() {
            self.offer(buffer);
        } else {
            self.put_aside(buffer);
        }
    }

    #[inline(never)]
    fn put_aside(&self, buffer: &Buffer) {
        buffer.place.set(Place::Spare);
        self.spare.borrow_mut().push(buffer.bid);
    }

    /// The buffers that are in the ring or may be put there.
    fn room(&self) -> usize {
        let spare = self.spare.borrow().len();
        usize::from(self.depth).min(usize::from(self.offered.get()) + spare)
    }

    fn set_demand(&self, demand: usize) {
        self.demand.set(demand);
        self.wanted.set(self.class.wanted(demand, self.depth));
    }

    fn refill(&self) {
        let mut spare = self.spare.borrow_mut();
        while self.offered.get() < self.wanted.get()
            && let Some(bid) = spare.pop()
        {
            self.offer(&self.buffers[usize::from(bid)]);
        }
    }

    /// Appends the buffer to the ring, which has room for it. Nobody may hold it.
    #[inline]
    fn offer(&self, buffer: &Buffer) {
        buffer.place.set(Place::Ring);
        let tail = self.tail.get();
        let entries = self.ring.pointer().cast::<Entry>();
        // SAFETY: rule 2; the index is below `depth`, the size of the ring. The tail field is not written here.
        unsafe {
            let entry = entries.add(usize::from(tail & (self.depth - 1))).as_ptr();
            (&raw mut (*entry).address).write(buffer.address.as_ptr().expose_provenance() as u64);
            (&raw mut (*entry).len).write(buffer.size);
            (&raw mut (*entry).bid).write(buffer.bid);
        }
        let tail = tail.wrapping_add(1);
        // SAFETY: rule 2; the tail lies in the first entry, aligned, and is only ever accessed as an atomic.
        let shared = unsafe { AtomicU16::from_ptr(&raw mut (*entries.as_ptr()).tail) };
        shared.store(tail, Ordering::Release);
        self.tail.set(tail);
        self.offered.set(self.offered.get() + 1);
    }

    /// The kernel handed the buffer out; `None` if it did not have it, or claims to have filled more than there is.
    #[inline]
    fn lend(&self, bid: u16, len: u32) -> Option<&Buffer> {
        let buffer = self.buffers.get(usize::from(bid))?;
        if buffer.place.get() != Place::Ring || len > buffer.size {
            return None;
        }
        buffer.place.set(Place::Lent);
        self.lent_count.set(self.lent_count.get() + 1);
        self.offered.set(self.offered.get() - 1);
        Some(buffer)
    }
}

/// The buffers that `memory` is cut into.
fn buffers(memory: &Mapping, class: Class, size: u32, count: u16) -> Box<[Buffer]> {
    let buffer = |bid: u16| {
        // SAFETY: `bid < count`, and the mapping has `count * size` bytes.
        let address = unsafe { memory.pointer().add(usize::from(bid) * size as usize) };
        let (place, account) = (Cell::new(Place::Spare), Cell::new(None));
        Buffer { address, size, bid, class, place, account }
    };
    (0..count).map(buffer).collect()
}

/// One stream's account with the pool: it lives as long as the stream or a chunk of it, and the references that
/// chunks hold to it are what the stream is charged with.
#[derive(Debug)]
pub(crate) struct Account {
    pool: Rc<Pool>,
    /// Buffers that it may hold before what arrives is copied to the heap.
    share: usize,
}

/// While it is there, the ring of a class has buffers for the receive that holds it.
#[derive(Debug)]
pub(crate) struct Demand {
    pool: Rc<Pool>,
    class: Class,
    buffers: usize,
}

impl Demand {
    /// Of a receive that may need so many buffers at once, as far as there are any.
    pub(crate) fn new(pool: &Rc<Pool>, class: Class, buffers: usize) -> Self {
        let group = pool.group(class);
        group.set_demand(group.demand.get() + buffers);
        Self { pool: Rc::clone(pool), class, buffers }
    }
}

impl Drop for Demand {
    fn drop(&mut self) {
        let group = self.pool.group(self.class);
        group.set_demand(group.demand.get() - self.buffers);
    }
}

/// What a socket of messages may hold, in shares of a stream: each message takes a buffer, and its peers are many.
const MESSAGES_SHARES: usize = 16;

impl Account {
    /// Of a stream.
    pub(crate) fn new(pool: Rc<Pool>) -> Rc<Self> {
        let share = pool.stream_share;
        Rc::new(Self { pool, share })
    }

    /// Of a socket of messages.
    pub(crate) fn of_messages(pool: Rc<Pool>) -> Rc<Self> {
        let share = pool.stream_share.saturating_mul(MESSAGES_SHARES);
        Rc::new(Self { pool, share })
    }

    /// The next receive of the stream may be bulk: a buffer is there for it, which will not have to be copied.
    pub(crate) fn takes_bulk(self: &Rc<Self>) -> bool {
        Rc::strong_count(self) <= self.share && self.pool.has_bulk()
    }

    /// Turns a completed receive into a chunk; `None` if the kernel named a buffer that it did not have.
    #[inline]
    pub(crate) fn chunk(self: &Rc<Self>, class: Class, bid: u16, len: u32) -> Option<Chunk> {
        let group = self.pool.group(class);
        let buffer = group.lend(bid, len)?;
        // The stream holds one reference itself, and this chunk is to have one.
        let held = Rc::strong_count(self);
        if held > self.share || group.lent_count.get() > group.lent_max {
            return Some(self.copy(buffer, len));
        }
        // SAFETY: rule 1: just lent, of our pool, and the kernel wrote `len` bytes of it.
        Some(unsafe { Chunk::lent(buffer, Rc::clone(self), len) })
    }

    /// A chunk on the heap instead; the buffer goes back.
    #[cold]
    fn copy(&self, buffer: &Buffer, len: u32) -> Chunk {
        // SAFETY: rule 1: the buffer is lent, and the kernel wrote `len` bytes of it.
        let bytes = unsafe { std::slice::from_raw_parts(buffer.address.as_ptr(), len as usize) };
        let copy = Chunk::from(Box::from(bytes));
        self.pool.recycle(buffer);
        self.pool.copied.set(self.pool.copied.get() + 1);
        copy
    }

    /// Takes the buffer of a chunk back.
    #[inline]
    pub(super) fn recycle(&self, buffer: &Buffer) {
        self.pool.recycle(buffer);
    }

    /// A buffer that came without data goes back.
    pub(crate) fn refuse(self: &Rc<Self>, class: Class, bid: u16) {
        drop(self.chunk(class, bid, 0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::setup::{Features, RingOptions, ring};

    #[test]
    fn a_pool_that_could_not_be_made_leaves_nothing_with_the_ring() {
        let options = RingOptions {
            submission_entries: 8,
            completion_entries: 32,
            kernel_workers_max: [2, 2],
            features: Features::all(),
        };
        let (ring, _) = ring(&options).expect("a ring");
        let options = PoolOptions::TINY;
        let beyond = PoolOptions { bulk_size: 1 << 31, bulk_count: u16::MAX, ..options };
        Pool::new(ring.as_raw_fd(), &beyond).expect_err("no process has so many addresses");
        let pool = Pool::new(ring.as_raw_fd(), &options).expect("the numbers are free");
        pool.unregister();
    }
}
