//! The tests of the room: every schedule of a few tasks against a model, and what each thing says of itself.

mod channels;
mod condvars;
mod locks;
mod queues;
mod schedules;
mod signals;
mod waiting;
