// SPDX-License-Identifier: GPL-2.0

//! How the sectors of a device are aligned on the disk below it.
//!
//! Pure: uses `core` alone.

use crate::block::{
    extent_map::Run,
    sector::{Sector, SectorCount},
};

/// What device-mapper derives the alignment of a device from: the place on disk of which the
/// device would be a plain copy. Where all runs agree about that, one stands for all; else
/// it is shown two, so that it sees that there is no common one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Alignment {
    /// By the first run.
    first: Sector,
    /// By the run that agrees least with the first: up to the smallest power of two.
    other: Sector,
}

impl Alignment {
    /// The alignment of a device that begins with `first`, on a disk of `disk_len` sectors.
    pub(crate) fn new(first: Run, disk_len: SectorCount) -> Self {
        let first = origin(first.disk, 0, disk_len);
        Self {
            first,
            other: first,
        }
    }

    /// Takes in a run whose first sector is sector `position` of the device.
    pub(crate) fn add(&mut self, run: Run, position: u64, disk_len: SectorCount) {
        let origin = origin(run.disk, position, disk_len);
        let agreeing = |place: Sector| (place.get() ^ self.first.get()).trailing_zeros();
        if agreeing(origin) < agreeing(self.other) {
            self.other = origin;
        }
    }

    /// The places: with a block behind it, each is within the disk.
    pub(crate) fn origins(&self) -> impl Iterator<Item = Sector> {
        let other = (self.other != self.first).then_some(self.other);
        core::iter::once(self.first).chain(other)
    }
}

/// Where sector 0 of the device would be, if sector `position` of it lies at `disk`. If that is
/// before the beginning of the disk, a place on the disk that is aligned in the same way to any
/// power of two that is not larger than it.
fn origin(disk: Sector, position: u64, disk_len: SectorCount) -> Sector {
    let place = match disk.get().checked_sub(position) {
        Some(place) => place,
        None => {
            let bits = disk_len.get().checked_ilog2().unwrap_or(0);
            disk.get().wrapping_sub(position) & 1_u64.wrapping_shl(bits).wrapping_sub(1)
        }
    };
    Sector::new(place)
}
