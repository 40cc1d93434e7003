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
use crate::{
    bindings,
    dm::{Bio, MapResult, Target},
};
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
    /// also one of whoever opens the file after that, unless the caller is being killed.
    /// (Overlayfs looks at no errors but those of the file below: who opens it after that is
    /// not told there.) May sleep.
    pub(crate) fn sync(&self) -> Result {
        // Device-mapper waits for this with I/O of the device stopped.
        let _reclaim = ReclaimGuard::enter();
        // Not by the file of the flushes, which would have been told then. This one may have
        // been told before, for a durable write.
        let synced = self.data.sync();
        let result = synced.and_then(|()| self.other.file().pending_error());
        result.inspect_err(|&error| {
            // SAFETY: no precondition; it concerns the calling task.
            if !unsafe { bindings::dm_loop_fatal_signal_pending() } {
                self.file().fail_next_sync(error);
            }
        })
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
