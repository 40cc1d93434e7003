// SPDX-License-Identifier: GPL-2.0

//! The block device that holds a file system.
//!
//! C header: [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h)

use super::sector::SectorCount;
use crate::bindings;
use kernel::{error::to_result, prelude::*, types::Opaque};

/// A block device: a whole disk or a partition.
///
/// # Invariants
///
/// A `&Device` points to a `struct block_device` that somebody holds, open or by a
/// reference to its disk, for as long as the Rust reference lives.
#[repr(transparent)]
pub(crate) struct Device(Opaque<bindings::block_device>);

impl Device {
    /// Wraps a C block device.
    ///
    /// # Safety
    ///
    /// `raw` must be valid, and held by somebody, during `'a`.
    pub(crate) unsafe fn from_raw<'a>(raw: *mut bindings::block_device) -> &'a Self {
        // INVARIANT: required of the caller.
        // SAFETY: valid, as required of the caller; the type is transparent.
        unsafe { &*raw.cast() }
    }

    /// The C block device.
    #[inline(always)]
    pub(crate) fn as_raw(&self) -> *mut bindings::block_device {
        self.0.get()
    }

    /// The length of the device.
    pub(crate) fn len(&self) -> SectorCount {
        // SAFETY: valid by the type invariant.
        SectorCount::new(unsafe { bindings::dm_loop_bdev_nr_sectors(self.as_raw()) })
    }

    /// The size of the smallest block that the device can read or write.
    pub(crate) fn logical_block(&self) -> SectorCount {
        // SAFETY: valid by the type invariant.
        let bytes = unsafe { bindings::dm_loop_bdev_logical_block_size(self.as_raw()) };
        SectorCount::from_bytes_floor(bytes.into())
    }

    /// Brings what the device has in its cache to stable storage. Sleeps.
    pub(crate) fn flush(&self) -> Result {
        // SAFETY: valid by the type invariant.
        to_result(unsafe { bindings::blkdev_issue_flush(self.as_raw()) })
    }

    /// Whether parts of the device can only be written in order.
    pub(crate) fn is_zoned(&self) -> bool {
        // SAFETY: valid by the type invariant.
        unsafe { bindings::dm_loop_bdev_is_zoned(self.as_raw()) }
    }

    /// The device's major and minor number.
    pub(crate) fn number(&self) -> (u32, u32) {
        // SAFETY: valid by the type invariant; the number never changes.
        let dev = unsafe { (*self.as_raw()).bd_dev };
        (dev >> bindings::MINORBITS, dev & bindings::MINORMASK)
    }

    /// Whether the device is `disk` or a part of it.
    pub(crate) fn is_of(&self, disk: *mut bindings::gendisk) -> bool {
        // SAFETY: valid by the type invariant; the disk never changes.
        unsafe { (*self.as_raw()).bd_disk == disk }
    }
}
