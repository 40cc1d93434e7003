// SPDX-License-Identifier: GPL-2.0

//! A part in the claim on a block-mapped file.

use super::{
    claim::ClaimError,
    file::BackingFile,
    layout::FileMap,
    seat::{Seat, User},
};
use crate::{bindings, block::Device};
use core::ptr::NonNull;
use kernel::{prelude::*, sync::Arc};

/// A part in the claim on a file.
///
/// # Invariants
///
/// `map` and `device` are those of the claim that `seat` keeps, as they were at first: a
/// file that grows has a new map, which begins with this one.
#[repr(C)]
pub(crate) struct Share {
    map: Arc<FileMap>,
    device: NonNull<bindings::block_device>,
    seat: Seat,
}

// SAFETY: the device may be used from any task.
unsafe impl Send for Share {}

// SAFETY: as above, and concurrently.
unsafe impl Sync for Share {}

impl Share {
    /// Joins the claim on `file`, or makes it. Process context, sleeps.
    pub(crate) fn new(file: BackingFile, user: User) -> Result<Self, ClaimError> {
        let mut device = Err(ENODEV);
        let mut map = Err(ENODEV);
        let seat = Seat::take(file, user, |claim| {
            map = Ok(claim.map().clone());
            device = claim
                .device()
                .map(Device::as_raw)
                .and_then(NonNull::new)
                .ok_or(ENODEV);
        })?;
        // INVARIANT: both come from the claim of `seat`.
        Ok(Self {
            map: map?,
            device: device?,
            seat,
        })
    }

    /// The file.
    pub(crate) fn file(&self) -> &BackingFile {
        self.seat.file()
    }

    /// Makes the file at least `size` bytes long, with zeroes behind what it has. Where
    /// those lie is for shares that are made after that. Process context, sleeps.
    pub(crate) fn grow(&self, size: u64) -> Result<(), ClaimError> {
        self.seat.grow(size)
    }

    /// Where the file lies.
    #[inline(always)]
    pub(crate) fn map(&self) -> &FileMap {
        &self.map
    }

    /// The device that it lies on.
    #[inline(always)]
    pub(crate) fn device(&self) -> &Device {
        // SAFETY: by the type invariant this is the device of a claim, which the file
        // system holds open as long as the claim exists.
        unsafe { Device::from_raw(self.device.as_ptr()) }
    }
}
