// SPDX-License-Identifier: GPL-2.0

//! The part of a file that a device shows, and where its sectors go.

use super::{extent, number, run};
use crate::{
    block::{
        extent::Extent,
        extent_map::Run,
        sector::{Sector, SectorCount},
    },
    check::{map_of, Map},
    target::{
        placement::Placement,
        window::{Window, WindowError},
    },
};
use proptest::{collection::vec, prelude::*};

/// A window of `len` sectors from byte `offset` of a file of `size` bytes.
fn window(offset: u64, len: u64, size: u64, block: u64) -> Result<Window, WindowError> {
    Window::new(offset, SectorCount::new(len), size, SectorCount::new(block))
}

/// Where `len` sectors at `sector` of the window go.
fn remap(window: &Window, map: &Map, sector: u64, len: u64) -> Option<Run> {
    let (sector, len) = (Sector::new(sector), SectorCount::new(len));
    let placement = Placement::new(*window, map);
    let found = placement.remap(map, sector, len);
    if placement.is_whole() && !len.is_zero() {
        assert_eq!(placement.remap_whole(sector, len), found);
    } else if !placement.is_whole() {
        assert_eq!(placement.remap_whole(sector, len), None);
    }
    found
}

#[test]
fn a_window_in_one_piece() {
    let map = map_of(&[extent(0, 100, 8), extent(8, 50, 8)], Sector::new(16)).unwrap();
    let whole = |offset, len| {
        let window = window(offset, len, 8192, 1).unwrap();
        Placement::new(window, &map).is_whole()
    };
    assert!(whole(0, 8) && whole(512, 7) && whole(4096, 8) && whole(4096 + 512, 1));
    assert!(!whole(0, 9) && !whole(512, 8) && !whole(0, 16) && !whole(7 * 512, 2));
}

#[test]
fn a_window_knows_its_place() {
    let window = window(32256, 100, 1 << 20, 1).unwrap();
    assert_eq!(window.start(), Sector::new(63));
    assert_eq!(window.len(), SectorCount::new(100));
    assert_eq!(window.end(), Some(Sector::new(163)));
}

#[test]
fn blocks_are_whole() {
    for (offset, len, block) in [(0, 8, 8), (4096, 16, 8), (512, 1, 1), (32256, 3, 1)] {
        assert!(window(offset, len, 1 << 20, block).is_ok());
    }
    for (offset, len, block) in [
        (1, 8, 1),
        (511, 8, 1),
        (513, 8, 1),
        (512, 8, 8),
        (32256, 8, 8),
        (4096, 7, 8),
        (0, 1, 2),
        (u64::MAX, 8, 1),
    ] {
        let found = window(offset, len, 1 << 20, block);
        assert_eq!(
            found,
            Err(WindowError::Misaligned),
            "{offset} {len} {block}"
        );
    }
}

#[test]
fn a_window_ends_inside_its_file() {
    // 19 whole sectors, and a part of one.
    assert!(window(0, 19, 10_000, 1).is_ok());
    assert_eq!(window(0, 20, 10_000, 1), Err(WindowError::BeyondFile));
    assert!(window(9216, 1, 10_000, 1).is_ok());
    assert_eq!(window(9216, 2, 10_000, 1), Err(WindowError::BeyondFile));
    assert_eq!(window(9728, 1, 10_000, 1), Err(WindowError::BeyondFile));
    assert_eq!(window(0, 1, 0, 1), Err(WindowError::BeyondFile));
    assert_eq!(window(0, 1, 511, 1), Err(WindowError::BeyondFile));
}

#[test]
fn alignment_is_that_of_start_and_end() {
    let window = window(4096, 24, 1 << 20, 1).unwrap();
    for bytes in [1, 512, 1024, 4096] {
        assert!(window.starts_at_multiple_of(bytes) && window.is_made_of(bytes));
    }
    for bytes in [0, 8192, 1 << 20, u32::MAX] {
        assert!(!window.starts_at_multiple_of(bytes) && !window.is_made_of(bytes));
    }
    let uneven = self::window(4096, 25, 1 << 20, 1).unwrap();
    assert!(uneven.starts_at_multiple_of(4096) && !uneven.is_made_of(4096));
    assert!(uneven.is_made_of(512));
    // Nothing is a multiple of anything.
    assert!(self::window(0, 8, 1 << 20, 1)
        .unwrap()
        .starts_at_multiple_of(1 << 31));
}

#[test]
fn the_largest_window_is_the_largest_file() {
    let most = i64::MAX as u64;
    let sectors = most / 512;
    assert!(window(0, sectors, most, 1).is_ok());
    assert!(window(512, sectors - 1, u64::MAX, 1).is_ok());
    for (offset, len) in [
        (0, sectors + 1),
        (512, sectors),
        (0, u64::MAX),
        (512, u64::MAX),
        (1 << 63, 0),
        (u64::MAX - 511, 1),
        (u64::MAX - 511, u64::MAX),
    ] {
        let found = window(offset, len, u64::MAX, 1);
        assert_eq!(found, Err(WindowError::BeyondFile), "{offset} {len}");
    }
}

#[test]
fn a_bio_goes_to_its_place_and_no_further_than_its_extent() {
    let map = map_of(&[extent(0, 100, 10), extent(10, 50, 10)], Sector::new(20)).unwrap();
    let window = window(512 * 4, 12, 512 * 20, 1).unwrap();
    assert_eq!(remap(&window, &map, 0, 3), Some(run(104, 3)));
    assert_eq!(remap(&window, &map, 0, 6), Some(run(104, 6)));
    assert_eq!(remap(&window, &map, 0, 7), Some(run(104, 6)));
    assert_eq!(remap(&window, &map, 6, 6), Some(run(50, 6)));
    assert_eq!(remap(&window, &map, 11, 1), Some(run(55, 1)));
    // The map goes on, the window does not.
    assert_eq!(remap(&window, &map, 11, 2), None);
    assert_eq!(remap(&window, &map, 12, 1), None);
    assert_eq!(remap(&window, &map, u64::MAX, 1), None);
    assert_eq!(remap(&window, &map, 1, u64::MAX), None);
    assert_eq!(remap(&window, &map, 0, u64::MAX), None);
}

#[test]
fn a_window_beyond_its_map_leads_nowhere() {
    let map = map_of(&[extent(0, 100, 10)], Sector::new(10)).unwrap();
    let window = window(512 * 5, 10, 512 * 15, 1).unwrap();
    assert_eq!(remap(&window, &map, 4, 2), Some(run(109, 1)));
    assert_eq!(remap(&window, &map, 5, 1), None);
}

/// A file in pieces: where each of its sectors lies.
fn file() -> impl Strategy<Value = Vec<u64>> {
    let piece = (0_u64..500, 1_u64..9).prop_map(|(disk, len)| disk..disk + len);
    vec(piece, 0..60).prop_map(|pieces| pieces.into_iter().flatten().collect())
}

/// The map of such a file, merged as a builder does: a cut is where the next sector
/// lies elsewhere.
fn map_of_file(sectors: &[u64]) -> Map {
    let mut file = 0;
    let extents: Vec<Extent> = sectors
        .chunk_by(|a, b| a + 1 == *b)
        .map(|chunk| {
            let extent = extent(file, chunk[0], chunk.len() as u64);
            file += chunk.len() as u64;
            extent
        })
        .collect();
    map_of(&extents, Sector::new(file)).unwrap()
}

/// What `remap` should answer, counted sector by sector.
fn counted(sectors: &[u64], sector: u64, len: u64) -> Option<Run> {
    let end = usize::try_from(sector.checked_add(len)?).ok()?;
    let part = sectors.get(usize::try_from(sector).ok()?..end)?;
    let first = *part.first()?;
    let follow = part
        .iter()
        .zip(first..)
        .take_while(|(a, b)| *a == b)
        .count();
    Some(run(first, follow as u64))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8192))]

    #[test]
    fn windows_are_had_where_they_fit(
        offset in prop_oneof![number(), number().prop_map(|number| number & !511)],
        len in number(),
        size in number(),
        shift in 0_u32..8,
        bits in 0_u32..32,
    ) {
        let block = 1_u64 << shift;
        let end = u128::from(offset) + u128::from(len) * 512;
        let expected = if offset % 512 != 0 || offset / 512 % block != 0 || len % block != 0 {
            Some(WindowError::Misaligned)
        } else if end > u128::from(size) || end >= 1 << 63 {
            Some(WindowError::BeyondFile)
        } else {
            None
        };
        let found = window(offset, len, size, block);
        prop_assert_eq!(found.err(), expected);
        if let Ok(window) = found {
            prop_assert_eq!(window.start().get(), offset / 512);
            prop_assert_eq!(window.len().get(), len);
            prop_assert_eq!(u128::from(window.end().unwrap().get()) * 512, end);
            let bytes = 1_u32 << bits;
            let starts = offset % u64::from(bytes) == 0;
            prop_assert_eq!(window.starts_at_multiple_of(bytes), starts);
            prop_assert_eq!(
                window.is_made_of(bytes),
                starts && end % u128::from(bytes) == 0
            );
        }
    }

    #[test]
    fn any_numbers_are_answered(
        numbers in any::<[u64; 4]>(),
        near in [number(), number(), number(), number()],
        sectors in file(),
    ) {
        let map = map_of_file(&sectors);
        for [offset, len, size, block] in [numbers, near] {
            // A block size that is none must not be a panic either.
            let _ = window(offset, len, size, block);
            if let Ok(window) = window(offset & !511, len, u64::MAX, 1) {
                if let Some(run) = remap(&window, &map, size, block) {
                    prop_assert!(run.len.get() <= block);
                    prop_assert!(size + block <= len);
                }
            }
        }
    }

    #[test]
    fn pieces_cover_a_bio_exactly(
        sectors in file(),
        cut in any::<[prop::sample::Index; 4]>(),
    ) {
        let map = map_of_file(&sectors);
        let start = cut[0].index(sectors.len() + 1);
        let len = cut[1].index(sectors.len() - start + 1);
        let window = window(start as u64 * 512, len as u64, sectors.len() as u64 * 512, 1).unwrap();
        let shown = &sectors[start..start + len];

        // Any request, also one that ends beyond the window, against the count.
        let (sector, bio) = (cut[2].index(len + 2) as u64, cut[3].index(len + 2) as u64);
        let found = remap(&window, &map, sector, bio);
        if bio > 0 {
            prop_assert_eq!(found, counted(shown, sector, bio));
        } else {
            prop_assert!(found.is_none_or(|run| run.len.is_zero()));
        }

        // As device-mapper does: the part that was accepted, then the rest.
        let whole = (len as u64).saturating_sub(sector).min(bio);
        let (mut next, mut left, mut reached) = (sector, whole, Vec::new());
        while left > 0 {
            let run = remap(&window, &map, next, left).unwrap();
            prop_assert!(!run.len.is_zero(), "no progress at {}", next);
            reached.extend(run.disk.get()..run.disk.get() + run.len.get());
            next += run.len.get();
            left -= run.len.get();
        }
        let sector = usize::try_from(sector).unwrap().min(len);
        let whole = usize::try_from(whole).unwrap();
        prop_assert_eq!(reached, &shown[sector..sector + whole]);
    }
}
