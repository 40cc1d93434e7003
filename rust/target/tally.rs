// SPDX-License-Identifier: GPL-2.0

//! What happens to a target that the block layer does not count.

use core::sync::atomic::{AtomicU64, Ordering};

/// Counts since the target was made. None of them is written for a bio that goes to its
/// place whole.
#[derive(Default)]
pub(super) struct Tally {
    flushes: AtomicU64,
    splits: AtomicU64,
    failed: AtomicU64,
}

impl Tally {
    /// A flush has come.
    pub(super) fn flush(&self) {
        self.flushes.fetch_add(1, Ordering::Relaxed);
    }

    /// A bio was split at the end of an extent.
    pub(super) fn split(&self) {
        self.splits.fetch_add(1, Ordering::Relaxed);
    }

    /// A bio has failed without getting further.
    pub(super) fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// Flushes, splits, failed bios.
    pub(super) fn get(&self) -> [u64; 3] {
        [&self.flushes, &self.splits, &self.failed].map(|count| count.load(Ordering::Relaxed))
    }
}
