//! The end that messages come out of.

crate::channel::receiver::receiver!("spsc", "mut ");
