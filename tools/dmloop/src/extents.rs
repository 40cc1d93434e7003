// SPDX-License-Identifier: GPL-2.0

//! Where a file lies, as its file system says.
//!
//! On btrfs the places are addresses of its own, not those of a disk.

use crate::{
    failure::Failure,
    printable::printable,
    sys::{block_size, fibmap, fiemap, RawExtent},
};
use rustix::{fd::AsFd, io::Errno};
use std::{fs::File, path::Path};

/// Flags of FIEMAP.
mod flag {
    pub(super) const UNKNOWN: u32 = 0x2;
    pub(super) const DELALLOC: u32 = 0x4;
    pub(super) const ENCODED: u32 = 0x8;
    pub(super) const ENCRYPTED: u32 = 0x80;
    pub(super) const INLINE: u32 = 0x200;
    pub(super) const TAIL: u32 = 0x400;
    pub(super) const UNWRITTEN: u32 = 0x800;
    pub(super) const SHARED: u32 = 0x2000;
}

/// A piece of a file. All numbers in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Where it begins in the file.
    pub(crate) logical: u64,
    /// Where it begins on the disk.
    pub(crate) physical: u64,
    /// Its length.
    pub(crate) len: u64,
    /// What it is.
    pub(crate) kind: Kind,
}

/// What a piece of a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Written, and the file's alone.
    Written,
    /// Allocated, never written.
    Unwritten,
    /// Other files have it, too.
    Shared,
    /// Compressed or encrypted.
    Encoded,
    /// It has no block of its own.
    Inline,
    /// It has no place yet.
    Unknown,
}

impl Kind {
    fn of(flags: u32) -> Self {
        // An extent may be several of them; the one that is hardest to live with counts.
        let kinds = [
            (flag::INLINE | flag::TAIL, Self::Inline),
            (flag::ENCODED | flag::ENCRYPTED, Self::Encoded),
            (flag::SHARED, Self::Shared),
            (flag::UNWRITTEN, Self::Unwritten),
            (flag::UNKNOWN | flag::DELALLOC, Self::Unknown),
        ];
        let found = kinds.iter().find(|(bits, _)| flags & bits != 0);
        found.map_or(Self::Written, |(_, kind)| *kind)
    }

    /// For tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Unwritten => "unwritten",
            Self::Shared => "shared",
            Self::Encoded => "encoded",
            Self::Inline => "inline",
            Self::Unknown => "unknown",
        }
    }
}

impl Extent {
    /// The end in the file.
    pub(crate) fn logical_end(&self) -> u64 {
        self.logical.saturating_add(self.len)
    }

    /// The end on the disk.
    pub(crate) fn physical_end(&self) -> u64 {
        self.physical.saturating_add(self.len)
    }

    /// Whether it has a place on the disk.
    pub(crate) fn is_placed(&self) -> bool {
        !matches!(self.kind, Kind::Inline | Kind::Unknown)
    }
}

/// All extents of a file, in order; those that continue each other are joined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Layout(pub(crate) Vec<Extent>);

/// How much of a file is what, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    /// Holes, and what was allocated and never written.
    pub(crate) unwritten: u64,
    /// What others have, too.
    pub(crate) shared: u64,
}

impl Layout {
    fn new(raw: impl IntoIterator<Item = RawExtent>) -> Self {
        let mut extents: Vec<Extent> = Vec::new();
        for raw in raw.into_iter().filter(|raw| raw.length != 0) {
            let next = Extent {
                logical: raw.logical,
                physical: raw.physical,
                len: raw.length,
                kind: Kind::of(raw.flags),
            };
            match extents.last_mut() {
                Some(last)
                    if last.kind == next.kind
                        && last.is_placed()
                        && last.logical_end() == next.logical
                        && last.physical_end() == next.physical =>
                {
                    last.len = last.len.saturating_add(next.len);
                }
                _ => extents.push(next),
            }
        }
        Self(extents)
    }

    /// The part from `start` to `end` of the file.
    pub(crate) fn part(&self, start: u64, end: u64) -> Self {
        let cut = |extent: &Extent| {
            let from = extent.logical.max(start);
            let to = extent.logical_end().min(end);
            (from < to).then(|| Extent {
                logical: from,
                physical: extent.physical.saturating_add(from - extent.logical),
                len: to - from,
                kind: extent.kind,
            })
        };
        Self(self.0.iter().filter_map(cut).collect())
    }

    /// The parts of a file of `size` bytes that are of no use as they are: holes, and
    /// extents that `needs` names. In order; neighbours are joined.
    pub(crate) fn ranges(&self, size: u64, needs: impl Fn(Kind) -> bool) -> Vec<(u64, u64)> {
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        let mut add = |start: u64, end: u64| {
            let end = end.min(size);
            if start < end {
                match ranges.last_mut() {
                    Some(last) if last.1 == start => last.1 = end,
                    _ => ranges.push((start, end)),
                }
            }
        };
        let mut at = 0;
        for extent in &self.0 {
            add(at, extent.logical);
            if needs(extent.kind) {
                add(extent.logical.max(at), extent.logical_end());
            }
            at = at.max(extent.logical_end());
        }
        add(at, size);
        ranges
    }

    /// How much of a file of `size` bytes is what.
    pub(crate) fn amount(&self, size: u64) -> Amount {
        let length = |ranges: Vec<(u64, u64)>| ranges.iter().map(|(start, end)| end - start).sum();
        let holes: u64 = length(self.ranges(size, |_| false));
        let unwritten: u64 = length(self.ranges(size, |kind| kind == Kind::Unwritten));
        let shared: u64 = length(self.ranges(size, |kind| kind == Kind::Shared));
        Amount {
            unwritten,
            shared: shared - holes,
        }
    }
}

/// The layout of an open file. `path` is for messages.
pub(crate) fn of(file: &File, path: &Path) -> Result<Layout, Failure> {
    match fiemap(file.as_fd()) {
        Ok(extents) => Ok(Layout::new(extents)),
        Err(Errno::OPNOTSUPP | Errno::NOTTY) => by_block(file).map(Layout::new).map_err(|errno| {
            let what = format!(
                "{}: its file system does not tell where it lies",
                printable(path)
            );
            Failure::errno(&what, errno)
        }),
        Err(errno) => Err(Failure::errno(&printable(path), errno)),
    }
}

/// Block by block, where there is no FIEMAP.
fn by_block(file: &File) -> rustix::io::Result<Vec<RawExtent>> {
    let stat = rustix::fs::fstat(file)?;
    rustix::fs::fsync(file)?;
    let block = u64::from(block_size(file.as_fd())?.max(1));
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    let mut extents = Vec::new();
    for number in 0..size.div_ceil(block) {
        let place = fibmap(
            file.as_fd(),
            u32::try_from(number).map_err(|_| Errno::FBIG)?,
        )?;
        if place != 0 {
            extents.push(RawExtent {
                logical: number * block,
                physical: u64::from(place) * block,
                length: block,
                flags: 0,
            });
        }
    }
    Ok(extents)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn raw(logical: u64, physical: u64, length: u64, flags: u32) -> RawExtent {
        RawExtent {
            logical,
            physical,
            length,
            flags,
        }
    }

    #[test]
    fn neighbours_are_joined() {
        let layout = Layout::new([
            raw(0, 100, 10, 0),
            raw(10, 110, 10, 1),
            raw(20, 120, 5, 0x800),
            raw(25, 0, 5, 0),
        ]);
        assert_eq!(layout.0.len(), 3);
        assert_eq!((layout.0[0].len, layout.0[1].kind), (20, Kind::Unwritten));
        // Without a place there is no continuing.
        assert_eq!(Layout::new([raw(0, 0, 5, 6), raw(5, 5, 5, 6)]).0.len(), 2);
    }

    #[test]
    fn parts() {
        let layout = Layout::new([raw(0, 100, 10, 0), raw(20, 500, 10, 0)]);
        let part = layout.part(5, 25);
        assert_eq!(part, Layout::new([raw(5, 105, 5, 0), raw(20, 500, 5, 0)]));
        assert_eq!(layout.part(10, 20), Layout::default());
    }

    #[test]
    fn what_needs_work() {
        let layout = Layout::new([
            raw(10, 100, 10, 0),
            raw(20, 200, 10, 0x800),
            raw(40, 300, 60, 0x2000),
        ]);
        assert_eq!(layout.ranges(90, |_| false), [(0, 10), (30, 40)]);
        assert_eq!(
            layout.ranges(90, |kind| kind == Kind::Unwritten),
            [(0, 10), (20, 40)]
        );
        assert_eq!(
            layout.ranges(90, |kind| kind != Kind::Written),
            [(0, 10), (20, 90)]
        );
        assert_eq!(
            layout.amount(90),
            Amount {
                unwritten: 30,
                shared: 50
            }
        );
        assert_eq!(Layout::default().ranges(5, |_| false), [(0, 5)]);
        assert_eq!(Layout::default().ranges(0, |_| false), []);
    }

    proptest! {
        #[test]
        fn ranges_are_in_order(pieces in proptest::collection::vec((1_u64..50, 0_u64..50, 0_u32..0x4000), 0..20), size in 0_u64..1000) {
            let mut at = 0;
            let raws: Vec<_> = pieces.iter().map(|(len, gap, flags)| {
                let start = at + gap;
                at = start + len;
                raw(start, start * 2, *len, *flags)
            }).collect();
            let ranges = Layout::new(raws).ranges(size, |kind| kind != Kind::Written);
            let mut end = None;
            for (from, to) in ranges {
                prop_assert!(from < to && to <= size && end.is_none_or(|end| from > end));
                end = Some(to);
            }
        }
    }
}
