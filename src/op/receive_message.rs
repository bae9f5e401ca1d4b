//! RECVMSG into a buffer of the pool, armed by a socket of messages: once for many, or once for each.
//!
//! The socket owns what arrives. A dropped read loses no message, because the messages wait here in order. Any number
//! of tasks may wait: a message goes to the one that is polled first.
//!
//! # Safety rules
//!
//! 1. The entry names `header`, which for a message at a time names `room`: both lie on the heap behind the operation
//!    and are read only after the completion. The payload goes into a buffer of the group that the kernel picks, whose
//!    memory the endpoint's account keeps; the descriptor is kept open by the endpoint.
//! 2. `read` is called once for each completion with a message, on what the kernel wrote for it.
#![allow(unsafe_code, reason = "room 3: an operation")]

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll};

use io_uring::opcode;
use io_uring::squeue::Flags;

use super::armed::Armed;
use super::close::Fd;
use super::endpoint::Endpoint;
use super::queued::Queued;
use super::waiting::{Id, Waiting};
use super::{POLL_FIRST, is_passing};
use crate::buf::{Account, Chunk, Class, Demand};
use crate::driver::{Actions, Driver, Standing, gone};
use crate::sys::descriptors::Local;
use crate::sys::message::{self, Inet, Received};
use crate::sys::{Cqe, Sqe};

/// What each untaken message counts beside its bytes, so that empty ones are bounded too.
const MESSAGE_COST: usize = 256;

/// Messages that the kernel may bring in one wake, each in a buffer of its own.
const AT_ONCE: usize = 32;

/// What comes beside the payload of a family's messages.
pub(crate) trait Head: Sized + 'static {
    /// Bytes that an address may take.
    const NAME_MAX: usize;
    /// Bytes that control data may take.
    const CONTROL_MAX: usize;

    /// Takes it from the kernel's bytes. Runs while the driver is borrowed, which is that of the socket.
    ///
    /// # Safety
    ///
    /// The kernel wrote them for one message, and they are read this once: descriptors among them become ours.
    unsafe fn read(received: &Received<'_>, driver: &Rc<Driver>) -> Self;

    /// What it counts, in bytes, while nobody takes its message.
    fn cost(&self) -> usize {
        0
    }
}

impl Head for Inet {
    const NAME_MAX: usize = Self::NAME_MAX;
    const CONTROL_MAX: usize = Self::CONTROL_MAX;

    #[inline]
    unsafe fn read(received: &Received<'_>, _driver: &Rc<Driver>) -> Self {
        Self::new(received)
    }
}

/// What an untaken descriptor counts: there are fewer of them than bytes.
pub(super) const DESCRIPTOR_COST: usize = 4096;

/// What came with a Unix message, or beside bytes of a Unix stream.
#[derive(Debug, Default)]
pub(crate) struct Beside {
    pub(crate) local: Local,
    /// Closed through the ring where nobody takes them: the close of a file may wait for its server.
    pub(crate) descriptors: Vec<Fd>,
}

impl Head for Beside {
    /// The address structure, rounded up so that the payload is aligned.
    const NAME_MAX: usize = 112;
    /// As many descriptors as a message may have, 253, and credentials, each with its head: nothing is cut off. The
    /// payload begins a cache line.
    const CONTROL_MAX: usize = 1088;

    unsafe fn read(received: &Received<'_>, driver: &Rc<Driver>) -> Self {
        // SAFETY: passed on by our caller.
        let (local, descriptors) = unsafe { Local::read(received) };
        let close_later = |descriptor| Fd::new(Rc::clone(driver), descriptor);
        Self { local, descriptors: descriptors.into_iter().map(close_later).collect() }
    }

    fn cost(&self) -> usize {
        self.descriptors.len() * DESCRIPTOR_COST
    }
}

/// A message with what came beside it.
#[derive(Debug)]
pub(crate) struct Message<H> {
    pub(crate) head: H,
    pub(crate) payload: Chunk,
}

impl<H: Head> Message<H> {
    /// What it counts while nobody takes it.
    fn cost(&self) -> usize {
        self.payload.len() + self.head.cost() + MESSAGE_COST
    }
}

// It is moved several times between the kernel and the user's hands.
const _: () = assert!(size_of::<Message<Inet>>() == 32);

impl Message<Inet> {
    /// Where the address and the control data lie.
    #[inline]
    pub(crate) fn beside(&self) -> &[u8] {
        self.head.apart().unwrap_or_else(|| self.payload.before(Inet::BESIDE))
    }

    /// Who sent it.
    #[inline]
    pub(crate) fn source(&self) -> SocketAddr {
        self.head.source(self.beside())
    }
}

/// The messages that a socket received and nobody took, and whether more are on the way.
#[derive(Debug)]
pub(crate) struct Inbox<H> {
    state: RefCell<State<H>>,
    waiting: Waiting,
    /// With so many bytes undelivered the receive is cancelled until they are taken: the kernel keeps what its own
    /// buffer holds, and drops the rest.
    undelivered_max: usize,
    /// The longest payload that is expected; `None` for what a large buffer holds.
    payload_max: Cell<Option<usize>>,
    /// Messages that came, going round.
    brought: Cell<u32>,
}

#[derive(Debug)]
struct State<H> {
    messages: VecDeque<Message<H>>,
    bytes: usize,
    /// Reported once, after the messages before it.
    error: Option<i32>,
    account: Option<Rc<Account>>,
    armed: Armed,
    queued: Queued,
}

/// How a receive is armed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Form {
    class: Class,
    multishot: bool,
}

impl<H: Head> Inbox<H> {
    pub(super) fn new(undelivered_max: usize) -> Self {
        Self {
            state: RefCell::new(State {
                messages: VecDeque::new(),
                bytes: 0,
                error: None,
                account: None,
                armed: Armed::default(),
                queued: Queued::default(),
            }),
            waiting: Waiting::default(),
            undelivered_max,
            payload_max: Cell::new(None),
            brought: Cell::new(0),
        }
    }

    /// How many messages the kernel has brought, going round.
    pub(crate) fn brought(&self) -> u32 {
        self.brought.get()
    }

    /// The next message, without waiting. `None` if there is none.
    #[inline(always)]
    pub(crate) fn try_take(&self) -> Option<io::Result<Message<H>>> {
        self.state.borrow_mut().take()
    }

    /// A message that was taken and those behind it, at most `max` in all, each made a `T`. An error stays.
    #[inline]
    pub(crate) fn batch<T>(
        &self,
        first: Message<H>,
        max: usize,
        make: impl Fn(Message<H>) -> T,
    ) -> Vec<T> {
        let mut state = self.state.borrow_mut();
        let State { messages, bytes, .. } = &mut *state;
        let count = messages.len().min(max.saturating_sub(1));
        let mut batch = Vec::with_capacity(count + 1);
        batch.push(make(first));
        batch.extend(messages.drain(..count).map(|message| {
            *bytes -= message.cost();
            make(message)
        }));
        batch
    }

    /// Shows the next message without taking it.
    pub(crate) fn peek<T>(&self, look: impl FnOnce(&Message<H>) -> T) -> Option<io::Result<T>> {
        let state = self.state.borrow();
        match (state.messages.front(), state.error) {
            (Some(message), _) => Some(Ok(look(message))),
            (None, Some(code)) => Some(Err(io::Error::from_raw_os_error(code))),
            (None, None) => None,
        }
    }

    /// Payloads of up to so many bytes are expected. Takes effect with the next receive; what is armed is cancelled.
    pub(crate) fn expect(&self, payload_max: Option<usize>, driver: &Driver) {
        self.payload_max.set(payload_max);
        self.state.borrow_mut().armed.recall(driver);
    }

    /// Ends the receive: the socket is being dropped. What was not taken is lost with it.
    pub(crate) fn close(&self, driver: &Driver) {
        let mut state = self.state.borrow_mut();
        let messages = std::mem::take(&mut state.messages);
        let armed = state.armed.key();
        state.bytes = 0;
        drop(state);
        armed.into_iter().for_each(|key| driver.abandon(key));
        self.waiting.dismiss(driver);
        drop(messages);
    }

    /// Cancels the receive and resolves once the kernel no longer holds it. No message that arrived is lost.
    pub(crate) fn poll_disarmed(&self, driver: &Driver, cx: &Context<'_>) -> Poll<()> {
        // First: the clone of a waker may panic.
        if !self.state.borrow_mut().armed.recall(driver) {
            return Poll::Ready(());
        }
        self.waiting.wait_as_task(cx);
        Poll::Pending
    }

    /// Which buffers, and whether one receive is for many messages: it has to hold the head beside the payload.
    fn form(&self, driver: &Driver) -> io::Result<Form> {
        let (pool, multishot) = (driver.pool()?, driver.features().multishot_receive);
        let overhead = message::HEADER + H::NAME_MAX + H::CONTROL_MAX;
        let room = |class, overhead| (pool.size(class) as usize).saturating_sub(overhead);
        let Some(payload_max) = self.payload_max.get() else {
            return Ok(Form { class: Class::Large, multishot });
        };
        let fits = |&(class, multishot): &(Class, bool)| {
            payload_max <= room(class, if multishot { overhead } else { 0 })
        };
        let forms = [(Class::Small, multishot), (Class::Large, multishot)];
        let (class, multishot) = forms.into_iter().find(fits).unwrap_or((Class::Large, false));
        Ok(Form { class, multishot })
    }
}

impl<H: Head> State<H> {
    #[inline(always)]
    fn take(&mut self) -> Option<io::Result<Message<H>>> {
        if let Some(message) = self.messages.pop_front() {
            self.bytes -= message.cost();
            return Some(Ok(message));
        }
        self.error.take().map(|code| Err(io::Error::from_raw_os_error(code)))
    }
}

/// A place among the readers of a socket. Dropped, it leaves nothing behind but the receive that it armed.
#[derive(Debug)]
pub(crate) struct Receiving<'a, H: Head> {
    endpoint: &'a Rc<Endpoint<H>>,
    id: Id,
}

impl<'a, H: Head> Receiving<'a, H> {
    #[inline]
    pub(crate) fn new(endpoint: &'a Rc<Endpoint<H>>) -> Self {
        Self { endpoint, id: 0 }
    }

    /// Takes a message, or arms the receive if need be and waits.
    #[inline(always)]
    pub(crate) fn poll_take(&mut self, cx: &Context<'_>) -> Poll<io::Result<Message<H>>> {
        if let Some(taken) = self.endpoint.inbox.try_take() {
            return Poll::Ready(taken);
        }
        match self.wait(cx) {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// Resolves once there is something to take: a message or an error.
    pub(crate) fn poll_ready(&mut self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        let state = self.endpoint.inbox.state.borrow();
        if !state.messages.is_empty() || state.error.is_some() {
            return Poll::Ready(Ok(()));
        }
        drop(state);
        match self.wait(cx) {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    #[inline(never)]
    fn wait(&mut self, cx: &Context<'_>) -> io::Result<()> {
        let inbox = &self.endpoint.inbox;
        let mut state = inbox.state.borrow_mut();
        if !state.armed.is_armed() {
            if state.queued.is_due(self.endpoint.fd.driver()) {
                drop(state);
                if self.wait_for_a_buffer(cx) {
                    return Ok(());
                }
                state = inbox.state.borrow_mut();
            }
            if !state.armed.is_armed() {
                arm(self.endpoint, &mut state)?;
            }
        }
        drop(state);
        inbox.waiting.wait(&mut self.id, cx);
        Ok(())
    }

    #[inline(never)]
    fn leave(&self) {
        let Endpoint { fd, inbox, .. } = &**self.endpoint;
        inbox.waiting.leave(self.id);
        let queued = inbox.state.borrow().queued.leave(fd.driver(), self.id);
        drop(queued);
    }

    /// Waits in the socket's place in the queue for a buffer, or in a new one; false if that place had its turn.
    #[cold]
    fn wait_for_a_buffer(&mut self, cx: &Context<'_>) -> bool {
        let waker = cx.waker().clone();
        let inbox = &self.endpoint.inbox;
        inbox.waiting.enroll(&mut self.id);
        let mut state = inbox.state.borrow_mut();
        let joined = state.queued.join(self.endpoint.fd.driver(), self.id, waker);
        drop(state);
        joined.is_ok()
    }
}

impl<H: Head> Drop for Receiving<'_, H> {
    #[inline]
    fn drop(&mut self) {
        if self.id != 0 {
            self.leave();
        }
    }
}

/// Arms the receive unless it is armed or there is something to take.
pub(crate) fn ensure_armed<H: Head>(endpoint: &Rc<Endpoint<H>>) -> io::Result<()> {
    let mut state = endpoint.inbox.state.borrow_mut();
    if state.armed.is_armed() || !state.messages.is_empty() || state.error.is_some() {
        return Ok(());
    }
    arm(endpoint, &mut state)
}

fn arm<H: Head>(endpoint: &Rc<Endpoint<H>>, state: &mut State<H>) -> io::Result<()> {
    let driver = endpoint.fd.driver();
    if state.account.is_none() {
        state.account = Some(Account::of_messages(Rc::clone(driver.pool()?)));
    }
    let form = endpoint.inbox.form(driver)?;
    state.queued.end();
    let demand = Demand::new(driver.pool()?, form.class, AT_ONCE);
    let receive = ReceiveMessage::new(Rc::clone(endpoint), form, demand);
    state.armed = Armed::under(driver.stand(receive).map_err(|_| gone())?);
    Ok(())
}

struct ReceiveMessage<H: Head> {
    endpoint: Rc<Endpoint<H>>,
    form: Form,
    header: Box<libc::msghdr>,
    /// For the name and control data of a message at a time; empty where they lie in the buffer.
    room: Box<[u8]>,
    _demand: Demand,
}

impl<H: Head> ReceiveMessage<H> {
    fn new(endpoint: Rc<Endpoint<H>>, form: Form, demand: Demand) -> Self {
        // SAFETY: a `msghdr` of zeroes is valid: null pointers and lengths of zero.
        let header = unsafe { MaybeUninit::<libc::msghdr>::zeroed().assume_init() };
        let room = if form.multishot { 0 } else { H::NAME_MAX + H::CONTROL_MAX };
        Self {
            endpoint,
            form,
            header: Box::new(header),
            room: vec![0; room].into_boxed_slice(),
            _demand: demand,
        }
    }
}

// SAFETY: rule 1.
unsafe impl<H: Head> Standing for ReceiveMessage<H> {
    const KIND: &'static str = "receive message";

    fn prepare(&mut self) -> Sqe {
        let target = self.endpoint.fd.target();
        let group = self.form.class.group();
        self.header.msg_namelen = H::NAME_MAX as libc::socklen_t;
        self.header.msg_controllen = H::CONTROL_MAX;
        let flags = libc::MSG_CMSG_CLOEXEC.cast_unsigned();
        if self.form.multishot {
            let header = &raw const *self.header;
            return opcode::RecvMsgMulti::new(target, header, group).flags(flags).build();
        }
        let (name, control) = self.room.split_at_mut(H::NAME_MAX);
        self.header.msg_name = name.as_mut_ptr().cast();
        self.header.msg_control = control.as_mut_ptr().cast();
        // No vector of buffers: as many bytes as the picked one holds.
        opcode::RecvMsg::new(target, &raw mut *self.header)
            .buf_group(group)
            .ioprio(POLL_FIRST)
            .flags(flags)
            .build()
            .flags(Flags::BUFFER_SELECT)
    }

    fn deliver(&mut self, cqe: Cqe, actions: &mut Actions) {
        let mut state = self.endpoint.inbox.state.borrow_mut();
        let state = &mut *state;
        match u32::try_from(cqe.result) {
            Ok(len) => self.arrived(state, cqe, len),
            Err(_) => self.failed(state, cqe),
        }
        if state.armed.goes_on(cqe) && state.bytes >= self.endpoint.inbox.undelivered_max {
            state.armed.stop(actions);
        }
        let waiting = &self.endpoint.inbox.waiting;
        if cqe.result == -libc::ENOBUFS {
            state.queued.found_none(waiting.take(), actions);
        } else {
            // All of them: the one that takes the message is the first that is polled, and some may be gone.
            waiting.wake(actions);
        }
    }
}

impl<H: Head> ReceiveMessage<H> {
    #[inline]
    fn arrived(&self, state: &mut State<H>, cqe: Cqe, len: u32) {
        let payload = match (cqe.buffer(), &state.account) {
            (Some(bid), Some(account)) => account.chunk(self.form.class, bid, len),
            // An empty message at a time: the kernel keeps the buffer.
            _ if len == 0 => Some(Chunk::from(Box::from([]))),
            _ => None,
        };
        let Some(mut payload) = payload else {
            return;
        };
        let head = if self.form.multishot {
            let Some(received) = message::split(&payload, H::NAME_MAX, H::CONTROL_MAX) else {
                return;
            };
            // SAFETY: rule 2.
            let head = unsafe { H::read(&received, self.endpoint.fd.driver()) };
            payload.advance(message::HEADER + H::NAME_MAX + H::CONTROL_MAX);
            head
        } else {
            self.head()
        };
        let brought = &self.endpoint.inbox.brought;
        brought.set(brought.get().wrapping_add(1));
        let message = Message { head, payload };
        state.bytes += message.cost();
        state.messages.push_back(message);
    }

    /// What came beside the one message.
    fn head(&self) -> H {
        let (name, control) = self.room.split_at(H::NAME_MAX);
        let name = &name[..(self.header.msg_namelen as usize).min(name.len())];
        let control = &control[..self.header.msg_controllen.min(control.len())];
        let received = Received { name, control, flags: self.header.msg_flags, stays: false };
        // SAFETY: rule 2.
        unsafe { H::read(&received, self.endpoint.fd.driver()) }
    }

    #[cold]
    fn failed(&self, state: &mut State<H>, cqe: Cqe) {
        if !is_passing(-cqe.result) {
            state.error = Some(-cqe.result);
        }
        if let (Some(bid), Some(account)) = (cqe.buffer(), &state.account) {
            account.refuse(self.form.class, bid);
        }
    }
}
