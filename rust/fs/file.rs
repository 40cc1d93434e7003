// SPDX-License-Identifier: GPL-2.0

//! Opening a regular file, and nothing else.
//!
//! C header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use super::{inode::Inode, lookup::LookedUp, request::ByteRange};
use crate::{
    bindings,
    block::{Device, SectorCount, SECTOR_SHIFT},
};
use core::{ffi::CStr, ptr::NonNull};
use kernel::{
    error::{from_err_ptr, to_result},
    fs::{file::flags, File},
    prelude::*,
    sync::aref::ARef,
};

/// An open regular file.
///
/// # Invariants
///
/// The file is a regular one, and was opened by this module for itself alone.
#[derive(Clone)]
pub(crate) struct BackingFile(ARef<File>);

/// Why a file cannot be opened.
pub(crate) enum OpenError {
    /// It is a directory, a device, a FIFO or a socket.
    NotRegular,
    /// It cannot be found, or must not be opened in this way.
    Failed(Error),
}

/// What the file system says of a file, as `stat` does.
pub(crate) struct Stat {
    /// When the inode was last changed.
    pub(super) changed: (i64, isize),
    /// The bytes of storage that the file takes, its metadata included.
    pub(super) allocated: u64,
    /// What direct I/O must be aligned to in the file, in bytes: 0 where the file
    /// system says that it is impossible, [`None`] where it does not say.
    pub(super) direct_io_alignment: Option<u32>,
    /// The size of reads and writes that suit the file system, in bytes.
    pub(super) preferred_io: u32,
}

/// Which file it is, as `stat(2)` says: the device number of its file system, which some of
/// them choose themselves, and the number of its inode.
pub(crate) struct Identity {
    /// Major and minor.
    pub(crate) device: (u32, u32),
    /// The number of the inode.
    pub(crate) inode: u64,
}

/// The flags for opening a file.
fn access(writable: bool) -> u32 {
    match writable {
        true => flags::O_RDWR,
        false => flags::O_RDONLY,
    }
}

impl BackingFile {
    /// Opens the regular file at `path`, as seen by the calling process, with all the
    /// checks that `open(2)` would make.
    ///
    /// The inode is looked at first: opening a FIFO may block, opening a device may do
    /// things. Process context, may sleep.
    pub(crate) fn open(path: &CStr, writable: bool) -> Result<Self, OpenError> {
        let path = LookedUp::new(path).map_err(OpenError::Failed)?;
        if !path.inode().is_regular() {
            return Err(OpenError::NotRegular);
        }
        // SAFETY: the path is held by `path`, and leads to a regular file.
        unsafe { Self::open_path(path.as_ptr(), access(writable)) }.map_err(OpenError::Failed)
    }

    /// Opens the same file once more. Process context, may sleep.
    pub(crate) fn reopen(&self, writable: bool) -> Result<Self> {
        // SAFETY: the path of an open file never changes, and by the type invariant leads
        // to a regular file.
        unsafe { Self::open_path(self.path_ptr(), access(writable)) }
    }

    /// Opens `path`.
    ///
    /// # Safety
    ///
    /// `path` must be held, and lead to a regular file.
    unsafe fn open_path(path: *const bindings::path, access: u32) -> Result<Self> {
        // CAST: file flags are a few bits.
        let access = (access | flags::O_LARGEFILE) as i32;
        // SAFETY: required of the caller; the empty name opens just that.
        let raw = unsafe { bindings::file_open_root(path, c"".as_char_ptr(), access, 0) };
        let raw = NonNull::new(from_err_ptr(raw)?).ok_or(ENOENT)?;
        // SAFETY: `file_open_root` returned a reference to the file, which is ours. No
        // process has it in its table of files, so there are no `fdget_pos` calls.
        let file = unsafe { ARef::from_raw(raw.cast()) };
        // INVARIANT: required of the caller.
        Ok(Self(file))
    }

    /// Where the file was opened.
    fn path_ptr(&self) -> *const bindings::path {
        // SAFETY: an open file.
        unsafe { &raw const (*self.as_raw()).__bindgen_anon_1.f_path }
    }

    /// The C file.
    pub(super) fn as_raw(&self) -> *mut bindings::file {
        self.0.as_ptr()
    }

    /// The file's inode.
    pub(super) fn inode(&self) -> &Inode {
        // SAFETY: an open file has an inode, and the pointer never changes.
        unsafe { Inode::from_raw((*self.as_raw()).f_inode) }
    }

    /// The inode that holds the data: with overlayfs, that of the file below. It does not
    /// change while the file is open for writing.
    pub(super) fn real_inode(&self) -> &Inode {
        // SAFETY: an open file has a dentry with an inode, which holds that below.
        unsafe { Inode::from_raw(bindings::dm_loop_file_real_inode(self.as_raw())) }
    }

    /// The size of the file in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.inode().size()
    }

    /// The smallest block that can be read or written under the file system: a sector
    /// where it is not on a block device.
    pub(crate) fn logical_block(&self) -> SectorCount {
        let device = self.inode().device();
        device.map_or(SectorCount::new(1), Device::logical_block)
    }

    /// Puts the path of the file at the end of `buffer`, as seen by the calling
    /// process, and returns where it begins and its length.
    ///
    /// [`None`] where it does not fit. Does not sleep.
    pub(crate) fn path(&self, buffer: &mut [u8]) -> Option<(usize, usize)> {
        let len = i32::try_from(buffer.len()).ok().filter(|&len| len > 0)?;
        let buffer_start = buffer.as_mut_ptr().cast();
        // SAFETY: the path of an open file never changes; a buffer of `len` bytes.
        let text = unsafe { bindings::d_path(self.path_ptr(), buffer_start, len) };
        let text = from_err_ptr(text).ok()?;
        let start = text.addr().checked_sub(buffer.as_ptr().addr())?;
        let len = buffer.get(start..)?.iter().position(|&byte| byte == 0)?;
        Some((start, len))
    }

    /// Asks the file system about the file. May sleep.
    pub(super) fn stat(&self) -> Result<Stat> {
        let mask = bindings::STATX_CTIME | bindings::STATX_BLOCKS | bindings::STATX_DIOALIGN;
        let stat = self.attributes(mask, bindings::AT_STATX_SYNC_AS_STAT)?;
        Ok(Stat {
            changed: (stat.ctime.tv_sec, stat.ctime.tv_nsec),
            allocated: stat.blocks.saturating_mul(512),
            direct_io_alignment: (stat.result_mask & bindings::STATX_DIOALIGN != 0)
                .then_some(stat.dio_offset_align),
            preferred_io: stat.blksize,
        })
    }

    /// Which file it is. May sleep, but not for a server: the answer never changes.
    pub(crate) fn identity(&self) -> Result<Identity> {
        let stat = self.attributes(bindings::STATX_INO, bindings::AT_STATX_DONT_SYNC)?;
        let (major, minor) = (
            stat.dev >> bindings::MINORBITS,
            stat.dev & bindings::MINORMASK,
        );
        Ok(Identity {
            device: (major, minor),
            inode: stat.ino,
        })
    }

    /// The attributes of the file in `mask`, asked for as `sync` says. May sleep.
    fn attributes(&self, mask: u32, sync: u32) -> Result<bindings::kstat> {
        let mut stat = bindings::kstat::default();
        // SAFETY: the path of an open file never changes; there is room for the answer.
        to_result(unsafe { bindings::vfs_getattr(self.path_ptr(), &mut stat, mask, sync) })?;
        Ok(stat)
    }

    /// The size of reads and writes that suit the file system, in bytes: `st_blksize`. May
    /// sleep.
    pub(crate) fn preferred_io(&self) -> Result<u32> {
        Ok(self.stat()?.preferred_io)
    }

    /// Asks the file system about itself. May sleep.
    fn statfs(&self) -> Result<bindings::kstatfs> {
        let mut stat: bindings::kstatfs = pin_init::zeroed();
        // SAFETY: the path of an open file never changes; there is room for the answer.
        to_result(unsafe { bindings::vfs_statfs(self.path_ptr(), &mut stat) })?;
        Ok(stat)
    }

    /// The size of the file system. May sleep.
    pub(super) fn fs_size(&self) -> Result<SectorCount> {
        let stat = self.statfs()?;
        let block = u64::try_from(stat.f_bsize)?;
        let bytes = stat.f_blocks.checked_mul(block).ok_or(EOVERFLOW)?;
        Ok(SectorCount::from_bytes_floor(bytes))
    }

    /// The bytes that the file system has left for users. May sleep.
    pub(super) fn fs_free(&self) -> Result<u64> {
        let stat = self.statfs()?;
        let block = u64::try_from(stat.f_bsize)?;
        Ok(stat.f_bavail.saturating_mul(block))
    }

    /// Whether the file has the attribute that `chattr +C` gives: never copied on
    /// write. May sleep.
    pub(super) fn has_nocow(&self) -> Result<bool> {
        let mut attributes = bindings::file_kattr::default();
        // SAFETY: the dentry of an open file never changes.
        let dentry = unsafe { (*self.as_raw()).__bindgen_anon_1.f_path.dentry };
        // SAFETY: a valid dentry, and room for the answer.
        to_result(unsafe { bindings::vfs_fileattr_get(dentry, &mut attributes) })?;
        Ok(attributes.flags & bindings::FS_NOCOW_FL != 0)
    }

    /// Brings data and metadata of the file to stable storage. May sleep.
    pub(super) fn sync(&self) -> Result {
        // SAFETY: an open file.
        to_result(unsafe { bindings::vfs_fsync_range(self.as_raw(), 0, i64::MAX, 0) })
    }

    /// What direct I/O on the file must be aligned to, in bytes; [`None`] where there
    /// is none. May sleep.
    pub(crate) fn direct_io_alignment(&self) -> Result<Option<u32>> {
        if !self.has_mode(bindings::FMODE_CAN_ODIRECT) {
            return Ok(None);
        }
        // Of several devices only one can be flushed.
        let writable = self.has_mode(bindings::FMODE_CAN_WRITE);
        if writable && self.is_forgotten() && self.is_on_several_devices()? {
            return Ok(None);
        }
        Ok(match self.stat()?.direct_io_alignment {
            Some(0) => None,
            Some(alignment) => Some(alignment),
            // CAST: a logical block is at most a page.
            None => self.logical_block().bytes().map(|bytes| bytes as u32),
        })
    }

    /// Whether the file can be read, and written if `writable`, without a process.
    pub(crate) fn can_transfer(&self, writable: bool) -> bool {
        let operations = self.operations();
        let read = self.has_mode(bindings::FMODE_CAN_READ) && operations.read_iter.is_some();
        let write = self.has_mode(bindings::FMODE_CAN_WRITE) && operations.write_iter.is_some();
        read && (write || !writable)
    }

    /// Whether the file was opened with the flag `mode`, or can do what it says.
    fn has_mode(&self, mode: u32) -> bool {
        // SAFETY: an open file.
        let current = unsafe { (*self.as_raw()).f_mode };
        current & mode != 0
    }

    /// Whether parts of the file can be given back or zeroed, as far as can be told.
    pub(crate) fn has_fallocate(&self) -> bool {
        self.operations().fallocate.is_some()
    }

    /// The size of a block of the file system, in bytes.
    pub(crate) fn block_size(&self) -> u32 {
        1_u32
            .checked_shl(self.inode().block_bits())
            .unwrap_or(1 << SECTOR_SHIFT)
    }

    /// How many have it open for writing, or mapped.
    pub(super) fn writers(&self) -> usize {
        // SAFETY: an open file.
        let writers = unsafe { bindings::dm_loop_writers(self.as_raw()) };
        // Less than none: it is being executed.
        usize::try_from(writers).unwrap_or(0)
    }

    /// Whether `fdatasync` may overlook what asynchronous direct I/O has overwritten.
    pub(super) fn is_forgotten(&self) -> bool {
        self.real_inode().kind().is_some_and(|kind| kind.forgets)
    }

    /// Whether the file system lies on more than the device that it names. May sleep.
    pub(super) fn is_on_several_devices(&self) -> Result<bool> {
        let size = self.fs_size()?;
        Ok(self
            .real_inode()
            .device()
            .is_none_or(|device| device.len() < size))
    }

    /// Whether what was written can be brought to stable storage.
    pub(crate) fn has_fsync(&self) -> bool {
        self.operations().fsync.is_some()
    }

    /// The block device under the file system, where it names one.
    pub(crate) fn device(&self) -> Option<&Device> {
        self.inode().device()
    }

    /// The C operations of the file.
    pub(super) fn operations(&self) -> &bindings::file_operations {
        // SAFETY: an open file; its operations never change.
        unsafe { &*(*self.as_raw()).f_op }
    }

    /// Waits for direct I/O on the file to end. May sleep; locks the inode, so that none
    /// begins meanwhile.
    pub(super) fn wait_for_direct_io(&self) {
        self.inode().lock().wait_for_direct_io();
    }

    /// Whether it is a swap file, or block-mapped.
    pub(super) fn is_swapfile(&self) -> bool {
        self.inode().has_flags(bindings::S_SWAPFILE)
    }

    /// Brings what was written to stable storage; `forgotten` is [`Self::is_forgotten`]. May
    /// sleep.
    pub(super) fn sync_data(&self, forgotten: bool) -> Result {
        if forgotten {
            self.sync()?;
            // None: overlayfs has copied it to elsewhere, as it does with what is only read.
            return self.real_inode().device().map_or(Ok(()), Device::flush);
        }
        // SAFETY: an open file.
        to_result(unsafe { bindings::vfs_fsync_range(self.as_raw(), 0, i64::MAX, 1) })
    }

    /// The error of writeback that the next sync of this opener will be told of. In any context.
    pub(super) fn pending_error(&self) -> Result {
        // SAFETY: an open file.
        to_result(unsafe { bindings::dm_loop_file_pending_error(self.as_raw()) })
    }

    /// Gives the blocks of `range` back; it reads as zeroes. May sleep.
    pub(super) fn punch_hole(&self, range: ByteRange) -> Result {
        self.fallocate(bindings::FALLOC_FL_PUNCH_HOLE, range)
    }

    /// Makes `range` read as zeroes, and keeps blocks for it. May sleep.
    pub(super) fn zero_range(&self, range: ByteRange) -> Result {
        self.fallocate(bindings::FALLOC_FL_ZERO_RANGE, range)
    }

    /// Mirrors `vfs_fallocate()`; the size of the file stays as it is. May sleep.
    fn fallocate(&self, mode: u32, range: ByteRange) -> Result {
        // CAST: a few small flags.
        let mode = (mode | bindings::FALLOC_FL_KEEP_SIZE) as i32;
        let (start, len) = (range.start, range.len.into());
        // SAFETY: an open file.
        to_result(unsafe { bindings::vfs_fallocate(self.as_raw(), mode, start, len) })
    }

    /// Checks that the file could have `size` bytes: some file systems have limits of their
    /// own for some files, which stand where a position is set. May sleep.
    pub(super) fn check_limit(&self, size: u64) -> Result {
        // CAST: a small constant.
        let whence = bindings::SEEK_SET as i32;
        // SAFETY: an open file, of which nobody else uses the position.
        let end = unsafe { bindings::vfs_llseek(self.as_raw(), i64::try_from(size)?, whence) };
        if end < 0 {
            return Err(EFBIG);
        }
        Ok(())
    }

    /// Where the first hole of the file begins: the end of the file where it has
    /// none. May sleep; takes the inode lock on some file systems.
    pub(super) fn first_hole(&self) -> Result<u64> {
        // CAST: a small constant.
        let whence = bindings::SEEK_HOLE as i32;
        // SAFETY: an open file, of which nobody else uses the position.
        let hole = unsafe { bindings::vfs_llseek(self.as_raw(), 0, whence) };
        // CAST: an errno fits in an `i32`.
        u64::try_from(hole).map_err(|_| Error::from_errno(hole as i32))
    }
}
