//! Bridges to the traits of other crates, each behind a feature of its own.
//!
//! | feature | traits | of |
//! | --- | --- | --- |
//! | `futures` | `Stream` | [`mpsc::Receiver`](crate::sync::mpsc::Receiver), [`JoinSet`](crate::task::JoinSet), [`AsCompleted`](crate::task::AsCompleted), [`Interval`](crate::time::Interval), [`Signal`](crate::signal::Signal), [`Lines`](crate::io::Lines), [`Split`](crate::io::Split), [`FrameReader`](crate::io::FrameReader), [`ReadDir`](crate::fs::ReadDir), [`Chunks`](crate::fs::Chunks) |

#[cfg(feature = "futures")]
mod stream;
