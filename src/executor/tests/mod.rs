//! Tests of tasks and their executor: every counter is looked at after every step.

#[cfg(not(loom))]
mod budget;
#[cfg(not(loom))]
mod life;
#[cfg(loom)]
mod models;
#[cfg(not(loom))]
mod panics;
#[cfg(not(loom))]
mod probe;
#[cfg(not(loom))]
mod product;
#[cfg(not(loom))]
mod root;
#[cfg(not(loom))]
mod shutdown;
#[cfg(not(loom))]
mod threads;
