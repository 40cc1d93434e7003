// SPDX-License-Identifier: GPL-2.0

//! One line of a device's table.
//!
//! [`Constructor`] is the target while its constructor runs, [`Target`] what the
//! other callbacks see of it. Both mirror `struct dm_target` of
//! [`include/linux/device-mapper.h`](srctree/include/linux/device-mapper.h).

use crate::{
    bindings,
    block::{Device, Sector, SectorCount},
};
use core::{marker::PhantomData, ptr::NonNull};

/// Identifies a mapped device for as long as one of its tables exists.
///
/// Mirrors the address of `struct mapped_device`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct MappedDevice(usize);

/// Which bios beyond reads and writes a target wants to see, one of each kind.
#[derive(Clone, Copy, Default)]
pub(crate) struct BioKinds {
    /// Flushes.
    pub(crate) flush: bool,
    /// Discards.
    pub(crate) discard: bool,
    /// Secure erases.
    pub(crate) secure_erase: bool,
    /// Writes of zeroes.
    pub(crate) write_zeroes: bool,
}

/// A target that is being constructed.
///
/// # Invariants
///
/// `raw` is the argument of a call of `dm_ctr_fn` that lasts for `'a`.
pub(crate) struct Constructor<'a> {
    raw: NonNull<bindings::dm_target>,
    _call: PhantomData<&'a mut bindings::dm_target>,
}

impl Constructor<'_> {
    /// Wraps the target of a call of `dm_ctr_fn`.
    ///
    /// # Safety
    ///
    /// `raw` must be the argument of that call, which must last for the lifetime of
    /// the result.
    pub(super) unsafe fn from_raw(raw: NonNull<bindings::dm_target>) -> Self {
        // INVARIANT: required of the caller.
        Self {
            raw,
            _call: PhantomData,
        }
    }

    /// A shared reference to the C structure.
    fn as_ref(&self) -> &bindings::dm_target {
        // SAFETY: by the type invariant the target is valid, and during its
        // constructor nobody else uses it.
        unsafe { self.raw.as_ref() }
    }

    /// The length of the table line.
    pub(crate) fn len(&self) -> SectorCount {
        SectorCount::new(self.as_ref().len)
    }

    /// Whether the table line begins at a multiple of `bytes` on the mapped device.
    pub(crate) fn begins_at_multiple_of(&self, bytes: u32) -> bool {
        let begin = Sector::new(self.as_ref().begin).bytes();
        begin.and_then(|begin| begin.checked_rem(bytes.into())) == Some(0)
    }

    /// Whether the table may be written to.
    pub(crate) fn writable(&self) -> bool {
        // SAFETY: device-mapper filled in the table before it called the constructor.
        let mode = unsafe { bindings::dm_table_get_mode(self.as_ref().table) };
        mode & bindings::BLK_OPEN_WRITE != 0
    }

    /// The device that the table is for.
    pub(crate) fn mapped_device(&self) -> MappedDevice {
        MappedDevice(self.md().addr())
    }

    /// Whether `device` is, or is part of, the device that the table is for.
    pub(crate) fn is_on(&self, device: &Device) -> bool {
        // SAFETY: a table's mapped device outlives it.
        let disk = unsafe { bindings::dm_disk(self.md()) };
        device.is_of(disk)
    }

    /// The C mapped device.
    fn md(&self) -> *mut bindings::mapped_device {
        // SAFETY: device-mapper filled in the table before it called the constructor.
        unsafe { bindings::dm_table_get_md(self.as_ref().table) }
    }

    /// Says which bios beyond reads and writes the target wants.
    pub(crate) fn accept(&mut self, kinds: BioKinds) {
        // SAFETY: by the type invariant the target is valid, and during its
        // constructor nobody else uses it.
        let target = unsafe { self.raw.as_mut() };
        target.num_flush_bios = kinds.flush.into();
        target.num_discard_bios = kinds.discard.into();
        target.num_secure_erase_bios = kinds.secure_erase.into();
        target.num_write_zeroes_bios = kinds.write_zeroes.into();
    }

    /// Says that the target does bios itself, with a `T` for each: there is no device
    /// whose abilities decide what they may be.
    pub(crate) fn do_bios_with<T>(&mut self, kinds: BioKinds) {
        self.accept(kinds);
        // SAFETY: by the type invariant the target is valid, and during its
        // constructor nobody else uses it.
        let target = unsafe { self.raw.as_mut() };
        target.per_io_data_size = u32::try_from(size_of::<T>()).unwrap_or(0);
        target.set_flush_supported(kinds.flush);
        target.set_discards_supported(kinds.discard);
        // Or bios would come without the cgroup they are charged to.
        target.set_needs_bio_set_dev(true);
    }
}

/// A target in use. Callbacks run concurrently, so nothing of it can be changed.
///
/// # Invariants
///
/// `raw` is a target whose constructor has succeeded and whose destructor is not
/// called during `'a`.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    raw: NonNull<bindings::dm_target>,
    _alive: PhantomData<&'a bindings::dm_target>,
}

impl Target<'_> {
    /// Wraps the target of a callback other than constructor and destructor.
    ///
    /// # Safety
    ///
    /// The callback must last for the lifetime of the result.
    #[inline(always)]
    pub(super) unsafe fn from_raw(raw: NonNull<bindings::dm_target>) -> Self {
        // INVARIANT: required of the caller.
        Self {
            raw,
            _alive: PhantomData,
        }
    }

    /// How many bytes device-mapper allocates with each bio for the target.
    pub(super) fn per_bio_room(&self) -> usize {
        // SAFETY: by the type invariant the target is valid, and this never changes.
        let room = unsafe { (*self.raw.as_ptr()).per_io_data_size };
        // CAST: `u32` is never wider than `usize` in the kernel.
        room as usize
    }

    /// Whether the device is suspended, or about to be.
    pub(crate) fn is_suspended(&self) -> bool {
        // SAFETY: by the type invariant the target is valid.
        unsafe { bindings::dm_suspended(self.raw.as_ptr()) != 0 }
    }

    /// Whether a suspend that is under way does not wait for data to be written.
    pub(crate) fn noflush_suspending(&self) -> bool {
        // SAFETY: by the type invariant the target is valid.
        unsafe { bindings::dm_noflush_suspending(self.raw.as_ptr()) != 0 }
    }

    /// `sector` of the mapped device, counted from where the table line begins.
    ///
    /// Mirrors `dm_target_offset()`.
    #[inline(always)]
    pub(crate) fn offset(&self, sector: Sector) -> Option<Sector> {
        // SAFETY: by the type invariant the target is valid; `begin` never changes.
        let begin = Sector::new(unsafe { (*self.raw.as_ptr()).begin });
        let offset = sector.checked_since(begin)?;
        Some(Sector::new(offset.get()))
    }
}
