// SPDX-License-Identifier: GPL-2.0

//! How a device is aligned on the disk below it.

use super::run;
use crate::{block::sector::SectorCount, target::alignment::Alignment};
use proptest::{collection::vec, prelude::*};

/// The origins that runs, each given by its place on disk and its length, make up.
fn origins(runs: &[(u64, u64)], disk_len: u64) -> Vec<u64> {
    let disk_len = SectorCount::new(disk_len);
    let (disk, len) = runs[0];
    let mut alignment = Alignment::new(run(disk, len), disk_len);
    let mut position = 0;
    for &(disk, len) in runs {
        alignment.add(run(disk, len), position, disk_len);
        position += len;
    }
    alignment.origins().map(|origin| origin.get()).collect()
}

#[test]
fn one_run_is_a_plain_copy() {
    assert_eq!(origins(&[(1024, 100)], 1 << 20), [1024]);
    assert_eq!(origins(&[(63, 1)], 1 << 20), [63]);
}

#[test]
fn runs_that_agree_are_one() {
    // 512 bytes into a block: every later run lies as far from its own.
    assert_eq!(
        origins(&[(801, 7), (400, 8), (1 << 19, 8)], 1 << 20),
        [801, 393]
    );
    assert_eq!(origins(&[(0, 8), (8, 8)], 1 << 20), [0]);
}

#[test]
fn the_run_that_agrees_least_is_the_other() {
    // Blocks of 1 KiB on a disk of 4 KiB.
    assert_eq!(origins(&[(1024, 2), (8, 2), (512, 4)], 1 << 20), [1024, 6]);
    assert_eq!(origins(&[(8, 16), (40, 8)], 1 << 20), [8, 24]);
}

#[test]
fn before_the_disk_is_on_the_disk() {
    assert_eq!(
        origins(&[(1 << 19, 1000), (0, 8)], (1 << 20) + 5),
        [1 << 19, (1 << 20) - 1000]
    );
    // A disk that has no sectors has no runs, but must not be a panic either.
    assert_eq!(origins(&[(5, 1000), (0, 8)], 0), [5, 0]);
}

proptest! {
    #[test]
    fn seen_from_any_block_size_it_is_as_all_runs_are(
        runs in vec((0_u64..4096, 1_u64..64), 1..40),
        shift in 0_u32..10,
        spare in 0_u64..100,
    ) {
        let disk_len = 4096 + 64 + spare;
        let found = origins(&runs, disk_len);
        let granule = 1_u64 << shift;
        let mut position = 0_u64;
        let mut wanted: Vec<u64> = Vec::new();
        for (disk, len) in &runs {
            wanted.push(disk.wrapping_sub(position) % granule);
            position += len;
        }
        prop_assert_eq!(found[0] % granule, wanted[0]);
        prop_assert!(found.iter().all(|&origin| origin < disk_len));
        let alike = wanted.iter().all(|phase| *phase == wanted[0]);
        let shown_alike = found.iter().all(|origin| origin % granule == wanted[0]);
        prop_assert_eq!(alike, shown_alike);
    }
}
