// SPDX-License-Identifier: GPL-2.0

//! A bio on its way through a target.
//!
//! A [`Bio`] is owned by the map function and can only be got rid of by saying what
//! becomes of it; the [`MapResult`] that this gives has no other constructor. So a
//! bio that is completed twice, or forgotten, does not compile.
//!
//! C headers: [`include/linux/device-mapper.h`](srctree/include/linux/device-mapper.h),
//! [`include/linux/bio.h`](srctree/include/linux/bio.h)

use super::{deferred::Deferred, target::Target};
use crate::{
    bindings,
    block::{Device, Sector, SectorCount, SECTOR_SHIFT},
};
use core::{marker::PhantomData, ptr::NonNull};
use kernel::ffi::c_int;

/// What device-mapper is to do with a bio, as `dm_map_fn` returns it.
#[must_use]
pub(crate) struct MapResult(c_int);

impl MapResult {
    /// The value that the C side expects.
    pub(super) fn into_raw(self) -> c_int {
        self.0
    }
}

/// What a bio asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// A flush of the device's cache, without data.
    Flush,
    /// A read.
    Read,
    /// A write.
    Write,
    /// The content of the sectors is not needed any more.
    Discard,
    /// As [`Op::Discard`], and nobody shall read it again.
    SecureErase,
    /// The sectors are to read as zeroes.
    WriteZeroes,
    /// Anything else.
    Other,
}

impl Op {
    /// Whether it changes what the device holds.
    #[inline(always)]
    pub(crate) fn changes_data(self) -> bool {
        match self {
            Self::Write | Self::Discard | Self::SecureErase | Self::WriteZeroes => true,
            Self::Flush | Self::Read | Self::Other => false,
        }
    }
}

/// A bio that a target has been given to map.
///
/// # Invariants
///
/// `raw` points to a bio that device-mapper cloned for this call of the target's map
/// function, and that nobody else uses until that function has returned.
pub(crate) struct Bio<'a> {
    raw: NonNull<bindings::bio>,
    _call: PhantomData<&'a mut bindings::bio>,
}

impl Bio<'_> {
    /// Wraps the bio of a call of `dm_map_fn`.
    ///
    /// # Safety
    ///
    /// `raw` must be the bio of a call of `dm_map_fn` that lasts for the lifetime of
    /// the result, and be wrapped once in it.
    #[inline(always)]
    pub(super) unsafe fn from_raw(raw: NonNull<bindings::bio>) -> Self {
        // INVARIANT: required of the caller.
        Self {
            raw,
            _call: PhantomData,
        }
    }

    /// A shared reference to the C structure.
    #[inline(always)]
    fn as_ref(&self) -> &bindings::bio {
        // SAFETY: by the type invariant `raw` is valid, and nobody but us writes to it.
        unsafe { self.raw.as_ref() }
    }

    /// What the bio asks for.
    #[inline(always)]
    pub(crate) fn op(&self) -> Op {
        let bio = self.as_ref();
        match bio.bi_opf & bindings::REQ_OP_MASK {
            // Device-mapper sends the flush of a write with data as a bio of its own.
            bindings::req_op_REQ_OP_WRITE if bio.bi_iter.bi_size == 0 => Op::Flush,
            bindings::req_op_REQ_OP_FLUSH => Op::Flush,
            bindings::req_op_REQ_OP_READ => Op::Read,
            bindings::req_op_REQ_OP_WRITE => Op::Write,
            bindings::req_op_REQ_OP_DISCARD => Op::Discard,
            bindings::req_op_REQ_OP_SECURE_ERASE => Op::SecureErase,
            bindings::req_op_REQ_OP_WRITE_ZEROES => Op::WriteZeroes,
            _ => Op::Other,
        }
    }

    /// Whether a write is to be on stable storage before the bio ends.
    pub(crate) fn is_fua(&self) -> bool {
        self.as_ref().bi_opf & bindings::REQ_FUA != 0
    }

    /// Whether a write of zeroes may give the blocks back.
    pub(crate) fn may_unmap(&self) -> bool {
        self.as_ref().bi_opf & bindings::REQ_NOUNMAP == 0
    }

    /// The first sector of the bio on the mapped device.
    #[inline(always)]
    pub(crate) fn sector(&self) -> Sector {
        Sector::new(self.as_ref().bi_iter.bi_sector)
    }

    /// The length of the bio.
    #[inline(always)]
    pub(crate) fn len(&self) -> SectorCount {
        SectorCount::new(u64::from(self.as_ref().bi_iter.bi_size >> SECTOR_SHIFT))
    }

    /// Sends the bio to `sector` of `device`.
    ///
    /// Only its first `accept` sectors go there; device-mapper resubmits the rest. A
    /// bio without data takes `accept` as zero. A bio of which nothing can be accepted,
    /// or that must not be split, fails with an I/O error.
    #[inline(always)]
    pub(crate) fn remap(self, device: &Device, sector: Sector, accept: SectorCount) -> MapResult {
        if accept < self.len() {
            return self.remap_part(device, sector, accept);
        }
        self.redirect(device, sector)
    }

    /// Sends all of the bio to `sector` of `device`.
    #[inline(always)]
    fn redirect(mut self, device: &Device, sector: Sector) -> MapResult {
        // SAFETY: by the type invariant nobody else uses the bio.
        unsafe { self.raw.as_mut() }.bi_iter.bi_sector = sector.get();
        // SAFETY: by the type invariant the bio is ours, and a `Device` is valid.
        unsafe { bindings::dm_loop_bio_set_dev(self.raw.as_ptr(), device.as_raw()) };
        // CAST: one of a few small values.
        MapResult(bindings::DM_MAPIO_REMAPPED as c_int)
    }

    /// Sends the first `accept` sectors of a longer bio to `sector` of `device`. A function
    /// of its own, so that the registers it needs are not saved for every bio.
    #[inline(never)]
    fn remap_part(self, device: &Device, sector: Sector, accept: SectorCount) -> MapResult {
        // Device-mapper would resubmit for ever, or stop the kernel.
        if accept.is_zero()
            || accept >= self.len()
            || self.as_ref().bi_opf & bindings::REQ_ATOMIC != 0
        {
            return self.kill();
        }
        // CAST: `accept` is less than the length of the bio, which came from a `u32`.
        let sectors = accept.get() as u32;
        // SAFETY: by the type invariant this is the bio of a running map call. The
        // targets of this module ask for one bio of each kind, so it is no
        // duplicate; it is not atomic, and longer than `sectors`.
        unsafe { bindings::dm_accept_partial_bio(self.raw.as_ptr(), sectors) };
        self.redirect(device, sector)
    }

    /// Hands the bio to `take`, which sees to it that it is ended some time, along with
    /// `data`, which takes no memory of its own: it stands with the bio.
    ///
    /// Fails the bio where its target has not asked for that much room.
    pub(crate) fn defer<T>(
        self,
        target: Target<'_>,
        data: T,
        take: impl FnOnce(Deferred<T>),
    ) -> MapResult {
        if target.per_bio_room() < size_of::<T>() {
            return self.kill();
        }
        // SAFETY: by the type invariant this is the bio of a running map call, which
        // will return the result below; there is room, as checked above.
        take(unsafe { Deferred::new(self.raw, data) });
        // CAST: one of a few small values.
        MapResult(bindings::DM_MAPIO_SUBMITTED as c_int)
    }

    /// Fails the bio with an I/O error.
    #[inline(always)]
    pub(crate) fn kill(self) -> MapResult {
        // CAST: one of a few small values.
        MapResult(bindings::DM_MAPIO_KILL as c_int)
    }

    /// Completes the bio as not supported.
    #[cold]
    pub(crate) fn reject(mut self) -> MapResult {
        // SAFETY: by the type invariant nobody else uses the bio.
        unsafe { self.raw.as_mut() }.bi_status =
            bindings::BLK_STS_NOTSUPP as bindings::blk_status_t;
        // SAFETY: by the type invariant the bio is ours to end, and this consumes it.
        unsafe { bindings::bio_endio(self.raw.as_ptr()) };
        // CAST: one of a few small values.
        MapResult(bindings::DM_MAPIO_SUBMITTED as c_int)
    }
}
