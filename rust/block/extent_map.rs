// SPDX-License-Identifier: GPL-2.0

//! The table that says where each sector of a file lies.
//!
//! Pure: uses `core` alone; the memory is handed in. A lookup allocates nothing,
//! locks nothing, writes nothing and cannot panic.
//!
//! The positions in the file and what is to be added to them are two arrays, so that a
//! search reads keys only. It needs few of them: the file is cut into buckets of equal
//! length, one for [`PER_BUCKET`] extents, and for each bucket it is known which extents
//! begin in it. Where extents are of like length, a search is a multiplication and a look
//! at sixteen keys, however many there are; where they are not, many may begin in one
//! bucket, and at worst it is a search of all keys. The buckets are 1/18 of the other two.

use super::{
    extent::Extent,
    sector::{Sector, SectorCount},
};
use core::ops::{Deref, DerefMut};

/// How many extents there are for each bucket.
const PER_BUCKET: usize = 9;

/// How many keys are searched in any case: a power of two, and more than are in most
/// buckets.
const WINDOW: usize = 16;

/// A run of sectors on the device, from the one that was looked up to the end of
/// its extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Where the sector that was looked up lies on the device.
    pub(crate) disk: Sector,
    /// How many sectors follow each other from there.
    pub(crate) len: SectorCount,
}

/// Where each sector of a file lies, from its first to `end`.
///
/// `B` is an owned array of `u64`.
///
/// # Invariants
///
/// - `keys` has one key for each of `shifts`, which ascend strictly from 0; then `end`,
///   often enough that a [`WINDOW`] of keys begins with that of any extent.
/// - Extent `i` covers the file from `keys[i]` to `keys[i + 1]`. Sector `n` of it lies at
///   `n + shifts[i]` on the device, modulo 2^64; none lies beyond what a `u64` can say.
/// - `buckets[n]` is the last extent that begins in a bucket before `n`, or 0, where
///   [`bucket_of`] tells by `scale` in which bucket that is; the last one is a bucket that
///   no position before `end` is in.
pub(crate) struct ExtentMap<B> {
    keys: B,
    shifts: B,
    buckets: B,
    scale: u64,
    end: Sector,
}

impl<B: Deref<Target = [u64]>> ExtentMap<B> {
    /// Lays out a table of `extents`, as an
    /// [`ExtentBuilder`](super::extent::ExtentBuilder) gathered them, ending at `end`.
    ///
    /// `alloc` makes an array of as many zeroes as it is told. [`None`] means that the
    /// extents were not in order, or not on any device; `alloc`'s own errors are passed on.
    pub(crate) fn new<E>(
        extents: &[Extent],
        end: Sector,
        mut alloc: impl FnMut(usize) -> Result<B, E>,
    ) -> Result<Option<Self>, E>
    where
        B: DerefMut,
    {
        let count = extents.len();
        let mut keys = alloc(count.saturating_add(WINDOW - 1))?;
        let mut shifts = alloc(count)?;
        let mut next = Sector::ZERO;
        keys.fill(end.get());
        for ((extent, key), shift) in extents.iter().zip(keys.iter_mut()).zip(shifts.iter_mut()) {
            match (extent.file_end(), extent.disk_end()) {
                (Some(file_end), Some(_)) if extent.file == next && !extent.len.is_zero() => {
                    next = file_end;
                }
                _ => return Ok(None),
            }
            *key = extent.file.get();
            *shift = extent.disk.get().wrapping_sub(extent.file.get());
        }
        if next != end {
            return Ok(None);
        }

        // Never 0, and never more than there are sectors.
        let used = (count / PER_BUCKET).max(1);
        let mut buckets = alloc(used.saturating_add(1))?;
        // CAST: `usize` is never wider than `u64`.
        let scale = (u64::MAX / end.get().max(1)).saturating_mul(used as u64);
        let starts = keys.get(..count).unwrap_or(&[]);
        for (number, bucket) in buckets.iter_mut().enumerate() {
            let before = starts.partition_point(|&key| bucket_of(key, scale) < number);
            // CAST: `usize` is never wider than `u64`.
            *bucket = before.saturating_sub(1) as u64;
        }

        // INVARIANT: the loops above checked or made each part.
        Ok(Some(Self {
            keys,
            shifts,
            buckets,
            scale,
            end,
        }))
    }

    /// The number of extents.
    pub(crate) fn len(&self) -> usize {
        self.shifts.len()
    }

    /// The first position of the file that the table does not cover.
    pub(crate) fn end(&self) -> Sector {
        self.end
    }

    /// The bytes that the table's arrays take.
    #[cfg(test)]
    pub(crate) fn memory(&self) -> usize {
        let words = self.keys.len() + self.shifts.len() + self.buckets.len();
        words * size_of::<u64>()
    }

    /// Where the sector at `file` lies, or [`None`] beyond the end.
    ///
    /// Takes O(log n) at worst and never sleeps: fit for the I/O path.
    #[inline(always)]
    pub(crate) fn lookup(&self, file: Sector) -> Option<Run> {
        if file >= self.end {
            return None;
        }
        let extent = self.find(file.get())?;
        let run_end = Sector::new(*self.keys.get(extent.wrapping_add(1))?);
        let shift = *self.shifts.get(extent)?;
        Some(Run {
            disk: Sector::new(file.get().wrapping_add(shift)),
            len: run_end.checked_since(file)?,
        })
    }

    /// The runs that `len` sectors from `file` consist of, in order.
    pub(crate) fn runs(&self, file: Sector, len: SectorCount) -> impl Iterator<Item = Run> + '_ {
        let mut next = file;
        let mut left = len;
        core::iter::from_fn(move || {
            if left.is_zero() {
                return None;
            }
            let run = self.lookup(next)?;
            let len = run.len.min(left);
            next = next.checked_add(len)?;
            left = SectorCount::new(left.get().checked_sub(len.get())?);
            Some(Run { len, ..run })
        })
    }

    /// Whether all of `other` lies where this has it too.
    pub(crate) fn begins_with(&self, other: &Self) -> bool {
        let len = other.end.as_count();
        self.end >= other.end
            && self
                .runs(Sector::ZERO, len)
                .eq(other.runs(Sector::ZERO, len))
    }

    /// The number of the extent that holds `file`, which is before the end.
    #[inline(always)]
    fn find(&self, file: u64) -> Option<usize> {
        let first = if self.len() <= WINDOW {
            0
        } else {
            self.first(file)?
        };
        let window = self.keys.get(first..)?.first_chunk::<WINDOW>()?;
        Some(first.wrapping_add(last_at_or_before(window, file)))
    }

    /// The first of at most [`WINDOW`] extents of which one holds `file`.
    #[inline(always)]
    fn first(&self, file: u64) -> Option<usize> {
        let bucket = bucket_of(file, self.scale);
        // CAST: they were made of a `usize`.
        let mut first = *self.buckets.get(bucket)? as usize;
        let last = *self.buckets.get(bucket.wrapping_add(1))? as usize;
        // It is one of `first` to `last`. What follows the last begins too late in any
        // case, so that it need not be known unless they are many.
        let mut count = last.wrapping_sub(first).wrapping_add(1);
        while count > WINDOW {
            let half = count / 2;
            let middle = first.wrapping_add(half);
            let begun = *self.keys.get(middle)? <= file;
            first = if begun { middle } else { first };
            count = count.wrapping_sub(half);
        }
        Some(first)
    }
}

/// The position of the last key at or before `file`, or 0.
///
/// Halves the window without branches that depend on the keys: each of them would be
/// mispredicted half the time.
#[inline(always)]
fn last_at_or_before(window: &[u64; WINDOW], file: u64) -> usize {
    let mut base = 0_usize;
    let mut half = WINDOW / 2;
    while half > 0 {
        let middle = base | half;
        let begun = window.get(middle).is_some_and(|&key| key <= file);
        base = if begun { middle } else { base };
        half >>= 1;
    }
    base
}

/// The bucket that `file` is in: a number that grows with it. For a file of `end` sectors
/// and a `scale` of `n * (2^64 / end)`, it is below `n`.
#[inline(always)]
fn bucket_of(file: u64, scale: u64) -> usize {
    // CAST: the upper half of a product of two `u64` is one, and the buckets fit in memory.
    (u128::from(file).wrapping_mul(u128::from(scale)) >> 64) as usize
}
