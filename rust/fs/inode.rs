// SPDX-License-Identifier: GPL-2.0

//! An inode, its lock, and its page cache.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use super::kind::FsKind;
use crate::{bindings, block::Device};
use core::ffi::CStr;
use kernel::{error::to_result, prelude::*, types::Opaque};

/// An inode.
///
/// # Invariants
///
/// A `&Inode` points to a `struct inode` to which somebody holds a reference for as
/// long as this one lives.
#[repr(transparent)]
pub(crate) struct Inode(Opaque<bindings::inode>);

/// Proof that the inode lock is held, exclusively; unlocks it when dropped.
pub(crate) struct InodeGuard<'a>(&'a Inode);

impl Inode {
    /// Wraps a C inode.
    ///
    /// # Safety
    ///
    /// `raw` must be valid, and referenced by somebody, during `'a`.
    pub(super) unsafe fn from_raw<'a>(raw: *mut bindings::inode) -> &'a Self {
        // INVARIANT: required of the caller.
        // SAFETY: valid, as required of the caller; the type is transparent.
        unsafe { &*raw.cast() }
    }

    /// The C inode.
    pub(super) fn as_raw(&self) -> *mut bindings::inode {
        self.0.get()
    }

    /// Whether this is a regular file.
    pub(super) fn is_regular(&self) -> bool {
        // SAFETY: valid by the type invariant; the kind of file never changes.
        let mode = unsafe { (*self.as_raw()).i_mode };
        u32::from(mode) & bindings::S_IFMT == bindings::S_IFREG
    }

    /// Whether root alone may read the file, by its owner and its mode.
    pub(super) fn is_private(&self) -> bool {
        // SAFETY: valid by the type invariant. The C side reads both like this.
        let mode = unsafe { (&raw const (*self.as_raw()).i_mode).read_volatile() };
        // SAFETY: as above.
        let owner = unsafe { (&raw const (*self.as_raw()).i_uid).read_volatile() };
        owner.val == 0 && u32::from(mode) & (bindings::S_IRWXG | bindings::S_IRWXO) == 0
    }

    /// The size in bytes.
    pub(super) fn size(&self) -> u64 {
        // SAFETY: valid by the type invariant.
        let size = unsafe { bindings::dm_loop_i_size_read(self.as_raw()) };
        u64::try_from(size).unwrap_or(0)
    }

    /// log2 of the file system's block size in bytes.
    pub(super) fn block_bits(&self) -> u32 {
        // SAFETY: valid by the type invariant; the size of blocks never changes.
        unsafe { (*self.as_raw()).i_blkbits }.into()
    }

    /// Whether any of the given `S_*` flags is set.
    pub(super) fn has_flags(&self, flags: u32) -> bool {
        // SAFETY: valid by the type invariant. The C side reads the flags like this.
        let current = unsafe { (&raw const (*self.as_raw()).i_flags).read_volatile() };
        current & flags != 0
    }

    /// The C superblock.
    fn superblock(&self) -> *mut bindings::super_block {
        // SAFETY: valid by the type invariant; the superblock never changes.
        unsafe { (*self.as_raw()).i_sb }
    }

    /// The block device under the file system, where there is one.
    pub(super) fn device(&self) -> Option<&Device> {
        // SAFETY: the superblock lives as long as its inodes.
        let device = unsafe { (*self.superblock()).s_bdev };
        // SAFETY: a file system holds its block device open.
        (!device.is_null()).then(|| unsafe { Device::from_raw(device) })
    }

    /// The name of the file system's type.
    pub(super) fn fs_name(&self) -> &CStr {
        // SAFETY: the superblock lives as long as its inodes.
        let fs_type = unsafe { (*self.superblock()).s_type };
        // SAFETY: the type is registered for as long as it has superblocks.
        let name = unsafe { (*fs_type).name };
        // SAFETY: the name of a registered type is a NUL-terminated string.
        unsafe { CStr::from_char_ptr(name) }
    }

    /// What this module knows of the file system, if it is a proven one.
    pub(super) fn kind(&self) -> Option<&'static FsKind> {
        FsKind::of(self.fs_name())
    }

    /// Whether pages of the file must not change while they are written.
    pub(super) fn needs_stable_pages(&self) -> bool {
        // SAFETY: valid by the type invariant, and so is its mapping.
        unsafe { bindings::dm_loop_mapping_stable_writes(self.mapping()) }
    }

    /// Has everybody's next sync of the file fail, as if writeback had just met `error`. In any
    /// context.
    pub(super) fn fail_next_sync(&self, error: Error) {
        // What else a sync may fail with, means nothing later.
        let error = if error == ENOSPC { ENOSPC } else { EIO };
        // SAFETY: the mapping lives as long as its inode.
        unsafe { bindings::dm_loop_mapping_set_error(self.mapping(), error.to_errno()) };
    }

    /// The C address space: the page cache of the file.
    fn mapping(&self) -> *mut bindings::address_space {
        // SAFETY: valid by the type invariant; for a regular file it never changes.
        unsafe { (*self.as_raw()).i_mapping }
    }

    /// The C operations of the address space.
    pub(super) fn mapping_ops(&self) -> &bindings::address_space_operations {
        // SAFETY: the mapping lives as long as its inode. ext4 may exchange them.
        let ops = unsafe { (&raw const (*self.mapping()).a_ops).read_volatile() };
        // SAFETY: a mapping always has operations, which are static.
        unsafe { &*ops }
    }

    /// Locks the inode against changes by others. May sleep.
    pub(super) fn lock(&self) -> InodeGuard<'_> {
        // SAFETY: valid by the type invariant.
        unsafe { bindings::dm_loop_inode_lock(self.as_raw()) };
        InodeGuard(self)
    }

    /// Drops the pages of the file from the page cache. May sleep.
    ///
    /// # Errors
    ///
    /// `EBUSY` where a page is dirty, or the file system will not let go of it.
    pub(super) fn drop_page_cache(&self) -> Result {
        // SAFETY: the mapping lives as long as its inode.
        to_result(unsafe { bindings::invalidate_inode_pages2(self.mapping()) })
    }

    /// Whether the page cache holds nothing of the file, not even a trace of a page
    /// that was there.
    pub(super) fn page_cache_is_empty(&self) -> bool {
        // SAFETY: the mapping lives as long as its inode. The C side reads the head of
        // the array like this, in `mapping_empty()`.
        unsafe { (&raw const (*self.mapping()).i_pages.xa_head).read_volatile() }.is_null()
    }

    /// Which block of the device holds block `block` of the file. 0 means none, or
    /// that the file system would not say. May sleep; takes the inode lock on some
    /// file systems.
    pub(super) fn bmap(&self, block: u64) -> Result<u64> {
        let mut answer = block;
        // SAFETY: valid by the type invariant.
        to_result(unsafe { bindings::bmap(self.as_raw(), &mut answer) })?;
        Ok(answer)
    }
}

impl InodeGuard<'_> {
    /// Waits for direct I/O on the file to end.
    pub(super) fn wait_for_direct_io(&self) {
        // SAFETY: a valid inode; the lock keeps new direct I/O away.
        unsafe { bindings::inode_dio_wait(self.0.as_raw()) };
    }

    /// Waits for direct I/O on the file to end, and writes its dirty pages.
    pub(super) fn quiesce(&self) -> Result {
        self.wait_for_direct_io();
        // SAFETY: the mapping lives as long as its inode.
        to_result(unsafe { bindings::filemap_write_and_wait_range(self.0.mapping(), 0, i64::MAX) })
    }

    /// Sets or clears `S_SWAPFILE`.
    pub(super) fn set_swapfile(&mut self, set: bool) {
        let flags = if set { bindings::S_SWAPFILE } else { 0 };
        // SAFETY: a valid inode, which is locked.
        unsafe { bindings::inode_set_flags(self.0.as_raw(), flags, bindings::S_SWAPFILE) };
    }
}

impl Drop for InodeGuard<'_> {
    fn drop(&mut self) {
        // SAFETY: the guard was made when the lock was taken, by this task.
        unsafe { bindings::dm_loop_inode_unlock(self.0.as_raw()) };
    }
}
