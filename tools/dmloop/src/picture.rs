// SPDX-License-Identifier: GPL-2.0

//! A file's fragmentation as a line of characters.

use crate::extents::{Extent, Kind, Layout};

/// A line, and what a character of it stands for in bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Bar {
    /// The characters.
    pub(crate) cells: String,
    /// Bytes in one of them.
    pub(crate) cell: u64,
}

/// The file from byte `start` to byte `end`: where the shade changes, another extent
/// begins. `·` is a hole, `░` unwritten, `#` several extents.
pub(crate) fn file_bar(layout: &Layout, start: u64, end: u64, width: usize) -> Bar {
    let cell = cell_size(end.saturating_sub(start), width);
    let mut cells = String::new();
    let mut first = 0;
    let mut from = start;
    while from < end {
        let to = from.saturating_add(cell).min(end);
        while layout
            .0
            .get(first)
            .is_some_and(|extent| extent.logical_end() <= from)
        {
            first += 1;
        }
        let within = layout
            .0
            .iter()
            .enumerate()
            .skip(first)
            .take_while(|(_, extent)| extent.logical < to);
        let within: Vec<(usize, &Extent)> = within.take(2).collect();
        cells.push(match within.as_slice() {
            [] => '·',
            [(_, one)] if one.kind == Kind::Unwritten => '░',
            [(index, _)] => {
                if index % 2 == 0 {
                    '█'
                } else {
                    '▒'
                }
            }
            _ => '#',
        });
        from = to;
    }
    Bar { cells, cell }
}

/// The disk from the file's first block to its last: the darker, the more of it is the
/// file's. [`None`] if nothing has a place.
pub(crate) fn disk_bar(layout: &Layout, width: usize) -> Option<(Bar, u64, u64)> {
    let placed = || layout.0.iter().filter(|extent| extent.is_placed());
    let start = placed().map(|extent| extent.physical).min()?;
    let end = placed().map(Extent::physical_end).max()?;
    let cell = cell_size(end - start, width);
    let mut covered = vec![0_u64; usize::try_from((end - start).div_ceil(cell)).ok()?];
    for extent in placed() {
        let mut from = extent.physical;
        while from < extent.physical_end() {
            let index = (from - start) / cell;
            let to = start
                .saturating_add((index + 1).saturating_mul(cell))
                .min(extent.physical_end());
            if let Some(sum) = usize::try_from(index)
                .ok()
                .and_then(|index| covered.get_mut(index))
            {
                *sum = sum.saturating_add(to - from);
            }
            from = to;
        }
    }
    let shade = |&bytes: &u64| match bytes.saturating_mul(4).div_ceil(cell) {
        0 => ' ',
        1 => '░',
        2 => '▒',
        3 => '▓',
        _ => '█',
    };
    let cells = covered.iter().map(shade).collect();
    Some((Bar { cells, cell }, start, end))
}

/// Bytes in a cell, so that no more than `width` are needed.
fn cell_size(bytes: u64, width: usize) -> u64 {
    let width = u64::try_from(width).unwrap_or(1).max(1);
    bytes.div_ceil(width).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn extent(logical: u64, physical: u64, len: u64, kind: Kind) -> Extent {
        Extent {
            logical,
            physical,
            len,
            kind,
        }
    }

    #[test]
    fn the_file() {
        let layout = Layout(vec![
            extent(0, 100, 4, Kind::Written),
            extent(4, 200, 4, Kind::Written),
            extent(10, 300, 2, Kind::Unwritten),
        ]);
        assert_eq!(file_bar(&layout, 0, 12, 12).cells, "████▒▒▒▒··░░");
        assert_eq!(file_bar(&layout, 0, 12, 2).cells, "##");
        assert_eq!(file_bar(&layout, 8, 10, 80).cells, "··");
    }

    #[test]
    fn the_disk() {
        let layout = Layout(vec![
            extent(0, 108, 4, Kind::Written),
            extent(4, 100, 1, Kind::Written),
        ]);
        let (bar, start, end) = disk_bar(&layout, 12).unwrap();
        assert_eq!((bar.cells.as_str(), start, end), ("█       ████", 100, 112));
        let (bar, ..) = disk_bar(&layout, 3).unwrap();
        assert_eq!((bar.cells.as_str(), bar.cell), ("░ █", 4));
        assert_eq!(disk_bar(&Layout::default(), 10), None);
    }

    proptest! {
        #[test]
        fn never_wider(pieces in proptest::collection::vec((0_u64..1 << 50, 1_u64..1 << 40), 1..20), width in 1_usize..200) {
            let mut at = 0;
            let extents = pieces.iter().map(|&(physical, len)| {
                let piece = extent(at, physical, len, Kind::Written);
                at += len;
                piece
            }).collect();
            let layout = Layout(extents);
            prop_assert!(file_bar(&layout, 0, at, width).cells.chars().count() <= width);
            let (bar, ..) = disk_bar(&layout, width).unwrap();
            prop_assert!(bar.cells.chars().count() <= width);
        }
    }
}
