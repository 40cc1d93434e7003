// SPDX-License-Identifier: GPL-2.0

//! Asking a file system where a file lies, and to keep it there, as `swapon(2)` does.
//!
//! Mirrors `setup_swap_extents()` and `destroy_swap_extents()` of
//! [`mm/swapfile.c`](srctree/mm/swapfile.c); C header:
//! [`include/linux/swap.h`](srctree/include/linux/swap.h)

use super::{file::BackingFile, inode::InodeGuard};
use crate::{
    bindings,
    block::{Device, Extent, Sector, SectorCount, SECTOR_SHIFT},
};
use core::ptr::{self, NonNull};
use kernel::{error::to_result, page::PAGE_SHIFT, prelude::*};

/// log2 of the number of sectors in a page. CAST: a small constant.
const PAGE_SECTORS_SHIFT: u32 = PAGE_SHIFT as u32 - SECTOR_SHIFT;

/// A file whose blocks a file system has agreed to keep in place.
///
/// # Invariants
///
/// `swap_activate` has succeeded for the file, and `swap_deactivate` was not called since.
/// `device` is the one that it has named, if it has.
pub(super) struct Activation {
    file: BackingFile,
    device: Option<NonNull<bindings::block_device>>,
}

// SAFETY: the device may be used from any task.
unsafe impl Send for Activation {}

/// What `swap_activate` is given, and fills in: where the file lies. It is large, and no
/// longer than that is known elsewhere does anybody need it.
///
/// # Invariants
///
/// The tree of extents consists of nodes in `struct swap_extent`, each in memory from
/// `kmalloc()` that belongs to the tree.
pub(super) struct Answer(KBox<bindings::swap_info_struct>);

impl Activation {
    /// Asks the file system to pin `file` and to tell where its whole pages lie.
    ///
    /// The inode is locked, and has `S_SWAPFILE`. May sleep.
    ///
    /// [`None`] where it cannot be asked: it has no `swap_activate`, or the file is
    /// smaller than a page (some file systems would never return).
    ///
    /// # Errors
    ///
    /// What the file system said.
    pub(super) fn new(
        file: &BackingFile,
        _locked: &InodeGuard<'_>,
    ) -> Result<Option<(Self, Answer)>> {
        let inode = file.inode();
        let pages = inode.size() >> PAGE_SHIFT;
        let (Some(activate), 1..) = (inode.mapping_ops().swap_activate, pages) else {
            return Ok(None);
        };

        // INVARIANT: an empty tree.
        let mut answer = Answer(KBox::init(pin_init::init_zeroed(), GFP_KERNEL)?);
        // btrfs names the device itself, and has none for the whole file system.
        answer.0.bdev = inode.device().map_or(ptr::null_mut(), Device::as_raw);
        // No more pages than the file has: f2fs would move pages beyond its end.
        answer.0.max = u32::try_from(pages).unwrap_or(u32::MAX);
        let mut span = 0;
        // SAFETY: called as `setup_swap_extents()` does: an open file, locked, and a
        // zeroed structure with the device and the number of pages filled in. Nodes
        // are added by `add_swap_extent()`, which keeps the invariant of `Answer`.
        let extents = unsafe { activate(&mut *answer.0, file.as_raw(), &mut span) };
        to_result(extents)?;
        // INVARIANT: it has just succeeded.
        let activation = Self {
            file: file.clone(),
            device: NonNull::new(answer.0.bdev),
        };
        Ok(Some((activation, answer)))
    }

    /// The device that the extents are on.
    pub(super) fn device(&self) -> Option<&Device> {
        let device = self.device?;
        // SAFETY: the file system holds its devices open, and the file holds it.
        Some(unsafe { Device::from_raw(device.as_ptr()) })
    }
}

impl Drop for Activation {
    fn drop(&mut self) {
        if let Some(deactivate) = self.file.inode().mapping_ops().swap_deactivate {
            // SAFETY: by the type invariant the file is activated.
            unsafe { deactivate(self.file.as_raw()) };
        }
    }
}

impl Answer {
    /// The extents in ascending order.
    ///
    /// Positions in the file are right only where the extents cover as many pages as
    /// the file has: what is not aligned to pages on the device is left out of the
    /// count.
    pub(super) fn extents(&self) -> impl Iterator<Item = Extent> + '_ {
        let mut node = self.first();
        core::iter::from_fn(move || {
            let current = node?;
            // SAFETY: the node is in the tree, which stays as it is while borrowed.
            node = NonNull::new(unsafe { bindings::rb_next(current.as_ptr()) });
            // SAFETY: by the type invariant the node is in an extent.
            let extent = unsafe { &*extent_of(current) };
            // CAST: `unsigned long` is 64 bits wide, as `sector_t` is.
            let (file, len) = (extent.start_page as u64, extent.nr_pages as u64);
            Some(Extent {
                file: Sector::new(sectors(file)?),
                disk: Sector::new(sectors(extent.start_block)?),
                len: SectorCount::new(sectors(len)?),
            })
        })
    }

    /// The first node of the tree.
    fn first(&self) -> Option<NonNull<bindings::rb_node>> {
        let mut first = NonNull::new(self.0.swap_extent_root.rb_node)?;
        // SAFETY: a node of the tree, which stays as it is while borrowed.
        while let Some(left) = NonNull::new(unsafe { first.as_ref() }.rb_left) {
            first = left;
        }
        Some(first)
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let root = &mut self.0.swap_extent_root;
        while let Some(node) = NonNull::new(root.rb_node) {
            // SAFETY: the root's node is in the tree.
            unsafe { bindings::rb_erase(node.as_ptr(), root) };
            // SAFETY: by the type invariant the node is in an extent from `kmalloc()`,
            // which nothing refers to any more.
            unsafe { bindings::kfree(extent_of(node).cast()) };
        }
    }
}

/// How many sectors `pages` pages are.
fn sectors(pages: u64) -> Option<u64> {
    pages.checked_mul(1 << PAGE_SECTORS_SHIFT)
}

/// The extent that `node` is in.
///
/// # Safety
///
/// `node` must be the `rb_node` of a `struct swap_extent`.
unsafe fn extent_of(node: NonNull<bindings::rb_node>) -> *mut bindings::swap_extent {
    // SAFETY: required of the caller.
    unsafe { kernel::container_of!(node.as_ptr(), bindings::swap_extent, rb_node) }
}
