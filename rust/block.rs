// SPDX-License-Identifier: GPL-2.0

//! Block layer: units, extents, and the host's block device.
//!
//! [`Sector`], [`Extent`] and [`ExtentMap`] are pure (`core` alone), so that the
//! host tests compile the same files; [`Device`] wraps the C type.
//!
//! | here | C |
//! | --- | --- |
//! | [`Device`] | `struct block_device` |
//! | [`Placeholder`] | `struct gendisk` |
//! | [`QueueLimits`] | `struct queue_limits` |
//! | [`Sector`], [`SectorCount`] | `sector_t` |
//!
//! C headers: [`include/linux/blkdev.h`](srctree/include/linux/blkdev.h),
//! [`include/linux/blk_types.h`](srctree/include/linux/blk_types.h)

mod device;
pub(crate) mod extent;
pub(crate) mod extent_map;
mod limits;
mod placeholder;
pub(crate) mod sector;

pub(crate) use self::{
    device::Device,
    extent::{Extent, ExtentBuilder, ExtentError, Store},
    extent_map::{ExtentMap, Run},
    limits::QueueLimits,
    placeholder::{with_placeholder, Placeholder},
    sector::{Sector, SectorCount, SECTOR_SHIFT},
};
