// SPDX-License-Identifier: GPL-2.0

//! Telling device-mapper which parts of which devices a target uses.
//!
//! Mirrors `iterate_devices_callout_fn` of
//! [`include/linux/device-mapper.h`](srctree/include/linux/device-mapper.h).

use crate::{
    bindings,
    block::{with_placeholder, Device, Sector, SectorCount},
};
use core::marker::PhantomData;
use kernel::ffi::{c_int, c_void};
use pin_init::Zeroable;

/// The function that device-mapper wants called for each part of a device.
///
/// # Invariants
///
/// `callout`, `ti` and `data` are the arguments of a call of `dm_iterate_devices_fn`
/// that lasts for `'a`.
pub(crate) struct DeviceVisitor<'a> {
    callout: bindings::iterate_devices_callout_fn,
    ti: *mut bindings::dm_target,
    data: *mut c_void,
    _call: PhantomData<&'a ()>,
}

impl DeviceVisitor<'_> {
    /// Wraps the arguments of a call of `dm_iterate_devices_fn`.
    ///
    /// # Safety
    ///
    /// They must be those arguments, and the call must last for the lifetime of the
    /// result.
    pub(super) unsafe fn from_raw(
        ti: *mut bindings::dm_target,
        callout: bindings::iterate_devices_callout_fn,
        data: *mut c_void,
    ) -> Self {
        // INVARIANT: required of the caller.
        Self {
            callout,
            ti,
            data,
            _call: PhantomData,
        }
    }

    /// Shows device-mapper that the target has limits, and no device. To be returned as what
    /// [`visit`](Self::visit) returns.
    pub(crate) fn visit_none(&mut self, writable: bool, len: SectorCount) -> c_int {
        with_placeholder(|device| self.visit(device, writable, Sector::ZERO, len)).unwrap_or(0)
    }

    /// Shows device-mapper `len` sectors at `start` of `device`, opened for writing
    /// where `writable`. Anything but zero ends the iteration and is to be returned.
    ///
    /// The device need not be one of the table's own: device-mapper could not open
    /// the disk of a mounted file system, which holds it.
    pub(crate) fn visit(
        &mut self,
        device: &Device,
        writable: bool,
        start: Sector,
        len: SectorCount,
    ) -> c_int {
        let Some(callout) = self.callout else {
            return 0;
        };
        let mut dev = bindings::dm_dev {
            bdev: device.as_raw(),
            mode: if writable {
                bindings::BLK_OPEN_READ | bindings::BLK_OPEN_WRITE
            } else {
                bindings::BLK_OPEN_READ
            },
            ..Zeroable::zeroed()
        };
        // SAFETY: by the type invariant these are the arguments that device-mapper
        // passed for this purpose. Its callouts read `dev` and keep no pointer to it.
        unsafe { callout(self.ti, &mut dev, start.get(), len.get(), self.data) }
    }
}
