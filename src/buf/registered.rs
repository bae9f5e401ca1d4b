//! Memory that the kernel knows by a number, so that an operation on it need not look its pages up.
//!
//! A registration is one range, cut into buffers of one size, and has a place in the table of its core's ring. Every
//! buffer holds it, and so does the pool that lends them.
//!
//! # Safety rules
//!
//! 1. The range is named to the kernel while `memory` lives: the place in the table is emptied before the mapping goes,
//!    and the kernel keeps the pages themselves until the last operation on them ended.
//! 2. A buffer's number is on the stack, or one `AlignedBuf` has it and is alone with its memory. The numbers are below
//!    the count, so a buffer lies within the mapping.
#![allow(unsafe_code, reason = "room 2: memory shared with the kernel")]

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::RawFd;
use std::ptr::NonNull;
use std::rc::Rc;

use super::AlignedBuf;
use crate::sys::mapping::{Mapping, PAGE};
use crate::sys::{plain, register};

/// The most that the kernel takes as one range.
const RANGE_MAX: usize = 1 << 30;

/// The places of a core's ring for registered memory.
#[derive(Debug)]
pub(crate) struct Table {
    /// `None` after the ring was closed, which forgets all.
    ring: Cell<Option<RawFd>>,
    free: RefCell<Vec<u16>>,
    places: u16,
}

impl Table {
    /// An empty table of the ring, made in the kernel.
    pub(crate) fn new(ring: RawFd, places: u16) -> io::Result<Rc<Self>> {
        register::buffer_table(ring, places)?;
        let free = RefCell::new((0..places).rev().collect());
        Ok(Rc::new(Self { ring: Cell::new(Some(ring)), free, places }))
    }

    /// The ring is about to be closed.
    pub(crate) fn close(&self) {
        self.ring.set(None);
    }

    fn take_place(&self) -> io::Result<u16> {
        self.free.borrow_mut().pop().ok_or_else(|| {
            let text = format!(
                "all {} places of this core for registered memory are taken; ask for more with \
                 Builder::registered_pools",
                self.places
            );
            io::Error::other(text)
        })
    }
}

/// A range of memory that a core's ring knows.
///
/// It means something to this library alone: [`IoBuf::registration`](super::IoBuf::registration) hands it on from a
/// buffer to what is made of it.
#[derive(Debug)]
pub struct Registration {
    table: Rc<Table>,
    place: u16,
    memory: Mapping,
    /// Of each buffer, in whole pages.
    size: usize,
    /// The buffers that nobody has, the last used on top.
    spare: RefCell<Vec<u32>>,
}

impl Registration {
    /// Maps `count` buffers of `size` bytes, rounded up to whole pages, and makes them known to the ring.
    pub(crate) fn new(table: Rc<Table>, size: usize, count: u32) -> io::Result<Rc<Self>> {
        let wanted = size.checked_next_multiple_of(PAGE).filter(|size| *size > 0);
        let range = wanted.and_then(|size| Some((size, size.checked_mul(count as usize)?)));
        let fitting = range.filter(|(_, bytes)| (1..=RANGE_MAX).contains(bytes));
        let (size, bytes) = fitting.ok_or_else(|| refused_size(size, count))?;
        let memory = Mapping::new(bytes)?;
        let place = table.take_place()?;
        let spare = RefCell::new((0..count).rev().collect());
        // Its drop gives the place back, also if the kernel refuses.
        let registration = Self { table, place, memory, size, spare };
        let ring = registration.table.ring.get().ok_or_else(gone)?;
        // SAFETY: rule 1.
        let registered =
            unsafe { register::buffer(ring, place, registration.memory.pointer(), bytes) };
        registered.map_err(|error| refusal(error, bytes))?;
        Ok(Rc::new(registration))
    }

    /// A buffer that nobody has.
    pub(crate) fn take(self: &Rc<Self>) -> Option<AlignedBuf> {
        let number = self.spare.borrow_mut().pop()?;
        // SAFETY: rule 2.
        let pointer = unsafe { self.memory.pointer().add(number as usize * self.size) };
        // SAFETY: rule 2: it is nobody else's until it is given back; a mapping begins at a page, and a size is pages.
        Some(unsafe { AlignedBuf::registered(pointer, self.size, Rc::clone(self)) })
    }

    /// Takes a buffer back that begins there.
    pub(super) fn put(&self, pointer: NonNull<u8>) {
        let offset = pointer.addr().get() - self.memory.pointer().addr().get();
        self.spare.borrow_mut().push((offset / self.size) as u32);
    }

    /// How many buffers nobody has.
    pub(crate) fn spare(&self) -> usize {
        self.spare.borrow().len()
    }

    /// The size of a buffer, in bytes.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Its place in the table, if that is of the same ring.
    #[inline]
    pub(crate) fn place_in(&self, table: &Rc<Table>) -> Option<u16> {
        Rc::ptr_eq(&self.table, table).then_some(self.place)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if let Some(ring) = self.table.ring.get() {
            // An error means that the ring is gone, which has the same effect.
            let _ = register::forget_buffer(ring, self.place);
        }
        self.table.free.borrow_mut().push(self.place);
    }
}

fn gone() -> io::Error {
    io::Error::other("the annulus runtime of this memory has shut down")
}

fn refused_size(size: usize, count: u32) -> io::Error {
    let text = format!(
        "{count} registered buffers of {size} bytes: there must be at least one byte, and no more than {RANGE_MAX} in \
         all"
    );
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

/// Names what the kernel misses.
fn refusal(error: io::Error, bytes: usize) -> io::Error {
    if error.raw_os_error() != Some(libc::ENOMEM) {
        return error;
    }
    let limit = plain::memlock_limit();
    let text = format!(
        "not enough lockable memory for registered buffers: they need {bytes} bytes of this user's RLIMIT_MEMLOCK \
         ({limit}), which all rings of the user share; raise it (ulimit -l, or LimitMEMLOCK= in the service) or ask \
         for fewer or smaller ones"
    );
    io::Error::new(error.kind(), text)
}
