// SPDX-License-Identifier: GPL-2.0

//! What is to be done to a file for one bio.
//!
//! Direct I/O is asynchronous: the worker that begins it goes on to the next bio, and
//! the file system ends it. A transfer that the file system ends early is continued
//! by the worker.
//!
//! What is to be durable is written, and then the file is synced, as if a flush came behind it.
//! `IOCB_DSYNC` would do for some file systems; but in asynchronous direct I/O, 9p, SMB and FUSE
//! do not heed it, and btrfs and ext4 without a journal write the data through and may leave
//! out what leads to it.
//!
//! Mirrors `lo_rw_aio()` of [`drivers/block/loop.c`](srctree/drivers/block/loop.c); C
//! header: [`include/linux/fs.h`](srctree/include/linux/fs.h)

use super::lane::Lane;
use crate::{
    bindings,
    dm::{Deferred, Status},
};
use core::{
    mem::MaybeUninit,
    ptr::NonNull,
    sync::atomic::{AtomicIsize, AtomicU32, Ordering},
};
use kernel::{
    ffi::{c_int, c_long},
    prelude::*,
};

/// What a bio asks of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Job {
    /// Read into the pages of the bio.
    Read,
    /// Write the pages of the bio.
    Write {
        /// Whether the bio ends only after its data is on stable storage.
        durable: bool,
    },
    /// Bring to stable storage what has been written.
    Flush,
    /// Give the blocks back to the file system; they read as zeroes.
    Discard,
    /// Make the range read as zeroes.
    WriteZeroes {
        /// Whether the blocks may be given back.
        unmap: bool,
    },
}

/// A part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ByteRange {
    /// Where it begins, in bytes.
    pub(crate) start: i64,
    /// How many bytes it has.
    pub(crate) len: u32,
}

/// A job and how far it is. Lives in the memory that device-mapper gives each bio.
///
/// # Invariants
///
/// - `lane` outlives the request, and so does the one in `sync_in`.
/// - While a transfer goes on by itself, `users` counts who may still use the request: the
///   call that began it, which looks at the `kiocb` until it returns, and the file system,
///   until it has ended the transfer. Whoever is the last has the bio.
#[repr(C)]
pub(crate) struct Request {
    kiocb: MaybeUninit<bindings::kiocb>,
    lane: NonNull<Lane>,
    /// Where the file is synced once the job is done, before the bio ends.
    sync_in: Option<NonNull<Lane>>,
    job: Job,
    /// What is left to do.
    range: ByteRange,
    /// How many bytes of the bio are done.
    done: u32,
    /// Whether the page cache is to be left alone.
    direct: bool,
    users: AtomicU32,
    /// What [`Request::completed`] was told.
    result: AtomicIsize,
}

// SAFETY: a lane may be used from any thread, and nothing else is shared.
unsafe impl Send for Request {}

/// What follows from the end of a transfer.
enum Next {
    /// The bio is done, or has failed.
    End(Status),
    /// There is more to transfer.
    Continue,
}

impl Request {
    /// A request to do `job`, through `lane`, and then to sync the file in `sync_in`.
    ///
    /// # Safety
    ///
    /// The lanes must outlive the request.
    pub(super) unsafe fn new(
        lane: &Lane,
        sync_in: Option<&Lane>,
        job: Job,
        range: ByteRange,
    ) -> Self {
        // INVARIANT: required of the caller.
        Self {
            kiocb: MaybeUninit::uninit(),
            lane: NonNull::from(lane),
            sync_in: sync_in.map(NonNull::from),
            job,
            range,
            done: 0,
            direct: lane.direct(),
            users: AtomicU32::new(0),
            result: AtomicIsize::new(0),
        }
    }

    /// Does the job, in the thread of a worker. Sleeps.
    pub(super) fn run(mut bio: Deferred<Self>) {
        let request = bio.data();
        let (job, range) = (request.job, request.range);
        // SAFETY: by the type invariant the lane outlives the request.
        let file = unsafe { request.lane.as_ref() }.file();
        let status = match job {
            Job::Read | Job::Write { .. } => return Self::transfer(bio),
            // SAFETY: as above.
            Job::Flush => unsafe { request.lane.as_ref() }.sync(),
            Job::Discard => file.punch_hole(range),
            Job::WriteZeroes { unmap: true } => file.punch_hole(range),
            Job::WriteZeroes { unmap: false } => file.zero_range(range),
        };
        Self::end(bio, status);
    }

    /// Moves data between the file and the pages of the bio until all is moved, or the
    /// file system has taken it over.
    fn transfer(mut bio: Deferred<Self>) {
        while let Some(result) = Self::begin(&mut bio) {
            match bio.data().advance(result) {
                Next::Continue => {}
                Next::End(status) => return Self::end(bio, status),
            }
        }
        // The file system has it, and may have ended it by now.
        let _ = bio.into_raw();
    }

    /// Has the file system move what is left. [`None`] where it goes on by itself, and
    /// [`Request::completed`] has the bio: it is no longer ours then.
    fn begin(bio: &mut Deferred<Self>) -> Option<c_long> {
        let raw = bio.as_raw();
        let request = bio.data();
        // SAFETY: by the type invariant the lane outlives the request.
        let lane = unsafe { request.lane.as_ref() };
        let file = lane.file().as_raw();
        let (write, mut flags) = match request.job {
            Job::Write { .. } => (true, bindings::IOCB_WRITE),
            _ => (false, 0),
        };
        let (direct, done) = (request.direct, request.done);
        if direct {
            flags |= bindings::IOCB_DIRECT;
        }
        // INVARIANT: this call and the file system.
        *request.users.get_mut() = 2;
        let kiocb = request.kiocb.write(bindings::kiocb {
            ki_filp: file,
            ki_pos: request.range.start,
            // Without it, the file system returns when all is done.
            ki_complete: if direct { Some(Self::completed) } else { None },
            ki_flags: flags,
            // SAFETY: a valid bio.
            ki_ioprio: unsafe { (*raw).bi_ioprio },
            ..pin_init::zeroed()
        });
        let kiocb: *mut bindings::kiocb = kiocb;
        // Not borrowed any more from here on: `completed` may be at it.
        let request: *const Self = bio.data_ptr();

        let mut iter = bindings::iov_iter::default();
        // CAST: `u32` is never wider than `usize` in the kernel.
        let done = done as usize;
        // SAFETY: a valid bio, of which `done` bytes are less than it has.
        unsafe { bindings::dm_loop_bio_iter(raw, write, done, &mut iter) };
        if write && lane.direct() && !direct {
            // This reads a whole block before it writes a part of it: what direct I/O
            // is still writing to the rest must have landed. Only this thread begins it.
            lane.file().wait_for_direct_io();
        }
        let operations = lane.file().operations();
        let result = if write {
            // SAFETY: an open file.
            unsafe { bindings::dm_loop_kiocb_start_write(kiocb) };
            operations.write_iter.map(|write_iter| {
                // SAFETY: whoever made the lane has checked that the file can be
                // written, if there are writes at all; by the type invariant the kiocb
                // stays until this has returned, and the file system has ended it.
                unsafe { write_iter(kiocb, &mut iter) }
            })
        } else {
            operations.read_iter.map(|read_iter| {
                // SAFETY: as above, for reading.
                unsafe { read_iter(kiocb, &mut iter) }
            })
        };
        // CAST: both are `long`.
        let mut result = result.map_or(-(bindings::EIO as c_long), |result| result as c_long);
        if result == -(bindings::EIOCBQUEUED as c_long) {
            // SAFETY: by the type invariant this call is one of the users.
            result = unsafe { Self::leave(request) }?;
        }
        if write {
            // SAFETY: begun above, and nobody else will end it.
            unsafe { bindings::dm_loop_kiocb_end_write(kiocb) };
        }
        Some(result)
    }

    /// Ends the part of one user in a transfer that goes on by itself. The result of the
    /// transfer, if it was the last: the bio is the caller's then, otherwise the request
    /// may be gone.
    ///
    /// # Safety
    ///
    /// The caller must be one of the users.
    unsafe fn leave(request: *const Self) -> Option<c_long> {
        // SAFETY: the request stays while it has a user.
        let users = unsafe { &(*request).users };
        // Release and acquire: the last one sees what the other has done.
        if users.fetch_sub(1, Ordering::AcqRel) != 1 {
            return None;
        }
        // SAFETY: the last one has the request.
        Some(unsafe { &(*request).result }.load(Ordering::Relaxed))
    }

    /// The `ki_complete` of asynchronous I/O. In any context.
    ///
    /// # Safety
    ///
    /// For the file system, with the kiocb of a request that [`Request::begin`] left
    /// to it, once.
    unsafe extern "C" fn completed(kiocb: *mut bindings::kiocb, result: c_long) {
        // `kiocb` is the first field.
        let request: *mut Self = kiocb.cast();
        // SAFETY: the request stays while the file system is one of its users.
        unsafe { &(*request).result }.store(result, Ordering::Relaxed);
        // SAFETY: as above.
        let Some(result) = (unsafe { Self::leave(request) }) else {
            // The call that began it is still under way, and goes on with the bio.
            return;
        };
        // SAFETY: the last user has the request.
        let write = unsafe { (*request).job } != Job::Read;
        if write {
            // SAFETY: begun by `begin`, which did not end it.
            unsafe { bindings::dm_loop_kiocb_end_write(kiocb) };
        }
        // SAFETY: this is where the data of the bio stands, with this size.
        let raw = unsafe { bindings::dm_bio_from_per_bio_data(request.cast(), size_of::<Self>()) };
        let Some(raw) = NonNull::new(raw) else {
            return;
        };
        // SAFETY: `transfer` makes the bio a pointer, and touches it no more, when the
        // call was not the last user.
        let mut bio = unsafe { Deferred::<Self>::from_raw(raw) };
        match bio.data().advance(result) {
            Next::End(status) => Self::end(bio, status),
            Next::Continue => {
                let lane = bio.data().lane;
                // SAFETY: by the type invariant the lane outlives the request, and the
                // bio is not ended before it is in the queue.
                unsafe { lane.as_ref() }.enqueue(bio);
            }
        }
    }

    /// Notes the result of a transfer: what was moved, or a negative errno.
    fn advance(&mut self, result: c_long) -> Next {
        let moved = match u32::try_from(result) {
            // The file has ended, or takes no more.
            Ok(0) => return Next::End(Err(EIO)),
            Ok(moved) => moved,
            Err(_) => {
                // CAST: an errno fits.
                let error = Error::from_errno(result as c_int);
                if error == EINVAL && self.direct {
                    // What direct I/O does not allow goes through the page cache.
                    self.direct = false;
                    return Next::Continue;
                }
                return Next::End(Err(error));
            }
        };
        let left = self.range.len.saturating_sub(moved);
        if left == 0 {
            return Next::End(Ok(()));
        }
        self.range.len = left;
        self.range.start = self.range.start.saturating_add(moved.into());
        self.done = self.done.saturating_add(moved);
        Next::Continue
    }

    /// Ends the bio, or has a worker sync the file first.
    fn end(mut bio: Deferred<Self>, status: Status) {
        let request = bio.data();
        if let Some(lane) = request.sync_in.take().filter(|_| status.is_ok()) {
            request.job = Job::Flush;
            // SAFETY: by the type invariant the lane outlives the request, and the bio is
            // not ended before it is in the queue.
            return unsafe { lane.as_ref() }.enqueue(bio);
        }
        // Before the bio ends: after that, the lane may go.
        // SAFETY: by the type invariant the lane outlives the request.
        unsafe { bio.data().lane.as_ref() }.finished(&status);
        bio.end(status);
    }
}
