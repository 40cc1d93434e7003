// SPDX-License-Identifier: GPL-2.0

//! Making a claimed file longer.
//!
//! `S_SWAPFILE` keeps everybody from writing to a claimed file, this module too. So it
//! calls what a `write(2)` or a `fallocate(2)` calls once they have found the flag not
//! set: at no time can anybody else write. The new part must be written, not merely
//! allocated, or the file would read as zeroes whatever the device has there.
//!
//! Mirrors `generic_file_write_iter()` of [`mm/filemap.c`](srctree/mm/filemap.c) and
//! `vfs_fallocate()` of [`fs/open.c`](srctree/fs/open.c).

use super::{claim::ClaimError, file::BackingFile, kind::Growth, mark::drop_page_cache};
use crate::{bindings, block::Sector};
use kernel::{error::to_result, ffi::c_void, page::PAGE_SIZE, prelude::*};

/// How much is written at once, in pages.
const PAGES: usize = 16;

/// How much is allocated at once, in bytes.
const STEP: u64 = 64 << 20;

/// The write access to a file system that is not frozen.
struct WriteAccess<'a>(&'a BackingFile);

/// Gives the file written blocks full of zeroes, from its first hole or its end up to
/// `size` bytes. Nothing before `claimed` is touched. Process context, sleeps.
///
/// # Errors
///
/// `EOPNOTSUPP` where the file system has no way to do that, `EBUSY` where it is frozen,
/// `ENOSPC`, `EFBIG`, `EROFS` where the file is not open for writing, `EINTR` where the
/// calling process is being killed, `EIO` where there is a hole before `claimed`, and what
/// the file system says. The file may be longer then.
pub(super) fn extend(
    file: &BackingFile,
    growth: Growth,
    claimed: Sector,
    size: u64,
) -> Result<(), ClaimError> {
    if growth == Growth::Never {
        return Err(ClaimError::Failed(unsupported()));
    }
    if !file.can_transfer(true) {
        return Err(ClaimError::Failed(EROFS));
    }
    if file
        .inode()
        .has_flags(bindings::S_IMMUTABLE | bindings::S_APPEND)
    {
        return Err(ClaimError::Failed(EPERM));
    }
    // Pages of an unwritten extent would make it look like data. Dirty ones are those of an
    // attempt that was broken off.
    file.sync()?;
    drop_page_cache(file)?;
    let mut end = file.first_hole()?;
    if claimed.bytes().is_none_or(|claimed| end < claimed) {
        return Err(ClaimError::Failed(EIO));
    }
    let size = size.max(file.size());
    file.check_limit(size)?;
    if size.saturating_sub(end) > file.fs_free()? {
        return Err(ClaimError::Failed(ENOSPC));
    }
    let zeroes = KVVec::from_elem(0_u8, PAGE_SIZE, GFP_KERNEL).map_err(Error::from)?;
    while end < size {
        // SAFETY: no precondition; it concerns the calling task.
        if unsafe { bindings::dm_loop_fatal_signal_pending() } {
            return Err(ClaimError::Failed(EINTR));
        }
        let access = WriteAccess::new(file)?;
        let left = size.saturating_sub(end);
        let done = match growth {
            Growth::Never => Err(unsupported()),
            Growth::Written => access.write(&zeroes, end, left),
            Growth::Zeroed => access.allocate(end, left.min(STEP)),
        }?;
        end = end.saturating_add(done);
    }
    Ok(())
}

/// `EOPNOTSUPP`, of which there is no [`Error`].
fn unsupported() -> Error {
    // CAST: an errno is a small constant.
    Error::from_errno(-(bindings::EOPNOTSUPP as i32))
}

impl<'a> WriteAccess<'a> {
    /// Keeps the file system of `file` from being frozen.
    fn new(file: &'a BackingFile) -> Result<Self> {
        // SAFETY: an open file.
        match unsafe { bindings::dm_loop_file_start_write_trylock(file.as_raw()) } {
            true => Ok(Self(file)),
            false => Err(EBUSY),
        }
    }

    /// Writes at most `len` zeroes at `start`, and returns how many.
    fn write(&self, zeroes: &[u8], start: u64, len: u64) -> Result<u64> {
        let start = i64::try_from(start)?;
        let mut count = i64::try_from(len)?;
        let file = self.0.as_raw();
        // SAFETY: an open file.
        to_result(unsafe { bindings::generic_write_check_limits(file, start, &mut count) })?;
        let page = bindings::kvec {
            iov_base: zeroes.as_ptr().cast_mut().cast::<c_void>(),
            iov_len: zeroes.len(),
        };
        let pages = [page; PAGES];
        let count = usize::try_from(count)?.min(PAGES.saturating_mul(zeroes.len()));

        let _locked = self.0.inode().lock();
        let mut iter = bindings::iov_iter::default();
        // SAFETY: `pages` and `zeroes` stay where they are while the iterator is used, and
        // are `count` bytes or more. A source is only read.
        unsafe {
            bindings::iov_iter_kvec(
                &mut iter,
                bindings::ITER_SOURCE,
                pages.as_ptr(),
                PAGES,
                count,
            )
        };
        let mut kiocb = bindings::kiocb {
            ki_filp: file,
            ki_pos: start,
            ki_flags: bindings::IOCB_WRITE,
            ..pin_init::zeroed()
        };
        // SAFETY: an open file that can be written, its inode locked, of a file system that
        // writes files in this way, and a synchronous kiocb.
        let written = unsafe { bindings::__generic_file_write_iter(&mut kiocb, &mut iter) };
        // CAST: an errno fits in an `i32`.
        let written = u64::try_from(written).map_err(|_| Error::from_errno(written as i32))?;
        if written == 0 {
            return Err(EIO);
        }
        Ok(written)
    }

    /// Allocates `len` bytes at `start` and has the device write zeroes there.
    fn allocate(&self, start: u64, len: u64) -> Result<u64> {
        let fallocate = self.0.operations().fallocate.ok_or_else(unsupported)?;
        let (from, bytes) = (i64::try_from(start)?, i64::try_from(len)?);
        // The second makes the file longer before it allocates: so there must be room.
        for mode in [
            bindings::FALLOC_FL_KEEP_SIZE,
            bindings::FALLOC_FL_WRITE_ZEROES,
        ] {
            // CAST: a small flag.
            let mode = mode as i32;
            // SAFETY: an open file that can be written.
            let result = unsafe { fallocate(self.0.as_raw(), mode, from, bytes) };
            // CAST: an errno fits in an `i32`.
            to_result(result as i32)?;
        }
        Ok(len)
    }
}

impl Drop for WriteAccess<'_> {
    fn drop(&mut self) {
        // SAFETY: begun by `new`, in this task.
        unsafe { bindings::dm_loop_file_end_write(self.0.as_raw()) };
    }
}
