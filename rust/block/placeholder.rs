// SPDX-License-Identifier: GPL-2.0

//! A block device that stands where a target has none.
//!
//! Device-mapper leaves the limits of a mapped device as they were when a table is loaded whose
//! targets name no device: all paths of a multipath device may have failed. A target that
//! needs no device shows it this one, so that its own limits are asked for. It is never added,
//! so nobody can open it; it has no size, and no limits of its own.
//!
//! C source: `dm_swap_table()` of [`drivers/md/dm.c`](srctree/drivers/md/dm.c),
//! `__blk_alloc_disk()` of [`block/genhd.c`](srctree/block/genhd.c)

use super::device::Device;
use crate::bindings;
use core::{
    ptr,
    sync::atomic::{AtomicPtr, Ordering},
};
use kernel::{error::from_err_ptr, prelude::*};

/// The module's placeholder, from its creation to its end.
static DISK: AtomicPtr<bindings::gendisk> = AtomicPtr::new(ptr::null_mut());

/// The module's placeholder.
///
/// # Invariants
///
/// [`DISK`] is the disk that was made for this.
pub(crate) struct Placeholder(());

impl Placeholder {
    /// Makes the placeholder. To be called once. Process context, sleeps.
    pub(crate) fn new() -> Result<Self> {
        // SAFETY: no precondition.
        let disk = from_err_ptr(unsafe { bindings::dm_loop_alloc_disk() })?;
        // INVARIANT: just made.
        DISK.store(disk, Ordering::Release);
        Ok(Self(()))
    }
}

impl Drop for Placeholder {
    fn drop(&mut self) {
        let disk = DISK.swap(ptr::null_mut(), Ordering::AcqRel);
        // SAFETY: by the type invariant a disk of ours; targets, which alone use it, are all
        // gone when the module goes.
        unsafe { bindings::put_disk(disk) };
    }
}

/// Shows the placeholder to `look`. For targets, which end before the module.
pub(crate) fn with_placeholder<R>(look: impl FnOnce(&Device) -> R) -> Option<R> {
    let disk = DISK.load(Ordering::Acquire);
    if disk.is_null() {
        return None;
    }
    // SAFETY: the disk exists as long as there are targets, and its whole device with it.
    let device = unsafe { Device::from_raw((*disk).part0) };
    Some(look(device))
}
