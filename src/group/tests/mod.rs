//! Small schedules, all of them: every order in which children end, every way, and a drop at every step.

mod macros;
mod reentry;
mod schedules;
mod stage;
mod token;
mod waits;
