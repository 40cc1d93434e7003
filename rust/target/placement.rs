// SPDX-License-Identifier: GPL-2.0

//! Where the sectors of a window lie on disk.
//!
//! Pure: uses `core` alone.

use super::window::Window;
use crate::block::{
    extent_map::{ExtentMap, Run},
    sector::{Sector, SectorCount},
};
use core::ops::Deref;

/// A window of a file, and its first sector on disk where all of it lies in one piece:
/// such a window needs no lookup.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placement {
    window: Window,
    whole: Option<Sector>,
}

impl Placement {
    /// Finds where `window` of the file that `map` is of lies.
    pub(crate) fn new<B: Deref<Target = [u64]>>(window: Window, map: &ExtentMap<B>) -> Self {
        let first = map.lookup(window.start());
        let whole = first.filter(|run| run.len >= window.len());
        Self {
            window,
            whole: whole.map(|run| run.disk),
        }
    }

    /// Whether [`Placement::remap_whole`] answers for this window.
    #[inline(always)]
    pub(crate) fn is_whole(&self) -> bool {
        self.whole.is_some()
    }

    /// Where `len` sectors at `sector` of a window in one piece lie on the host device.
    /// [`None`] outside the window.
    #[inline(always)]
    pub(crate) fn remap_whole(&self, sector: Sector, len: SectorCount) -> Option<Run> {
        self.within(sector, len)?;
        let disk = self.whole?.checked_add(sector.as_count())?;
        Some(Run { disk, len })
    }

    /// Where `len` sectors at `sector` of any window lie on the host device: the place
    /// of the first and how many of them follow it there. [`None`] outside the window
    /// or the map, which must be that of [`Placement::new`].
    #[inline(always)]
    pub(crate) fn remap<B: Deref<Target = [u64]>>(
        &self,
        map: &ExtentMap<B>,
        sector: Sector,
        len: SectorCount,
    ) -> Option<Run> {
        self.within(sector, len)?;
        let file = self.window.start().checked_add(sector.as_count())?;
        let run = map.lookup(file)?;
        Some(Run {
            len: run.len.min(len),
            ..run
        })
    }

    /// [`None`] unless all of the sectors are in the window.
    #[inline(always)]
    fn within(&self, sector: Sector, len: SectorCount) -> Option<()> {
        (sector.checked_add(len)?.as_count() <= self.window.len()).then_some(())
    }
}
