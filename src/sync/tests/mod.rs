//! The tests of the room: every schedule of a few tasks against a model, and what each thing says of itself.

mod condvars;
mod locks;
mod schedules;
mod signals;
mod waiting;
