// SPDX-License-Identifier: GPL-2.0

//! Tests, one file per noun of the module.

mod alignment;
mod args;
mod extent;
mod extent_map;
mod message;
mod sector;
mod table;
mod window;

use crate::block::{
    extent::Extent,
    extent_map::Run,
    sector::{Sector, SectorCount},
};
use proptest::prelude::*;

/// An extent of `len` sectors, at `file` in the file and at `disk` on the disk.
fn extent(file: u64, disk: u64, len: u64) -> Extent {
    Extent {
        file: Sector::new(file),
        disk: Sector::new(disk),
        len: SectorCount::new(len),
    }
}

/// A run of `len` sectors at `disk`.
fn run(disk: u64, len: u64) -> Run {
    Run {
        disk: Sector::new(disk),
        len: SectorCount::new(len),
    }
}

/// Numbers of every size, those near a power of two or the ends above all.
fn number() -> impl Strategy<Value = u64> {
    let near_power = (0_u32..64, 0_u64..4).prop_flat_map(|(bits, off)| {
        let power = 1_u64 << bits;
        prop_oneof![Just(power.wrapping_sub(off)), Just(power.wrapping_add(off))]
    });
    prop_oneof![
        3 => near_power,
        1 => 0_u64..2048,
        1 => (0_u64..2048).prop_map(|number| u64::MAX - number),
        1 => any::<u64>(),
    ]
}
