// SPDX-License-Identifier: GPL-2.0

//! The table that says where each sector lies.

use super::{extent, number, run};
use crate::{
    block::{
        extent::Extent,
        extent_map::Run,
        sector::{Sector, SectorCount},
    },
    check::{map_of, map_within, Map},
};
use proptest::{collection::vec, prelude::*};

/// Sizes around those at which there is a bucket more, however many extents it is for.
const SIZES: [usize; 29] = [
    0, 1, 2, 7, 8, 9, 10, 15, 16, 17, 31, 32, 33, 63, 64, 65, 255, 256, 257, 511, 512, 513, 4095,
    4096, 4097, 65_535, 65_536, 65_537, 100_000,
];

/// A stream of numbers that look random and are the same in each run: xorshift.
fn numbers(seed: u64) -> impl Iterator<Item = u64> {
    std::iter::successors(Some(seed | 1), |&state| {
        let state = state ^ (state << 13);
        let state = state ^ (state >> 7);
        Some(state ^ (state << 17))
    })
    .skip(8)
}

/// `count` extents of 1 to `longest` sectors, each `longest` from the last at least,
/// so that none adjoin; and where the file ends.
fn scattered(count: usize, longest: u64) -> (Vec<Extent>, u64) {
    let mut file = 0;
    let extents = numbers(count as u64)
        .zip(0..)
        .take(count)
        .map(|(number, place)| {
            let len = 1 + number % longest;
            // Backwards on the disk: order there must not matter.
            let extent = extent(file, (1 << 40) - place * 2 * longest, len);
            file += len;
            extent
        })
        .collect();
    (extents, file)
}

/// The map of `extents`, which are in order.
fn map(extents: &[Extent], end: u64) -> Map {
    map_of(extents, Sector::new(end)).unwrap()
}

/// What a linear search answers.
fn linear(extents: &[Extent], file: u64) -> Option<Run> {
    let found = extents
        .iter()
        .find(|extent| (extent.file.get()..extent.file.get() + extent.len.get()).contains(&file))?;
    let into = file - found.file.get();
    Some(run(found.disk.get() + into, found.len.get() - into))
}

#[test]
fn an_empty_map_finds_nothing() {
    let map = map(&[], 0);
    assert_eq!((map.len(), map.end()), (0, Sector::ZERO));
    for file in [0, 1, u64::MAX] {
        assert_eq!(map.lookup(Sector::new(file)), None);
    }
}

#[test]
fn a_longer_map_begins_with_a_shorter_one() {
    for size in SIZES {
        let (extents, end) = scattered(size, 9);
        let whole = map(&extents, end);
        assert!(whole.begins_with(&whole), "{size}");
        // In the middle of an extent too.
        for cut in [0, 1, end / 2, end.saturating_sub(1)] {
            let mut left = Vec::new();
            for &extent in extents.iter().filter(|extent| extent.file.get() < cut) {
                let len = extent.len.get().min(cut - extent.file.get());
                left.push(Extent {
                    len: SectorCount::new(len),
                    ..extent
                });
            }
            let Some(last) = left.last().copied() else {
                continue;
            };
            let part = map(&left, cut);
            assert!(whole.begins_with(&part), "{size} {cut}");
            assert_eq!(part.begins_with(&whole), cut == end, "{size} {cut}");
            // The last of it a sector further on the device.
            let disk = Sector::new(last.disk.get() + 1);
            let moved = Extent { disk, ..last };
            *left.last_mut().unwrap() = moved;
            assert!(!whole.begins_with(&map(&left, cut)), "{size} {cut}");
        }
    }
}

#[test]
fn first_middle_and_last_sector_of_every_extent() {
    for size in SIZES {
        let (extents, end) = scattered(size, 9);
        let map = map(&extents, end);
        assert_eq!((map.len(), map.end().get()), (size, end));
        for extent in &extents {
            let (file, disk, len) = (extent.file.get(), extent.disk.get(), extent.len.get());
            for into in [0, len / 2, len - 1] {
                let found = map.lookup(Sector::new(file + into));
                assert_eq!(
                    found,
                    Some(run(disk + into, len - into)),
                    "of {size}, {extent:?}"
                );
            }
        }
    }
}

#[test]
fn nothing_lies_beyond_the_end() {
    for size in SIZES {
        let (extents, end) = scattered(size, 9);
        let map = map(&extents, end);
        for file in [
            end,
            end + 1,
            end * 2 + 1,
            1 << 32,
            1 << 63,
            u64::MAX - 1,
            u64::MAX,
        ] {
            assert_eq!(map.lookup(Sector::new(file)), None, "{file} of {end}");
        }
    }
}

#[test]
fn random_sectors_as_a_linear_search_finds_them() {
    for size in SIZES {
        for longest in [1, 3, 1 << 20] {
            let (extents, end) = scattered(size, longest);
            let map = map(&extents, end);
            for file in numbers(7).map(|number| number % (end + 2)).take(200) {
                assert_eq!(
                    map.lookup(Sector::new(file)),
                    linear(&extents, file),
                    "{file}"
                );
            }
        }
    }
}

#[test]
fn one_long_extent_among_short_ones() {
    for size in [2, 17, 300, 5000] {
        for long in [0, size / 2, size - 1] {
            let mut file = 0;
            let extents: Vec<Extent> = (0..size)
                .map(|place| {
                    let len = if place == long { 1 << 50 } else { 1 };
                    let extent = extent(file, (place as u64) << 51, len);
                    file += len;
                    extent
                })
                .collect();
            let map = map(&extents, file);
            for (place, extent) in extents.iter().enumerate() {
                let start = extent.file.get();
                for file in [
                    start,
                    start + extent.len.get() / 2,
                    start + extent.len.get() - 1,
                ] {
                    let found = map.lookup(Sector::new(file)).unwrap();
                    assert_eq!(found.disk.get() >> 51, place as u64);
                    assert_eq!(found.len.get(), start + extent.len.get() - file);
                }
            }
        }
    }
}

#[test]
fn the_largest_file() {
    let max = u64::MAX;
    let whole = map(&[extent(0, 0, max)], max);
    assert_eq!(whole.lookup(Sector::new(max - 1)), Some(run(max - 1, 1)));
    assert_eq!(whole.lookup(Sector::new(max)), None);

    let swapped = map(
        &[extent(0, max / 2, max / 2), extent(max / 2, 0, max / 2)],
        max - 1,
    );
    assert_eq!(
        swapped.lookup(Sector::new(max - 2)),
        Some(run(max / 2 - 1, 1))
    );
}

#[test]
fn a_place_beyond_all_numbers_is_no_place() {
    // A builder would not have let this through.
    let map = map_of(&[extent(0, u64::MAX, 8)], Sector::new(8));
    assert_eq!(map.and_then(|map| map.lookup(Sector::new(1))), None);
}

#[test]
fn disorder_is_refused() {
    let refused = |extents: &[Extent], end| {
        assert!(map_of(extents, Sector::new(end)).is_none(), "{extents:?}");
    };
    refused(&[], 1);
    refused(&[extent(0, 0, 8)], 7);
    refused(&[extent(0, 0, 8)], 9);
    refused(&[extent(0, 0, 0)], 0);
    refused(&[extent(1, 0, 8)], 9);
    refused(&[extent(0, 0, 8), extent(9, 20, 8)], 17);
    refused(&[extent(0, 0, 8), extent(7, 20, 8)], 15);
    refused(&[extent(0, 0, 8), extent(8, 20, 0)], 8);
    refused(&[extent(0, 0, 8), extent(8, 20, u64::MAX)], 7);
    refused(&[extent(0, 0, u64::MAX), extent(u64::MAX, 0, 1)], 0);
}

#[test]
fn running_out_of_memory_is_passed_on() {
    let (extents, end) = scattered(5000, 9);
    let mut arrays = 0;
    while let Err(failed) = map_within(arrays, &extents, Sector::new(end)).map(|map| map.unwrap()) {
        assert_eq!(failed, arrays);
        arrays += 1;
    }
    assert!(arrays > 0, "nothing was allocated");
}

#[test]
fn sixteen_bytes_an_extent_and_a_small_index() {
    for size in SIZES
        .into_iter()
        .chain([1_000, 1_001, 1_000_000, 1_048_577])
    {
        let (extents, end) = scattered(size, 2);
        let bare = 16 * size;
        let memory = map(&extents, end).memory();
        assert!(memory >= bare);
        if size >= 1000 {
            // 7 % more at most.
            assert!(
                memory * 100 <= bare * 107,
                "{memory} bytes for {size} extents"
            );
        } else {
            // Whole buckets, and their ends.
            assert!(
                memory <= bare + bare * 7 / 100 + 512,
                "{memory} bytes for {size} extents"
            );
        }
    }
}

#[test]
fn runs_follow_each_other() {
    let map = map(
        &[extent(0, 50, 10), extent(10, 20, 10), extent(20, 90, 5)],
        25,
    );
    let runs = |file, len| {
        // More than there are: a map that makes no progress must fail, not fill memory.
        map.runs(Sector::new(file), SectorCount::new(len))
            .take(9)
            .collect::<Vec<_>>()
    };
    assert_eq!(runs(0, 25), [run(50, 10), run(20, 10), run(90, 5)]);
    assert_eq!(runs(3, 10), [run(53, 7), run(20, 3)]);
    assert_eq!(runs(12, 3), [run(22, 3)]);
    assert_eq!(runs(24, u64::MAX), [run(94, 1)]);
    assert_eq!(runs(25, 1), []);
    assert_eq!(runs(u64::MAX, u64::MAX), []);
    assert_eq!(runs(0, 0), []);
}

proptest! {
    #[test]
    fn any_lengths_any_sectors(
        lens in vec(prop_oneof![9 => 1_u64..20, 1 => 1_u64..1 << 48], 1..700),
        probes in vec(number(), 1..60),
    ) {
        let mut file = 0;
        let extents: Vec<Extent> = lens
            .iter()
            .zip(0_u64..)
            .map(|(&len, place)| {
                let extent = extent(file, (700 - place) << 50, len);
                file += len;
                extent
            })
            .collect();
        let map = map(&extents, file);
        for probe in probes.iter().flat_map(|&probe| [probe, probe % file]) {
            prop_assert_eq!(map.lookup(Sector::new(probe)), linear(&extents, probe));
        }
    }
}
