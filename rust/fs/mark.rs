// SPDX-License-Identifier: GPL-2.0

//! `S_SWAPFILE`, and a page cache that agrees with the device.
//!
//! C source: `claim_swapfile()` and `sys_swapoff()` of
//! [`mm/swapfile.c`](srctree/mm/swapfile.c).

use super::{
    claim::ClaimError,
    file::{BackingFile, Stat},
};
use crate::bindings;
use kernel::{prelude::*, time::delay::fsleep, time::Delta};

/// A file with `S_SWAPFILE` set by this module. Dropping it clears the flag.
///
/// # Invariants
///
/// The inode has `S_SWAPFILE`, and this is its only `Mark`.
pub(super) struct Mark(BackingFile);

/// How often the page cache is dropped before giving up.
const ATTEMPTS: u32 = 300;

/// Time between two attempts, in milliseconds.
const INTERVAL: i64 = 10;

impl Mark {
    /// Ends what goes on in `file` and sets `S_SWAPFILE`. May sleep.
    ///
    /// Gives the state of the file at that moment too, for a look at what has changed
    /// since.
    pub(super) fn new(file: &BackingFile) -> Result<(Self, Stat), ClaimError> {
        let mut locked = file.inode().lock();
        if file.inode().has_flags(bindings::S_SWAPFILE) {
            return Err(ClaimError::Busy);
        }
        locked.quiesce()?;
        let stat = file.stat()?;
        locked.set_swapfile(true);
        // INVARIANT: just set, and it was not set before.
        Ok((Self(file.clone()), stat))
    }

    /// The file.
    pub(super) fn file(&self) -> &BackingFile {
        &self.0
    }

    /// Drops the page cache of the file, which is not what is on disk any more, waiting a
    /// while for those who use pages of it. Sleeps.
    pub(super) fn drop_stale_pages(&self) -> Result {
        // Whoever makes the file longer leaves dirty pages, which stay until they are written.
        // Whether or not they can be, the others must go.
        let quiesce = || self.0.inode().lock().quiesce();
        let mut written = quiesce();
        let dropped = try_to_drop(&self.0, || {
            written = written.and(quiesce());
            false
        });
        written.and(dropped)
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        self.0.inode().lock().set_swapfile(false);
    }
}

/// Drops the page cache of `file`, waiting a while for those who use pages of it, unless
/// the process is being killed. Sleeps.
pub(super) fn drop_page_cache(file: &BackingFile) -> Result {
    // SAFETY: no precondition; it concerns the calling task.
    try_to_drop(file, || unsafe { bindings::dm_loop_fatal_signal_pending() })
}

/// Drops the page cache of `file`, waiting until `enough` for those who use pages of it.
fn try_to_drop(file: &BackingFile, mut enough: impl FnMut() -> bool) -> Result {
    let mut result = file.inode().drop_page_cache();
    for _ in 0..ATTEMPTS {
        if result != Err(EBUSY) || enough() {
            break;
        }
        fsleep(Delta::from_millis(INTERVAL));
        result = file.inode().drop_page_cache();
    }
    result
}
