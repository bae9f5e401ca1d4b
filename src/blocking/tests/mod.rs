//! The queue, the tickets and the threads; under loom, the hand-over.

#[cfg(loom)]
mod models;
#[cfg(not(loom))]
mod queue;
