//! Files on the ring, with std's names.
//!
//! Buffers move into operations and come back with the result, also with an error. Several tasks can use one [`File`]
//! at once. What the kernel can only do in a thread of its own, it does there; nothing here blocks the loop.
//!
//! # What a dropped future does
//!
//! Before the loop turned, nothing happens. Afterwards:
//!
//! | method | if its future is dropped before it is done |
//! | --- | --- |
//! | `File::read_at`, `read_exact_at`, `read_vectored_at` | the read is cancelled; its buffer is dropped when the kernel is done with it |
//! | `File::write_at`, `write_durable_at`, `write_vectored_at` | the write happens all the same; if it fails, the next write, sync or close says so |
//! | `File::write_all_at`, `write_all_durable_at`, `write_all_vectored_at` | as `write_at`; what was not under way is not written |
//! | `DirectFile::read_at`, `read_exact_at`, `read_vectored_at` | as those of `File`; what waits for others to end is taken back |
//! | `DirectFile::write_at`, `write_durable_at`, their `_all` forms, and `write_vectored_at` | as those of `File`; what waits for others to end is taken back, and never written |
//! | `File::read`, `read_exact`, `read_to_end` | the position is behind what was copied into the caller's memory: nothing is lost |
//! | `File::write`, `write_all` | as `write_at`; the next use of the position goes on behind what was written |
//! | `File::sync_all`, `sync_data`, `sync_range`, `allocate` | it happens all the same; if it fails, the next write, sync or close says so |
//! | `File::set_len`, `set_permissions`, `set_times`, `set_modified`, `set_xattr`, `remove_xattr`, `fchown` | as `sync_all`, unless it still waited for a place in the queue of the pool |
//! | `File::flush`, `metadata`, `advise`, `seek`, `rewind`, `stream_position`, `DirectFile::size` | nothing |
//! | `File::lock`, `lock_shared` | the lock is not taken |
//! | `File::open`, `create`, `create_new`, `OpenOptions::open` | what was opened is closed; a file may have been made or emptied |
//! | `DirectFile::open`, `create`, `from_std`, `OpenOptions::open_direct` | as those of `File`; what was taken over is closed |
//! | the rest of `DirectFile` | as the method of that name of `File` |
//! | `File::close` | the file is closed |
//! | `File::into_std` | the file is closed |
//! | `read`, `read_to_string`, `metadata`, `symlink_metadata`, `exists`, `try_exists`, `read_link`, `canonicalize`, `xattr::get`, `list`, `File::xattr`, `xattrs`, those of `Dir`, `Dir::dir_metadata`, `DirEntry::file_type` | nothing |
//! | `write`, `copy`, `copy_with` | the new file has a part of the content |
//! | `remove_file`, `remove_dir`, `create_dir`, `rename`, `hard_link`, `symlink`, and those of `Dir` | it happens all the same, and its error is lost |
//! | `create_dir_all`, `DirBuilder::create`, `Dir::create_dir_with` | as `create_dir`; a part may have been made |
//! | `remove_dir_all`, `set_permissions`, `chown`, `lchown`, those of `Dir`, `xattr::set`, `remove` | it may happen all the same, and its error is lost |
//! | `read_dir`, `Dir::open`, `open_dir`, `open_file`, `open_with` | what was opened is closed |
//! | `ReadDir::next_entry`, `next_batch`, `Chunks::next` | nothing is lost |
//! | `File::send_to`, `receive_from` | how much was sent is not known; what was taken from the stream is written |
//! | `WriteBehind::write` | the buffer is dropped, not written, if it still waited for room; those before it are written |
//! | `WriteBehind::finish` | what is under way is written; if it fails, the next write, sync or close says so |
//!
//! [`sync_all`](File::sync_all), `sync_data`, `sync_range`, `flush`, `close`, `into_std` and the methods with a
//! position wait for what dropped futures left under way. A future that is leaked (`mem::forget`) leaks its memory, is
//! not waited for, and its file cannot be closed with [`close`](File::close).
//!
//! # Which way each takes
//!
//! The cheapest of those that cannot hold up the loop, on Linux 6.1 and on what is newer:
//!
//! | what | way | why |
//! | --- | --- | --- |
//! | reads, writes | the ring | what is cached is read in the call that submits it; a disk is waited for by the kernel |
//! | `open`, `metadata`, `symlink_metadata`, `exists`, `rename`, `remove_file`, `remove_dir`, `create_dir`, `hard_link`, `symlink`, those of `Dir`, `File::metadata`, `sync_all`, `sync_data`, `sync_range`, `allocate`, `advise`, `close` | the ring | the kernel does in a thread of its own what may wait, 5 to 8 us; many share a call, and no thread of ours wakes: a job on the pool costs 10 us and more. In place each would wait for a cold disk, a journal or a network |
//! | `read`, `read_to_string`, `write`, `create_dir_all`, `DirBuilder::create`, `copy` where the kernel does not copy | the ring | they are rows of the above |
//! | `copy` | the pool, 16 MiB a job | `copy_file_range(2)` moves no byte through our memory, and is no operation |
//! | `read_dir` | the pool, 32 KiB of entries a job | the ring has no operation for it |
//! | `canonicalize`, `read_link`, `set_permissions`, `chown`, `lchown`, `fchown`, `File::set_len`, `set_permissions`, `set_times` | the pool | the ring has no operation for it (for the length, not on Linux 6.1), and the call may wait for a disk or a journal |
//! | `remove_dir_all` | the pool, one job | a long row of short calls, each of which waits for the one before |
//! | `xattr` | the pool | the ring has operations for two of four, and these go to a thread of the kernel's |
//! | `File::lock`, `lock_shared` | plain calls that do not wait, again after a pause | a lock may be waited for for ever, which would keep a thread |
//! | `try_lock`, `unlock`, `try_clone`, `seek` to the begin or the position | plain calls | they touch memory alone |

mod alignment;
mod at;
mod attributes;
mod chunks;
mod contents;
mod copy;
mod cursor;
mod dir;
mod dir_builder;
mod direct;
mod direct_at;
mod error;
mod file;
mod lock;
mod metadata;
mod operating;
mod options;
mod paths;
mod read_dir;
mod registered;
mod sockets;
mod start;
mod transfer;
mod whole;
mod write_behind;
pub mod xattr;

pub use alignment::Alignment;
pub use chunks::Chunks;
pub use contents::{Advice, Allocation};
pub use copy::{copy, copy_with};
pub use dir::Dir;
pub use dir_builder::DirBuilder;
pub use direct::DirectFile;
pub use error::TransferError;
pub use file::File;
pub use lock::TryLockError;
pub use metadata::{FileType, Metadata};
pub use options::OpenOptions;
pub use paths::{
    canonicalize, chown, create_dir, create_dir_all, exists, fchown, hard_link, lchown, metadata,
    read_link, remove_dir, remove_dir_all, remove_file, rename, set_permissions, symlink,
    symlink_metadata, try_exists,
};
pub use read_dir::{DirEntry, ReadDir, read_dir};
pub use registered::RegisteredPool;
pub use sockets::ByteStream;
pub use whole::{read, read_to_string, write};
pub use write_behind::WriteBehind;
