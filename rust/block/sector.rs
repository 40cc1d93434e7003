// SPDX-License-Identifier: GPL-2.0

//! Positions and lengths in 512-byte sectors.
//!
//! Pure: uses `core` alone. Mirrors `sector_t` of
//! [`include/linux/blk_types.h`](srctree/include/linux/blk_types.h); a position and
//! a length are different types here, and nothing wraps.

/// log2 of the size of a sector in bytes.
pub(crate) const SECTOR_SHIFT: u32 = 9;

/// Size of a sector in bytes.
const SECTOR_SIZE: u64 = 1 << SECTOR_SHIFT;

/// A position on a device or in a file, in sectors of 512 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Sector(u64);

/// A number of sectors of 512 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SectorCount(u64);

impl Sector {
    /// The first sector.
    pub(crate) const ZERO: Self = Self(0);

    /// The position of sector number `sector`.
    #[inline(always)]
    pub(crate) const fn new(sector: u64) -> Self {
        Self(sector)
    }

    /// The position `bytes` from the start, or [`None`] where no sector begins there.
    pub(crate) const fn from_bytes(bytes: u64) -> Option<Self> {
        if bytes % SECTOR_SIZE == 0 {
            Some(Self(bytes >> SECTOR_SHIFT))
        } else {
            None
        }
    }

    /// The sector's number, as the C side counts.
    #[inline(always)]
    pub(crate) const fn get(self) -> u64 {
        self.0
    }

    /// The position in bytes.
    pub(crate) const fn bytes(self) -> Option<u64> {
        self.0.checked_mul(SECTOR_SIZE)
    }

    /// The position `count` after this one.
    #[inline(always)]
    pub(crate) const fn checked_add(self, count: SectorCount) -> Option<Self> {
        match self.0.checked_add(count.0) {
            Some(sector) => Some(Self(sector)),
            None => None,
        }
    }

    /// The distance from `earlier` to this position, or [`None`] where it is later.
    #[inline(always)]
    pub(crate) const fn checked_since(self, earlier: Self) -> Option<SectorCount> {
        match self.0.checked_sub(earlier.0) {
            Some(count) => Some(SectorCount(count)),
            None => None,
        }
    }

    /// This position counted from the start, as a number of sectors.
    #[inline(always)]
    pub(crate) const fn as_count(self) -> SectorCount {
        SectorCount(self.0)
    }
}

impl SectorCount {
    /// No sector at all.
    pub(crate) const ZERO: Self = Self(0);

    /// `count` sectors.
    #[inline(always)]
    pub(crate) const fn new(count: u64) -> Self {
        Self(count)
    }

    /// The number of whole sectors in `bytes`: a part of a sector does not count.
    pub(crate) const fn from_bytes_floor(bytes: u64) -> Self {
        Self(bytes >> SECTOR_SHIFT)
    }

    /// The number, as the C side counts.
    #[inline(always)]
    pub(crate) const fn get(self) -> u64 {
        self.0
    }

    /// The length in bytes.
    pub(crate) const fn bytes(self) -> Option<u64> {
        self.0.checked_mul(SECTOR_SIZE)
    }

    /// Whether this is no sector at all.
    #[inline(always)]
    pub(crate) const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The sum of two lengths.
    pub(crate) const fn checked_add(self, more: Self) -> Option<Self> {
        match self.0.checked_add(more.0) {
            Some(count) => Some(Self(count)),
            None => None,
        }
    }

    /// Whether this is a whole number of blocks of `block` sectors, a power of two.
    pub(crate) const fn is_multiple_of(self, block: Self) -> bool {
        self.0 & block.0.wrapping_sub(1) == 0
    }

    /// The smaller of two lengths.
    #[inline(always)]
    pub(crate) const fn min(self, other: Self) -> Self {
        if self.0 <= other.0 {
            self
        } else {
            other
        }
    }
}
