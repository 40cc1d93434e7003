// SPDX-License-Identifier: GPL-2.0

//! What a device tells of itself.
//!
//! Mirrors `struct queue_limits` of
//! [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h).

use crate::bindings;

/// The limits of a device that is being set up.
pub(crate) struct QueueLimits<'a>(&'a mut bindings::queue_limits);

/// The size of the largest discard or write of zeroes, in sectors: one bio's length.
const MAX_SECTORS: u32 = u32::MAX >> super::SECTOR_SHIFT;

impl<'a> QueueLimits<'a> {
    /// Wraps the C limits.
    pub(crate) fn new(raw: &'a mut bindings::queue_limits) -> Self {
        Self(raw)
    }

    /// The smallest block that can be read or written, and the smallest one that can
    /// be written without reading first. Powers of two, in bytes.
    pub(crate) fn set_block_sizes(&mut self, logical: u32, physical: u32) {
        self.0.logical_block_size = logical;
        self.0.physical_block_size = physical;
        self.0.io_min = physical;
    }

    /// The size of I/O that is best, in bytes. To be said after [`set_block_sizes`]; what
    /// is no whole number of physical blocks is not said.
    ///
    /// [`set_block_sizes`]: Self::set_block_sizes
    pub(crate) fn set_optimal(&mut self, size: u32) {
        if size.checked_rem(self.0.physical_block_size) == Some(0) {
            self.0.io_opt = size;
        }
    }

    /// Says that what is being written must not change meanwhile.
    pub(crate) fn require_stable_writes(&mut self) {
        self.0.features |= bindings::BLK_FEAT_STABLE_WRITES;
    }

    /// Offers discard, in units of `granularity` bytes.
    pub(crate) fn set_discard(&mut self, granularity: u32) {
        self.0.max_hw_discard_sectors = MAX_SECTORS;
        self.0.discard_granularity = granularity;
    }

    /// Offers writing zeroes without data.
    pub(crate) fn set_write_zeroes(&mut self) {
        self.0.max_write_zeroes_sectors = MAX_SECTORS;
        self.0.max_hw_wzeroes_unmap_sectors = MAX_SECTORS;
    }
}
