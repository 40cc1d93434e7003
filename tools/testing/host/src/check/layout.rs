// SPDX-License-Identifier: GPL-2.0

//! Extents, from what a file system reports to what a lookup answers.

use crate::{
    block::{
        extent::{Extent, ExtentBuilder, ExtentError, Store},
        extent_map::ExtentMap,
        sector::{Sector, SectorCount},
    },
    model::layout::Layout,
};

/// What a file system reports next.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub enum Step {
    /// The next part of the file, on the disk right behind the last one.
    Adjoin {
        /// Its length in sectors.
        len: u16,
    },
    /// The next part of the file, anywhere on the disk.
    Follow {
        /// Its place on the disk.
        disk: u64,
        /// Its length in sectors.
        len: u16,
    },
    /// Anything at all.
    Raw {
        /// Where it begins in the file.
        file: u64,
        /// Where it begins on the disk.
        disk: u64,
        /// Its length in sectors.
        len: u64,
    },
    /// As much of the file, from its end so far, as fills a number of that many bits.
    Fill {
        /// Where it begins on the disk.
        disk: u64,
        /// How many bits.
        bits: u8,
    },
}

/// A map in memory of the test.
pub(crate) type Map = ExtentMap<Vec<u64>>;

/// Keeps extents in a vector.
#[derive(Default)]
pub(crate) struct VecStore(pub(crate) Vec<Extent>);

impl Store for VecStore {
    fn push(&mut self, extent: Extent) -> Result<(), ExtentError> {
        self.0.push(extent);
        Ok(())
    }
}

/// Builds a map of `steps` on a device of `device_len` sectors, and compares every
/// answer on the way, and lookups in the end, with the model's. `probes` are looked up
/// besides the places where something begins or ends.
pub fn layout(device_len: u64, steps: &[Step], probes: &[u64]) {
    let mut model = Layout::new(device_len);
    let mut builder = ExtentBuilder::new(VecStore::default(), SectorCount::new(device_len));
    let mut disk_end = 0;
    for step in steps {
        let extent = step.extent(builder.end().get(), disk_end);
        let result = builder.add(extent);
        assert_eq!(result, model.add(extent), "adding {extent:?}");
        assert_eq!(u128::from(builder.end().get()), model.end());
        if result.is_ok() {
            disk_end = extent.disk.get() + extent.len.get();
        }
    }

    let (VecStore(extents), end) = builder.finish().expect("a vector keeps everything");
    assert_eq!(u128::from(end.get()), model.end());
    assert_eq!(extents.len(), model.merged_len());
    for pair in extents.windows(2) {
        assert_eq!(pair[0].file_end(), Some(pair[1].file));
        assert_ne!(pair[0].disk_end(), Some(pair[1].disk), "not merged");
    }

    let map = map_of(&extents, end).expect("a builder's extents are in order");
    assert_eq!((map.len(), map.end()), (extents.len(), end));
    let edges = model
        .starts()
        .chain([end.get(), u64::MAX])
        .flat_map(|edge| [edge.saturating_sub(1), edge, edge.saturating_add(1)]);
    for file in edges.chain(probes.iter().copied()) {
        let run = map.lookup(Sector::new(file));
        assert_eq!(run, model.find(file), "looking up {file}");
    }
    let (from, count) = match *probes {
        [from, count, ..] => (from, count),
        _ => (0, u64::MAX),
    };
    check_runs(&map, &model, from, count);
}

/// The runs of `count` sectors from `from` are those that lookups find, one after the
/// other, until the count is reached or the map ends.
fn check_runs(map: &Map, model: &Layout, from: u64, count: u64) {
    let mut next = u128::from(from);
    let stop = (next + u128::from(count)).min(model.end()).max(next);
    for run in map.runs(Sector::new(from), SectorCount::new(count)) {
        let file = u64::try_from(next).expect("the map ends below");
        let all = model.find(file).expect("runs lie in the map");
        assert_eq!(run.disk, all.disk);
        assert!(!run.len.is_zero());
        next += u128::from(run.len.get());
        // To the end of its extent, or of the request.
        assert!(run.len == all.len || (run.len < all.len && next == stop));
    }
    assert_eq!(next, stop);
}

/// The map of `extents`, or [`None`] where they are not in order.
pub(crate) fn map_of(extents: &[Extent], end: Sector) -> Option<Map> {
    map_within(usize::MAX, extents, end).expect("there is memory for any number of arrays")
}

/// The same where there is memory for `arrays` arrays only: an error that is the number
/// of the first one for which there is none.
pub(crate) fn map_within(
    arrays: usize,
    extents: &[Extent],
    end: Sector,
) -> Result<Option<Map>, usize> {
    let mut made = 0;
    ExtentMap::new(extents, end, |len| {
        if made == arrays {
            return Err(made);
        }
        made += 1;
        Ok(vec![0; len])
    })
}

impl Step {
    /// The extent that this reports, after a file of `file` sectors of which the last
    /// part ends at `disk_end` on the disk.
    fn extent(self, file: u64, disk_end: u64) -> Extent {
        let (file, disk, len) = match self {
            Self::Adjoin { len } => (file, disk_end, u64::from(len)),
            Self::Follow { disk, len } => (file, disk, u64::from(len)),
            Self::Raw { file, disk, len } => (file, disk, len),
            Self::Fill { disk, bits } => {
                let full = u64::MAX >> (bits % 64);
                (file, disk, full.saturating_sub(file))
            }
        };
        Extent {
            file: Sector::new(file),
            disk: Sector::new(disk),
            len: SectorCount::new(len),
        }
    }
}
