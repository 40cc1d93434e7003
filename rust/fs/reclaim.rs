// SPDX-License-Identifier: GPL-2.0

//! Work that others may wait for in order to get memory.
//!
//! C header: [`include/linux/sched/mm.h`](srctree/include/linux/sched/mm.h)

use crate::bindings;
use kernel::types::NotThreadSafe;

/// While this lives, the task gets memory without I/O, and is throttled by the dirty pages
/// of the device that it writes to alone.
///
/// # Invariants
///
/// The task's flags were `flags` before.
pub(super) struct ReclaimGuard {
    flags: u32,
    _task: NotThreadSafe,
}

impl ReclaimGuard {
    /// Sets the flags of this task.
    pub(super) fn enter() -> Self {
        // INVARIANT: just read.
        Self {
            // SAFETY: the flags are given back when this is dropped, by the same task.
            flags: unsafe { bindings::dm_loop_enter_reclaim() },
            _task: NotThreadSafe,
        }
    }
}

impl Drop for ReclaimGuard {
    fn drop(&mut self) {
        // SAFETY: by the type invariant these are what they were.
        unsafe { bindings::dm_loop_leave_reclaim(self.flags) };
    }
}
