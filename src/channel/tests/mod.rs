//! Rings, lines and their ends: in every order under loom, step by step otherwise.

#[cfg(loom)]
mod models;
#[cfg(not(loom))]
mod steps;
