// SPDX-License-Identifier: GPL-2.0

//! Sectors and numbers of sectors, against `u128` arithmetic.

use super::number;
use crate::block::sector::{Sector, SectorCount, SECTOR_SHIFT};
use proptest::prelude::*;

/// `number` as a `u64`, if it is one.
fn fit(number: u128) -> Option<u64> {
    u64::try_from(number).ok()
}

#[test]
fn a_sector_has_512_bytes() {
    assert_eq!(1 << SECTOR_SHIFT, 512);
    assert_eq!(Sector::ZERO, Sector::new(0));
    assert_eq!(Sector::from_bytes(0), Some(Sector::ZERO));
    assert_eq!(Sector::from_bytes(32256), Some(Sector::new(63)));
    assert_eq!(Sector::from_bytes(511), None);
    assert_eq!(Sector::from_bytes(513), None);
    assert_eq!(Sector::from_bytes(u64::MAX), None);
    assert_eq!(Sector::new(63).bytes(), Some(32256));
}

#[test]
fn bytes_end_where_a_number_does() {
    let last = (u64::MAX >> 9) as u128;
    assert_eq!(Sector::new(1 << 55).bytes(), None);
    assert_eq!(Sector::new(fit(last).unwrap()).bytes(), fit(last * 512));
}

#[test]
fn a_part_of_a_sector_does_not_count() {
    for (bytes, sectors) in [
        (0, 0),
        (511, 0),
        (512, 1),
        (10_000, 19),
        (u64::MAX, (1 << 55) - 1),
    ] {
        assert_eq!(
            SectorCount::from_bytes_floor(bytes),
            SectorCount::new(sectors)
        );
    }
}

#[test]
fn blocks_are_whole() {
    let whole = |count, block| SectorCount::new(count).is_multiple_of(SectorCount::new(block));
    assert!(whole(0, 8) && whole(8, 8) && whole(1 << 63, 1 << 63) && whole(u64::MAX, 1));
    assert!(!whole(4, 8) && !whole(9, 8) && !whole(u64::MAX, 2) && !whole(1 << 62, 1 << 63));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16_384))]

    #[test]
    fn arithmetic_is_exact_or_refused(a in number(), b in number()) {
        let (position, count) = (Sector::new(a), SectorCount::new(b));
        let sum = fit(u128::from(a) + u128::from(b));
        let difference = a.checked_sub(b);

        prop_assert_eq!(position.checked_add(count).map(Sector::get), sum);
        prop_assert_eq!(
            SectorCount::new(a).checked_add(count).map(SectorCount::get),
            sum
        );
        prop_assert_eq!(
            position.checked_since(Sector::new(b)).map(SectorCount::get),
            difference
        );
        prop_assert_eq!(position.bytes(), fit(u128::from(a) * 512));
        prop_assert_eq!(count.bytes(), fit(u128::from(b) * 512));
        prop_assert_eq!(position.as_count().get(), a);
        prop_assert_eq!(SectorCount::new(a).min(count).get(), a.min(b));
        prop_assert_eq!(SectorCount::new(a).is_zero(), a == 0);
        prop_assert_eq!(position < Sector::new(b), a < b);
    }

    #[test]
    fn bytes_and_sectors_agree(bytes in number()) {
        prop_assert_eq!(SectorCount::from_bytes_floor(bytes).get(), bytes / 512);
        let sector = Sector::from_bytes(bytes);
        prop_assert_eq!(sector.is_some(), bytes % 512 == 0);
        if let Some(sector) = sector {
            prop_assert_eq!(sector.bytes(), Some(bytes));
        }
    }

    #[test]
    fn multiples_are_those_of_division(count in number(), shift in 0_u32..64) {
        let block = 1_u64 << shift;
        prop_assert_eq!(
            SectorCount::new(count).is_multiple_of(SectorCount::new(block)),
            count % block == 0
        );
        let multiple = count & !(block - 1);
        prop_assert!(SectorCount::new(multiple).is_multiple_of(SectorCount::new(block)));
    }
}
