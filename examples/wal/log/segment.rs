//! A segment: a file of one size, zeroes at first, that is written from its begin to its end and never again.
//!
//! It is made beside the log, under another name, while the one before it is filled, so a commit changes neither the
//! length of a file nor where its bytes lie: the disk has to keep the bytes and nothing else. Its head is on the disk
//! before it gets its name, and the name before the first record is written.

use std::io;
use std::path::{Path, PathBuf};

use annulus::buf::AlignedBuf;
use annulus::fs::{self, Dir, DirectFile, File};

use super::Settings;
use super::record::{self, BLOCK, HEAD, PAYLOAD_MAX};

/// Where a segment is made.
const SPARE: &str = "spare.tmp";
/// The smallest one: its head, and room for the longest record.
const SIZE_MIN: u64 = (BLOCK + (HEAD + PAYLOAD_MAX).next_multiple_of(BLOCK)) as u64;
/// What the making of a segment writes at once.
const ZEROES: usize = 256 * 1024;

/// The file of a segment, and how it is written.
enum Storage {
    /// Past the page cache.
    Direct(DirectFile),
    /// The file system has no direct I/O of this block.
    Buffered(File),
}

/// A segment that is zeroes throughout and has no name yet.
pub(crate) struct Spare {
    storage: Storage,
    size: u64,
}

/// The segment that is written.
pub(crate) struct Segment {
    storage: Storage,
    number: u64,
    size: u64,
    /// Where the next block goes.
    end: u64,
}

/// The path of a segment.
pub(crate) fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:016}.wal"))
}

/// The number of a segment, if the name is one.
pub(crate) fn number(name: &str) -> Option<u64> {
    name.strip_suffix(".wal")?.parse().ok()
}

impl Storage {
    /// A new file, without direct I/O where there is none.
    async fn create(path: &Path, direct: bool) -> io::Result<Self> {
        if !direct {
            return File::create(path).await.map(Self::Buffered);
        }
        match DirectFile::create(path).await {
            Ok(file) if file.alignment().offset <= BLOCK && file.alignment().memory <= BLOCK => {
                Ok(Self::Direct(file))
            }
            Ok(_) => File::create(path).await.map(Self::Buffered),
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                File::create(path).await.map(Self::Buffered)
            }
            Err(error) => Err(error),
        }
    }

    /// Writes whole blocks; when it ends they will be there after a loss of power.
    async fn write_durable(&self, blocks: AlignedBuf, offset: u64) -> io::Result<AlignedBuf> {
        match self {
            Self::Direct(file) => Ok(file.write_all_durable_at(blocks, offset).await?),
            Self::Buffered(file) => Ok(file.write_all_durable_at(blocks, offset).await?),
        }
    }

    /// Fills the file with zeroes and waits until they and its length are on the disk.
    async fn fill(&self, size: u64) -> io::Result<()> {
        let mut zeroes = AlignedBuf::zeroed(ZEROES.min(size as usize), BLOCK);
        let mut offset = 0;
        while offset < size {
            zeroes.truncate((size - offset).min(ZEROES as u64) as usize);
            let count = zeroes.len() as u64;
            zeroes = match self {
                Self::Direct(file) => file.write_all_at(zeroes, offset).await?,
                Self::Buffered(file) => file.write_all_at(zeroes, offset).await?,
            };
            offset += count;
        }
        match self {
            Self::Direct(file) => file.sync_all().await,
            Self::Buffered(file) => file.sync_all().await,
        }
    }
}

impl Spare {
    /// Makes a segment. What an interrupted making left is overwritten.
    pub(crate) async fn make(dir: PathBuf, settings: Settings) -> io::Result<Self> {
        let Settings { segment_size, direct } = settings;
        let size = segment_size.max(SIZE_MIN).next_multiple_of(BLOCK as u64);
        let storage = Storage::create(&dir.join(SPARE), direct).await?;
        storage.fill(size).await?;
        Ok(Self { storage, size })
    }

    /// Makes it the segment of this number, which begins with record `first`.
    pub(crate) async fn begin(self, dir: &Path, number: u64, first: u64) -> io::Result<Segment> {
        let Self { storage, size } = self;
        let mut head = AlignedBuf::new(BLOCK, BLOCK);
        head.extend_from_slice(&record::segment_head(number, first));
        storage.write_durable(head, 0).await?;
        fs::rename(dir.join(SPARE), path(dir, number)).await?;
        Dir::open(dir).await?.sync_all().await?;
        Ok(Segment { storage, number, size, end: BLOCK as u64 })
    }
}

impl Segment {
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// How many bytes there is room for.
    pub(crate) fn room(&self) -> u64 {
        self.size - self.end
    }

    /// Whether it is written past the page cache.
    pub(crate) fn is_direct(&self) -> bool {
        matches!(self.storage, Storage::Direct(_))
    }

    /// Writes whole blocks behind the others; they last when it ends. After an error it is not known what was written,
    /// so nothing may be written behind it.
    pub(crate) async fn append(&mut self, blocks: AlignedBuf) -> io::Result<AlignedBuf> {
        let count = blocks.len() as u64;
        let blocks = self.storage.write_durable(blocks, self.end).await?;
        self.end += count;
        Ok(blocks)
    }

    pub(crate) async fn close(self) -> io::Result<()> {
        match self.storage {
            Storage::Direct(file) => file.close().await,
            Storage::Buffered(file) => file.close().await,
        }
    }
}
