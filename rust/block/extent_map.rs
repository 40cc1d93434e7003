// SPDX-License-Identifier: GPL-2.0

//! The table that says where each sector of a file lies.
//!
//! Pure: uses `core` alone; the memory is handed in. A lookup allocates nothing,
//! locks nothing, writes nothing and cannot panic.
//!
//! The positions in the file and those on the device are two arrays, so that a
//! search reads keys only. Above the keys stand levels of an index, each holding
//! every [`FANOUT`]-th key of the level below; a node is two cache lines, and a
//! search reads one node a level. With a fan-out of 16, the index is 1/15 of the
//! keys: 3.4 % of the table. The last node of each level is filled up with the end
//! of the file, which is after every position that is looked up.

use super::{
    extent::Extent,
    sector::{Sector, SectorCount},
};
use core::ops::{Deref, DerefMut};

/// Keys in a node. A power of two.
const FANOUT: usize = 16;

/// Levels of index at most: enough for 16^8 extents.
const MAX_LEVELS: usize = 7;

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
/// - `keys` begins with one key for each of `disks`, which ascend strictly from 0;
///   `end` follows, once or more, up to a multiple of [`FANOUT`].
/// - Extent `i` covers the file from `keys[i]` to `keys[i + 1]`.
/// - Level `n` of `height` begins at `levels[n]` in `index`, and ends at a multiple of
///   `FANOUT`. Level 0 holds every `FANOUT`-th of `keys`, level `n + 1` every
///   `FANOUT`-th of level `n`, then `end`; the last one is one node.
pub(crate) struct ExtentMap<B> {
    keys: B,
    disks: B,
    index: B,
    levels: [usize; MAX_LEVELS],
    height: usize,
    end: Sector,
}

impl<B: Deref<Target = [u64]>> ExtentMap<B> {
    /// Lays out a table of `extents`, as an
    /// [`ExtentBuilder`](super::extent::ExtentBuilder) gathered them, ending at `end`.
    ///
    /// `alloc` makes an array of as many zeroes as it is told. [`None`] means that the
    /// extents were not in order; `alloc`'s own errors are passed on.
    pub(crate) fn new<E>(
        extents: &[Extent],
        end: Sector,
        mut alloc: impl FnMut(usize) -> Result<B, E>,
    ) -> Result<Option<Self>, E>
    where
        B: DerefMut,
    {
        let count = extents.len();
        // One more than there are extents, so that each has a successor.
        let mut below = whole_nodes(count.saturating_add(1));
        let mut keys = alloc(below)?;
        let mut disks = alloc(count)?;
        let mut next = Sector::ZERO;
        keys.fill(end.get());
        for ((extent, key), disk) in extents.iter().zip(keys.iter_mut()).zip(disks.iter_mut()) {
            match extent.file_end() {
                Some(file_end) if extent.file == next && !extent.len.is_zero() => next = file_end,
                _ => return Ok(None),
            }
            *key = extent.file.get();
            *disk = extent.disk.get();
        }
        if next != end {
            return Ok(None);
        }

        let mut levels = [0; MAX_LEVELS];
        let (mut height, mut total) = (0_usize, 0_usize);
        while below > FANOUT {
            let Some(level) = levels.get_mut(height) else {
                return Ok(None);
            };
            *level = total;
            below = whole_nodes(below / FANOUT);
            total = total.saturating_add(below);
            height = height.saturating_add(1);
        }

        let mut index = alloc(total)?;
        index.fill(end.get());
        fill_index(&keys, &mut index, levels.get(..height).unwrap_or(&[]));

        // INVARIANT: the loops above checked or made each part.
        Ok(Some(Self {
            keys,
            disks,
            index,
            levels,
            height,
            end,
        }))
    }

    /// The number of extents.
    pub(crate) fn len(&self) -> usize {
        self.disks.len()
    }

    /// The first position of the file that the table does not cover.
    pub(crate) fn end(&self) -> Sector {
        self.end
    }

    /// The bytes that the table's arrays take.
    #[cfg(test)]
    pub(crate) fn memory(&self) -> usize {
        let words = self.keys.len() + self.disks.len() + self.index.len();
        words * size_of::<u64>()
    }

    /// Where the sector at `file` lies, or [`None`] beyond the end.
    ///
    /// Takes O(log n) and never sleeps: fit for the I/O path.
    #[inline(always)]
    pub(crate) fn lookup(&self, file: Sector) -> Option<Run> {
        if file >= self.end {
            return None;
        }
        let extent = self.find(file.get())?;
        let start = Sector::new(*self.keys.get(extent)?);
        let run_end = Sector::new(*self.keys.get(extent.wrapping_add(1))?);
        let disk = Sector::new(*self.disks.get(extent)?);
        Some(Run {
            disk: disk.checked_add(file.checked_since(start)?)?,
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

    /// The number of the extent that holds `file`, which is before the end.
    #[inline(always)]
    fn find(&self, file: u64) -> Option<usize> {
        // The last key at or before `file` is in the node that the same search in
        // the level above names. The top level is one node.
        let mut node = 0_usize;
        for &level in self.levels.get(..self.height)?.iter().rev() {
            let start = level.wrapping_add(node.wrapping_mul(FANOUT));
            node = last_at_or_before(&self.index, start, file)?;
            node = node.wrapping_sub(level);
        }
        last_at_or_before(&self.keys, node.wrapping_mul(FANOUT), file)
    }
}

/// The smallest multiple of [`FANOUT`] that is at least `keys`.
const fn whole_nodes(keys: usize) -> usize {
    keys.div_ceil(FANOUT).saturating_mul(FANOUT)
}

/// Fills each level of the index from the one below it.
fn fill_index(keys: &[u64], index: &mut [u64], levels: &[usize]) {
    for (number, &level) in levels.iter().enumerate() {
        // One split gives both the finished level below and the room for this one.
        let Some((done, room)) = index.split_at_mut_checked(level) else {
            return;
        };
        let below = match number.checked_sub(1).and_then(|below| levels.get(below)) {
            Some(&below) => done.get(below..).unwrap_or(&[]),
            None => keys,
        };
        for (key, source) in room.iter_mut().zip(below.iter().step_by(FANOUT)) {
            *key = *source;
        }
    }
}

/// The position of the last key at or before `file` in the node of `keys` that begins
/// at `start`, or `start`.
///
/// Halves the node without branches that depend on the keys: in a big table each of
/// them would be mispredicted half the time.
#[inline(always)]
fn last_at_or_before(keys: &[u64], start: usize, file: u64) -> Option<usize> {
    let node = keys.get(start..)?.first_chunk::<FANOUT>()?;
    let mut base = 0_usize;
    let mut half = FANOUT / 2;
    while half > 0 {
        let middle = base | half;
        let after = node.get(middle).is_some_and(|&key| key <= file);
        base = if after { middle } else { base };
        half >>= 1;
    }
    Some(start.wrapping_add(base))
}
