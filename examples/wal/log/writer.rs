//! The one task that writes: it takes all that waits, writes it at once, and then tells all who waited.

use std::io;
use std::path::PathBuf;

use annulus::buf::AlignedBuf;
use annulus::spawn;
use annulus::sync::{mpsc, oneshot};
use annulus::task::JoinHandle;

use super::Settings;
use super::record::{self, BLOCK, HEAD};
use super::segment::{Segment, Spare};

/// What is written at once at most.
pub(crate) const COMMIT_MAX: usize = 256 * 1024;
/// How many appends are taken at once at most.
const GROUP_MAX: usize = 1024;

/// A record that is to be written, and who waits for it.
pub(crate) struct Append {
    pub(crate) payload: Vec<u8>,
    pub(crate) written: oneshot::Sender<io::Result<u64>>,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) records: u64,
    pub(crate) commits: u64,
    /// Of the records, with their heads.
    pub(crate) record_bytes: u64,
    /// With what fills up the blocks.
    pub(crate) written_bytes: u64,
    pub(crate) segments: u64,
    /// Whether it was written past the page cache.
    pub(crate) direct: bool,
}

pub(crate) struct Writer {
    dir: PathBuf,
    segment: Segment,
    settings: Settings,
    /// The segment after this one, in the making.
    spare: JoinHandle<io::Result<Spare>>,
    /// The index of the next record.
    next: u64,
    buf: AlignedBuf,
    /// Who waits for the records in `buf`.
    waiting: Vec<(u64, oneshot::Sender<io::Result<u64>>)>,
    totals: Totals,
}

impl Writer {
    /// Begins a new segment, with this number and first record.
    pub(crate) async fn begin(
        dir: PathBuf,
        settings: Settings,
        number: u64,
        next: u64,
    ) -> io::Result<Self> {
        let segment = Spare::make(dir.clone(), settings).await?.begin(&dir, number, next).await?;
        let spare = spawn(Spare::make(dir.clone(), settings));
        let buf = AlignedBuf::new(COMMIT_MAX, BLOCK);
        let totals = Totals { segments: 1, direct: segment.is_direct(), ..Totals::default() };
        let waiting = Vec::new();
        Ok(Self { dir, segment, settings, spare, next, buf, waiting, totals })
    }

    /// Writes what is appended until nobody is left who can append. After the first error nothing more is written: it
    /// is not known what the disk has, and a commit behind a torn one would not be found again.
    pub(crate) async fn run(mut self, mut appends: mpsc::Receiver<Append>) -> io::Result<Totals> {
        let mut group = Vec::new();
        loop {
            if appends.recv_many(&mut group, GROUP_MAX).await == 0 {
                self.segment.close().await?;
                self.spare.abort();
                return Ok(self.totals);
            }
            if let Err(error) = self.write(&mut group).await {
                // Those behind them find the queue gone.
                for (_, written) in self.waiting.drain(..) {
                    let _nobody_waits = written.send(Err(again(&error)));
                }
                return Err(error);
            }
        }
    }

    /// Writes a group, in as few commits as its size allows.
    async fn write(&mut self, group: &mut Vec<Append>) -> io::Result<()> {
        for append in group.drain(..) {
            let (_, end) = record::place(self.buf.len(), append.payload.len());
            if end > self.commit_max() {
                self.commit().await?;
            }
            // A record fits into a commit of its own, in this segment or the next.
            let (_, end) = record::place(0, append.payload.len());
            if end > self.commit_max() {
                self.rotate().await?;
            }
            self.put(append);
        }
        self.commit().await
    }

    fn commit_max(&self) -> usize {
        usize::try_from(self.segment.room()).map_or(COMMIT_MAX, |room| room.min(COMMIT_MAX))
    }

    fn put(&mut self, append: Append) {
        let Append { payload, written } = append;
        let (gap, _) = record::place(self.buf.len(), payload.len());
        self.buf.resize(self.buf.len() + gap, 0);
        self.buf.extend_from_slice(&record::head(self.segment.number(), self.next, &payload));
        self.buf.extend_from_slice(&payload);
        self.waiting.push((self.next, written));
        self.next += 1;
        self.totals.records += 1;
        self.totals.record_bytes += (HEAD + payload.len()) as u64;
    }

    /// Writes what is gathered, whole blocks, once, and tells who waits for it.
    async fn commit(&mut self) -> io::Result<()> {
        if self.buf.is_empty() {
            return Ok(());
        }
        self.buf.resize(self.buf.len().next_multiple_of(BLOCK), 0);
        self.totals.commits += 1;
        self.totals.written_bytes += self.buf.len() as u64;
        let blocks = std::mem::replace(&mut self.buf, AlignedBuf::new(0, BLOCK));
        self.buf = self.segment.append(blocks).await?;
        self.buf.clear();
        for (index, written) in self.waiting.drain(..) {
            let _nobody_waits = written.send(Ok(index));
        }
        Ok(())
    }

    /// Goes on in the next segment.
    async fn rotate(&mut self) -> io::Result<()> {
        let spare = (&mut self.spare).await.map_err(io::Error::other)??;
        self.segment = spare.begin(&self.dir, self.segment.number() + 1, self.next).await?;
        self.spare = spawn(Spare::make(self.dir.clone(), self.settings));
        self.totals.segments += 1;
        Ok(())
    }
}

/// The same error, for one more who waits.
fn again(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), error.to_string())
}
