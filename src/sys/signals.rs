//! Signals of the process: a handler that counts them and rings, for as many listeners as there are.
//!
//! A handler and not `signalfd(2)`: that one brings only signals that every thread of the process has blocked, also
//! those that libraries start, and what a child inherits blocked it never hears of. The handler runs on whichever
//! thread the kernel picks, adds one, and writes to an eventfd of that signal. Nobody reads the eventfd: each ring
//! that listens has a poll of its own on it, so one write reaches all of them, on any number of threads.
//!
//! # Safety rules
//!
//! 1. What the handler does is safe wherever it interrupts: loads and additions of lock-free atomics, `write(2)`, and
//!    the handler that was there before, with the arguments that the kernel gave. It allocates nothing, locks nothing,
//!    does not unwind, and leaves `errno` as it was.
//! 2. A place of the table is filled in before its handler is installed, and neither is ever taken back: the
//!    descriptor stays open, and what `previous` points to is leaked.
//! 3. Structures passed to the kernel are locals that live across the call, or leaked.
//! 4. What was the action before says by its flags which type of function it names; it was given to the kernel for that
//!    purpose.
#![allow(unsafe_code, reason = "room 1: the kernel's interface")]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::RawFd;
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use libc::{c_int, c_void, siginfo_t};

/// One more than the highest signal of Linux.
const COUNT: usize = 65;

/// One place for each signal of the process.
static SOURCES: [Source; COUNT] = [const { Source::new() }; COUNT];

/// Held while a handler is being installed.
static INSTALLING: Mutex<()> = Mutex::new(());

/// What the handler of one signal shares with those who listen.
#[derive(Debug)]
pub(crate) struct Source {
    /// Deliveries since the handler was installed.
    count: AtomicU64,
    /// Negative until there is one.
    bell: AtomicI32,
    /// What had handled the signal before; null until the handler is there.
    previous: AtomicPtr<libc::sigaction>,
}

impl Source {
    const fn new() -> Self {
        Self {
            count: AtomicU64::new(0),
            bell: AtomicI32::new(-1),
            previous: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// How often the signal was delivered. What the kernel merged counts once.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }

    /// The eventfd that each delivery writes to, after it was counted. It stays open as long as the process lives.
    pub(crate) fn bell(&self) -> RawFd {
        self.bell.load(Ordering::SeqCst)
    }
}

/// The source of a signal, whose handler is installed with the first call.
pub(crate) fn source(signal: c_int) -> io::Result<&'static Source> {
    let source = usize::try_from(signal).ok().and_then(|signal| SOURCES.get(signal));
    let Some(source) = source.filter(|_| is_ours_to_handle(signal)) else {
        return Err(refusal(signal));
    };
    let _installing = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    if source.previous.load(Ordering::SeqCst).is_null() {
        install(signal, source)?;
    }
    Ok(source)
}

/// Neither one that the kernel keeps for itself nor one that says that the interrupted code cannot go on.
fn is_ours_to_handle(signal: c_int) -> bool {
    let refused =
        [libc::SIGKILL, libc::SIGSTOP, libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE];
    signal > 0 && !refused.contains(&signal)
}

fn refusal(signal: c_int) -> io::Error {
    let text = format!(
        "signal {signal} cannot be listened to: it is none, or the kernel keeps it for itself, or the code that it \
         interrupts cannot go on"
    );
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

fn install(signal: c_int, source: &'static Source) -> io::Result<()> {
    let mut previous = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: rule 3.
    check(unsafe { libc::sigaction(signal, ptr::null(), previous.as_mut_ptr()) })
        .map_err(|_| refusal(signal))?;
    if source.bell() < 0 {
        // SAFETY: no memory is passed. A writer that would have to wait gives up: the bell is rung already.
        let bell = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        check(bell)?;
        source.bell.store(bell, Ordering::SeqCst);
    }
    // SAFETY: the call succeeded, so it is filled in.
    let previous = Box::leak(Box::new(unsafe { previous.assume_init() }));
    source.previous.store(previous, Ordering::SeqCst);
    let handler = handle as extern "C" fn(c_int, *mut siginfo_t, *mut c_void);
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: rule 3; the structure is plain data, of which all zeroes is a valid value: no flag, an empty mask.
    let result = unsafe {
        let action = action.assume_init_mut();
        // Handlers do not nest: an alternate stack may have room for little more than the frame of one.
        libc::sigfillset(&raw mut action.sa_mask);
        action.sa_sigaction = handler as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART | libc::SA_ONSTACK;
        libc::sigaction(signal, action, ptr::null_mut())
    };
    check(result).inspect_err(|_| source.previous.store(ptr::null_mut(), Ordering::SeqCst))
}

/// The handler, by rule 1.
extern "C" fn handle(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    let Some(source) = usize::try_from(signal).ok().and_then(|signal| SOURCES.get(signal)) else {
        return;
    };
    // SAFETY: the address of this thread's own `errno`.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    let kept = unsafe { errno.read() };
    source.count.fetch_add(1, Ordering::SeqCst);
    let one = 1u64.to_ne_bytes();
    // SAFETY: eight readable bytes. A failure means that the bell is rung already.
    unsafe { libc::write(source.bell(), one.as_ptr().cast(), one.len()) };
    // SAFETY: rules 2 and 4, and the arguments are those that the kernel gave us.
    unsafe { chain(source.previous.load(Ordering::SeqCst), signal, info, context) };
    // SAFETY: as above.
    unsafe { errno.write(kept) };
}

/// Calls the handler that was there before, if it was a function.
///
/// # Safety
///
/// `previous` is null or an action that was in force, and the rest what the kernel gave a handler of ours.
unsafe fn chain(
    previous: *const libc::sigaction,
    signal: c_int,
    info: *mut siginfo_t,
    context: *mut c_void,
) {
    // SAFETY: rule 2.
    let Some(previous) = (unsafe { previous.as_ref() }) else {
        return;
    };
    let function = previous.sa_sigaction;
    if function == libc::SIG_DFL || function == libc::SIG_IGN {
        return;
    }
    let function = ptr::with_exposed_provenance::<c_void>(function);
    // SAFETY: rule 4.
    unsafe {
        if previous.sa_flags & libc::SA_SIGINFO != 0 {
            type WithInfo = extern "C" fn(c_int, *mut siginfo_t, *mut c_void);
            std::mem::transmute::<*const c_void, WithInfo>(function)(signal, info, context);
        } else {
            type Plain = extern "C" fn(c_int);
            std::mem::transmute::<*const c_void, Plain>(function)(signal);
        }
    }
}

fn check(result: c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
