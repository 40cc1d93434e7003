// SPDX-License-Identifier: GPL-2.0

//! Bios done to a file by worker threads.
//!
//! Reads and writes have one queue, what may take long another: a flush waits for
//! nothing that is behind it, and nothing waits for a flush.
//!
//! Errors of writeback are told to each opener of a file, once. So flushes have the file
//! opened for themselves: a durable write of somebody else must not take theirs away.

use super::{
    file::BackingFile,
    lane::Lane,
    reclaim::ReclaimGuard,
    request::{ByteRange, Job, Request},
};
use crate::dm::{Bio, MapResult, Target};
use kernel::prelude::*;

/// The queues of a file.
///
/// The fields are dropped in this order: `other` outlives `data`.
#[pin_data]
pub(crate) struct FileIo {
    #[pin]
    data: Lane,
    #[pin]
    other: Lane,
}

/// What a bio carries while it is in a queue.
pub(crate) type PerBio = Request;

impl FileIo {
    /// Queues for `file`, which must be readable, and writable if it is to be written, and
    /// `reopened`, which is the same once more; `direct` if the page cache is to be left
    /// alone.
    pub(crate) fn new(
        file: BackingFile,
        reopened: BackingFile,
        direct: bool,
    ) -> impl PinInit<Self> {
        pin_init!(Self {
            data <- Lane::new(file, direct),
            other <- Lane::new(reopened, direct),
        })
    }

    /// The file.
    pub(crate) fn file(&self) -> &BackingFile {
        self.data.file()
    }

    /// Whether the page cache is left alone.
    pub(crate) fn direct(&self) -> bool {
        self.data.direct()
    }

    /// Whether pages must not change while they are written: they go to the disk as they are,
    /// and it keeps checksums, for example.
    pub(crate) fn needs_stable_pages(&self) -> bool {
        self.direct() && self.file().real_inode().needs_stable_pages()
    }

    /// How many bios have been submitted and not ended.
    pub(crate) fn in_flight(&self) -> usize {
        self.data.in_flight().saturating_add(self.other.in_flight())
    }

    /// How many bios have failed.
    pub(crate) fn failed(&self) -> u64 {
        self.data.failed().saturating_add(self.other.failed())
    }

    /// Brings what was written to stable storage; if that fails, the next flush fails too,
    /// also one of whoever opens the file after that. May sleep.
    pub(crate) fn sync(&self) -> Result {
        // Device-mapper waits for this with I/O of the device stopped.
        let _reclaim = ReclaimGuard::enter();
        // By the file of the flushes, for which that is news of which only a durable write was
        // told. What it is told here, it is to be told again; whatever it is: who is killed
        // may be told of lost data as well.
        let file = self.other.file();
        let failed = |&error: &Error| file.real_inode().fail_next_sync(error);
        self.other.sync().inspect_err(failed)
    }

    /// If the next flush is to fail, for what is known to be lost, has that of whoever opens
    /// the file after that, fail too. (Overlayfs does not tell what is known.) In any context.
    pub(crate) fn pass_on_error(&self) {
        let file = self.other.file();
        if let Err(error) = file.pending_error() {
            file.real_inode().fail_next_sync(error);
        }
    }

    /// Has a worker do `job` for `bio`. Never sleeps, allocates nothing.
    pub(crate) fn submit(
        &self,
        target: Target<'_>,
        bio: Bio<'_>,
        job: Job,
        range: ByteRange,
    ) -> MapResult {
        let (lane, sync_in) = match job {
            Job::Write { durable: true } => (&self.data, Some(&self.other)),
            Job::Read | Job::Write { durable: false } => (&self.data, None),
            Job::Flush | Job::Discard | Job::WriteZeroes { .. } => (&self.other, None),
        };
        // SAFETY: `other` is dropped after `data`.
        unsafe { lane.submit(sync_in, target, bio, job, range) }
    }
}
