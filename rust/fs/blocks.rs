// SPDX-License-Identifier: GPL-2.0

//! Where a file lies, block by block.
//!
//! For what `swap_activate` leaves out: blocks smaller than a page that are not
//! aligned to one, the last part of a page, and file systems without it. Mirrors
//! `generic_swapfile_activate()` of [`mm/page_io.c`](srctree/mm/page_io.c).

use super::{file::BackingFile, inode::Inode};
use crate::{
    bindings,
    block::{Extent, Sector, SECTOR_SHIFT},
};
use kernel::prelude::*;

/// The blocks of a file, in order, as extents of one block.
pub(super) struct Blocks<'a> {
    inode: &'a Inode,
    /// log2 of the number of sectors in a block.
    sectors_shift: u32,
    next: u64,
    end: u64,
}

/// What a block of the file turned out to be.
pub(super) enum Block {
    /// It lies here.
    Mapped(Extent),
    /// It has no place of its own on the device.
    Unmapped,
}

impl<'a> Blocks<'a> {
    /// Whether the file system of `inode` can tell.
    pub(super) fn is_supported(inode: &Inode) -> bool {
        inode.mapping_ops().bmap.is_some()
    }

    /// The whole blocks of `file` from `start`, which must be the start of one. The part
    /// of a block at the end of the file is the file system's: it writes there when the
    /// file is made longer.
    /// [`None`] where no block starts there.
    pub(super) fn new(file: &'a BackingFile, start: Sector) -> Option<Self> {
        let inode = file.inode();
        let bits = inode.block_bits();
        let next = start.bytes()?.checked_shr(bits)?;
        if next.checked_shl(bits) != start.bytes() {
            return None;
        }
        Some(Self {
            inode,
            sectors_shift: bits.checked_sub(SECTOR_SHIFT)?,
            next,
            end: file.size().checked_shr(bits)?,
        })
    }

    /// The next block. May sleep; takes the inode lock on some file systems.
    ///
    /// # Errors
    ///
    /// `EINTR` where the calling process is being killed.
    pub(super) fn next(&mut self) -> Result<Option<Block>> {
        if self.next >= self.end {
            return Ok(None);
        }
        // SAFETY: no precondition; it concerns the calling task.
        if unsafe { bindings::dm_loop_fatal_signal_pending() } {
            return Err(EINTR);
        }
        // SAFETY: this may sleep, and the caller holds no spinlock.
        unsafe { bindings::dm_loop_cond_resched() };

        let block = self.next;
        self.next = block.checked_add(1).ok_or(EOVERFLOW)?;
        Ok(Some(match self.inode.bmap(block)? {
            0 => Block::Unmapped,
            place => Block::Mapped(Extent {
                file: self.sector(block)?,
                disk: self.sector(place)?,
                len: self.sector(1)?.as_count(),
            }),
        }))
    }

    /// Where block number `block` begins.
    fn sector(&self, block: u64) -> Result<Sector> {
        1_u64
            .checked_shl(self.sectors_shift)
            .and_then(|size| block.checked_mul(size))
            .map(Sector::new)
            .ok_or(EOVERFLOW)
    }
}
