// SPDX-License-Identifier: GPL-2.0

//! Bios done to a file by worker threads.
//!
//! Reads and writes have one queue, what may take long another: a flush waits for
//! nothing that is behind it, and nothing waits for a flush.

use super::{
    file::BackingFile,
    lane::Lane,
    request::{ByteRange, Job, Request},
};
use crate::{
    bindings,
    dm::{Bio, MapResult, Target},
};
use kernel::prelude::*;

/// The queues of a file.
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
    /// Queues for `file`, which must be readable, and writable if it is to be written;
    /// `direct` if the page cache is to be left alone.
    pub(crate) fn new(file: BackingFile, direct: bool) -> impl PinInit<Self> {
        let clone = file.clone();
        pin_init!(Self {
            data <- Lane::new(file, direct),
            other <- Lane::new(clone, direct),
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
        // SAFETY: an open file.
        self.direct() && unsafe { bindings::dm_loop_file_stable_writes(self.file().as_raw()) }
    }

    /// How many bios have been submitted and not ended.
    pub(crate) fn in_flight(&self) -> usize {
        self.data.in_flight().saturating_add(self.other.in_flight())
    }

    /// How many bios have failed.
    pub(crate) fn failed(&self) -> u64 {
        self.data.failed().saturating_add(self.other.failed())
    }

    /// Has a worker do `job` for `bio`. Never sleeps, allocates nothing.
    pub(crate) fn submit(
        &self,
        target: Target<'_>,
        bio: Bio<'_>,
        job: Job,
        range: ByteRange,
    ) -> MapResult {
        let lane = match job {
            Job::Read | Job::Write { .. } => &self.data,
            Job::Flush | Job::Discard | Job::WriteZeroes { .. } => &self.other,
        };
        lane.submit(target, bio, job, range)
    }
}
