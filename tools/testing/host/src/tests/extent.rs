// SPDX-License-Identifier: GPL-2.0

//! Gathering extents.

use super::{extent, number};
use crate::{
    block::{
        extent::{Extent, ExtentBuilder, ExtentError, Store},
        sector::{Sector, SectorCount},
    },
    check::{layout, Step, VecStore},
};
use proptest::{collection::vec, prelude::*};

/// A builder into a vector, for a device of `device_len` sectors.
fn builder(device_len: u64) -> ExtentBuilder<VecStore> {
    ExtentBuilder::new(VecStore::default(), SectorCount::new(device_len))
}

/// What becomes of `extents`, all of which must be accepted.
fn gather(device_len: u64, extents: &[Extent]) -> (Vec<Extent>, Sector) {
    let mut builder = builder(device_len);
    for extent in extents {
        assert_eq!(builder.add(*extent), Ok(()), "{extent:?}");
    }
    let (store, end) = builder.finish().unwrap();
    (store.0, end)
}

/// What is said of `last` after `before`.
fn verdict(device_len: u64, before: &[Extent], last: Extent) -> Result<(), ExtentError> {
    let mut builder = builder(device_len);
    for extent in before {
        builder.add(*extent).unwrap();
    }
    builder.add(last)
}

#[test]
fn nothing_is_an_empty_file() {
    assert_eq!(gather(0, &[]), (vec![], Sector::ZERO));
}

#[test]
fn neighbours_on_the_disk_become_one() {
    let extents = [extent(0, 100, 8), extent(8, 108, 8), extent(16, 116, 1)];
    assert_eq!(
        gather(117, &extents),
        (vec![extent(0, 100, 17)], Sector::new(17))
    );
}

#[test]
fn others_do_not() {
    // A gap, a step back to what lies before, and the same place again.
    let extents = [
        extent(0, 100, 8),
        extent(8, 109, 8),
        extent(16, 92, 8),
        extent(24, 92, 8),
    ];
    assert_eq!(gather(200, &extents), (extents.to_vec(), Sector::new(32)));
}

#[test]
fn a_file_has_no_gap_and_no_overlap() {
    let before = [extent(0, 0, 8)];
    for file in [0, 7, 9, u64::MAX] {
        let found = verdict(1000, &before, extent(file, 100, 8));
        assert_eq!(found, Err(ExtentError::NotContiguous), "at {file}");
    }
    assert_eq!(
        verdict(1000, &[], extent(1, 100, 8)),
        Err(ExtentError::NotContiguous)
    );
    assert_eq!(
        verdict(1000, &before, extent(8, 8, 0)),
        Err(ExtentError::NotContiguous)
    );
}

#[test]
fn the_device_ends_somewhere() {
    assert_eq!(verdict(100, &[], extent(0, 92, 8)), Ok(()));
    assert_eq!(
        verdict(100, &[], extent(0, 93, 8)),
        Err(ExtentError::BeyondDevice)
    );
    assert_eq!(
        verdict(100, &[], extent(0, 100, 1)),
        Err(ExtentError::BeyondDevice)
    );
    assert_eq!(
        verdict(0, &[], extent(0, 0, 1)),
        Err(ExtentError::BeyondDevice)
    );
    // Also where it would only be a longer form of the last one.
    let before = [extent(0, 92, 8)];
    assert_eq!(
        verdict(100, &before, extent(8, 100, 1)),
        Err(ExtentError::BeyondDevice)
    );
}

#[test]
fn ends_do_not_overflow() {
    let max = u64::MAX;
    assert_eq!(verdict(max, &[], extent(0, 0, max)), Ok(()));
    assert_eq!(
        verdict(max, &[], extent(0, 1, max)),
        Err(ExtentError::BeyondDevice)
    );
    assert_eq!(
        verdict(max, &[], extent(0, max, 1)),
        Err(ExtentError::BeyondDevice)
    );
    let full = [extent(0, 0, max)];
    assert_eq!(
        verdict(max, &full, extent(max, 0, 1)),
        Err(ExtentError::NotContiguous)
    );
    let nearly = [extent(0, 0, max - 1)];
    assert_eq!(verdict(max, &nearly, extent(max - 1, max - 1, 1)), Ok(()));
    assert_eq!(
        verdict(max, &nearly, extent(max - 1, max - 1, 2)),
        Err(ExtentError::NotContiguous)
    );
    assert_eq!(
        gather(max, &[extent(0, 0, max - 1), extent(max - 1, max - 1, 1)]),
        (vec![extent(0, 0, max)], Sector::new(max))
    );
}

/// Keeps a number of extents, then is full until it is given more room.
struct Full {
    extents: Vec<Extent>,
    room: usize,
}

impl Store for &mut Full {
    fn push(&mut self, extent: Extent) -> Result<(), ExtentError> {
        if self.extents.len() == self.room {
            // What a caller does about it shows only in the next attempt.
            self.room += 1;
            return Err(ExtentError::OutOfMemory);
        }
        self.extents.push(extent);
        Ok(())
    }
}

#[test]
fn running_out_of_memory_loses_nothing() {
    let extents: Vec<Extent> = (0..5).map(|number| extent(number, number * 2, 1)).collect();
    for room in 0..=4 {
        let mut store = Full {
            extents: vec![],
            room,
        };
        let mut builder = ExtentBuilder::new(&mut store, SectorCount::new(100));
        let mut failures = 0;
        for extent in &extents {
            let end = builder.end();
            while let Err(error) = builder.add(*extent) {
                assert_eq!(error, ExtentError::OutOfMemory);
                assert_eq!(builder.end(), end);
                failures += 1;
            }
        }
        // The last extent is stored at the end only, when there is no room for it.
        let result = builder.finish().map(|(_, end)| end);
        assert_eq!(result, Err(ExtentError::OutOfMemory));
        assert_eq!(failures, 4 - room);
        assert_eq!(store.extents, extents[..4]);
    }
}

/// A report of a file system, mostly in order.
fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0_u64..4096, 1_u16..64).prop_map(|(disk, len)| Step::Follow { disk, len }),
        6 => (1_u16..64).prop_map(|len| Step::Adjoin { len }),
        1 => any::<u16>().prop_map(|len| Step::Adjoin { len }),
        1 => (number(), number(), number())
            .prop_map(|(file, disk, len)| Step::Raw { file, disk, len }),
        1 => (number(), any::<u16>()).prop_map(|(disk, len)| Step::Follow { disk, len }),
        1 => (number(), any::<u8>()).prop_map(|(disk, bits)| Step::Fill { disk, bits }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8192))]

    #[test]
    fn reports_of_a_file_system(
        device_len in prop_oneof![4 => 2048_u64..8192, 1 => number(), 2 => Just(u64::MAX)],
        steps in vec(step(), 0..60),
        probes in vec(prop_oneof![0_u64..4096, number()], 2..40),
    ) {
        layout(device_len, &steps, &probes);
    }

    /// Sector by sector, which leaves nothing to be wrong in the model.
    #[test]
    fn sector_by_sector(pieces in vec((0_u64..64, 1_u64..5), 0..40)) {
        let mut sectors: Vec<u64> = Vec::new();
        let mut extents = Vec::new();
        for (disk, len) in pieces {
            extents.push(extent(sectors.len() as u64, disk, len));
            sectors.extend(disk..disk + len);
        }
        let (found, end) = gather(68, &extents);
        prop_assert_eq!(end.get(), sectors.len() as u64);
        let expanded: Vec<u64> = found
            .iter()
            .flat_map(|extent| extent.disk.get()..extent.disk.get() + extent.len.get())
            .collect();
        prop_assert_eq!(&expanded, &sectors);
        let jumps = sectors.windows(2).filter(|pair| pair[0] + 1 != pair[1]).count();
        prop_assert_eq!(found.len(), jumps + usize::from(!sectors.is_empty()));
    }
}
