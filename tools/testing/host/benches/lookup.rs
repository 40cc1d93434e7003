// SPDX-License-Identifier: GPL-2.0

//! Lookups in the extent map, against `partition_point` over an array of structures.
//!
//! Each figure is the processor time of one lookup, so that what else the machine does
//! shows only in its caches:
//!
//! - `random`: sectors all over the file, one lookup after the other;
//! - `dependent`: the same, but none can begin before the one before it has ended, as
//!   in the I/O path, where other work lies between two of them;
//! - `ascending`: about one sector in each extent, in order;
//! - `crowded`: like `random`, in a file of which one extent is nearly the whole, but
//!   only where the short ones are.
//!
//! The code is compiled as for the kernel where that can be had here: `opt-level` 2,
//! overflow checks, baseline x86-64. Vector units, which the kernel does not use, are
//! not ruled out, but nothing here is made of what they can do.

#[allow(dead_code)]
#[path = "../src/block.rs"]
mod block;

use self::block::{
    extent::Extent,
    extent_map::{ExtentMap, Run},
    sector::{Sector, SectorCount},
};
use criterion::{criterion_group, criterion_main, BenchmarkId, Criterion};
use rustix::time::{clock_gettime, ClockId};
use std::{convert::Infallible, hint::black_box, time::Duration};

/// Tables of so many extents.
const SIZES: [u64; 5] = [10, 1_000, 100_000, 1_000_000, 10_000_000];

/// The lengths of extents that are not the long one: 4 KiB to 128 KiB.
const LONGEST: u64 = 32;
const BLOCK: u64 = 8;

/// Numbers that look random and are the same in each run: xorshift.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `limit`.
    fn below(&mut self, limit: u64) -> u64 {
        let product = u128::from(self.next()) * u128::from(limit);
        // CAST: the upper half of a product of two `u64` is one.
        (product >> 64) as u64
    }
}

/// `count` extents, of which number `long` is longer than all others together.
fn extents(count: u64, long: Option<u64>) -> Vec<Extent> {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let mut file = 0;
    (0..count)
        .map(|place| {
            let len = if long == Some(place) {
                1 << 40
            } else {
                BLOCK * (1 + numbers.below(LONGEST))
            };
            let extent = Extent {
                file: Sector::new(file),
                disk: Sector::new(numbers.below(1 << 40)),
                len: SectorCount::new(len),
            };
            file += len;
            extent
        })
        .collect()
}

/// Finds sectors.
trait Table {
    fn new(extents: &[Extent], end: u64) -> Self;
    fn find(&self, file: u64) -> Option<Run>;
}

impl Table for ExtentMap<Vec<u64>> {
    fn new(extents: &[Extent], end: u64) -> Self {
        let alloc = |len| Ok::<_, Infallible>(vec![0; len]);
        let Ok(map) = ExtentMap::new(extents, Sector::new(end), alloc);
        map.expect("the extents are in order")
    }

    fn find(&self, file: u64) -> Option<Run> {
        self.lookup(Sector::new(file))
    }
}

/// An extent as one would write it down.
struct Plain {
    start: u64,
    to: u64,
    len: u64,
}

impl Table for Vec<Plain> {
    fn new(extents: &[Extent], _end: u64) -> Self {
        let plain = |extent: &Extent| Plain {
            start: extent.file.get(),
            to: extent.disk.get(),
            len: extent.len.get(),
        };
        extents.iter().map(plain).collect()
    }

    fn find(&self, file: u64) -> Option<Run> {
        let after = self.partition_point(|extent| extent.start <= file);
        let found = self.get(after.checked_sub(1)?)?;
        let into = file - found.start;
        (into < found.len).then(|| Run {
            disk: Sector::new(found.to + into),
            len: SectorCount::new(found.len - into),
        })
    }
}

/// The processor time that this thread has had.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).expect("no thread has had less than none")
}

/// What is made of an answer, so that it cannot be left out.
fn digest(run: Option<Run>) -> u64 {
    run.map_or(0, |run| run.disk.get() ^ run.len.get())
}

/// The time of `count` lookups of random sectors below `end`; the answer of each is
/// masked with `mask` and added to the next sector.
fn random(table: &impl Table, end: u64, mask: Option<u64>, count: u64) -> Duration {
    let mut numbers = Numbers(0x2545_f491_4f6c_dd1d);
    let mut sum = 0_u64;
    let start = processor_time();
    for _ in 0..count {
        let file = numbers.below(end);
        let file = mask.map_or(file, |mask| file + (sum & mask));
        sum = sum.wrapping_add(digest(table.find(file)));
    }
    let elapsed = processor_time().saturating_sub(start);
    black_box(sum);
    elapsed
}

/// The time of `count` lookups, each `step` sectors after the one before it.
fn ascending(table: &impl Table, end: u64, step: u64, count: u64) -> Duration {
    let (mut file, mut sum) = (0_u64, 0_u64);
    let start = processor_time();
    for _ in 0..count {
        sum = sum.wrapping_add(digest(table.find(file)));
        file += step;
        if file >= end {
            file = 0;
        }
    }
    let elapsed = processor_time().saturating_sub(start);
    black_box(sum);
    elapsed
}

/// All that is measured of one kind of table.
fn measure<T: Table>(criterion: &mut Criterion, name: &str, sorted: &[Extent], crowded: bool) {
    let count = sorted.len();
    let last = sorted.last().expect("no table is empty");
    let table = T::new(sorted, last.file.get() + last.len.get());
    let reference = <Vec<Plain> as Table>::new(sorted, 0);
    // A wrong answer can be had in no time.
    let mut numbers = Numbers(7);
    let end = last.file.get() + last.len.get();
    for _ in 0..10_000 {
        let file = numbers.below(end);
        assert_eq!(table.find(file), reference.find(file));
        assert!(reference.find(file).is_some());
    }
    assert_eq!(table.find(end), None);
    drop(reference);

    let mut bench = |group: &str, time: &dyn Fn(u64) -> Duration| {
        let id = BenchmarkId::new(name, count);
        let mut group = criterion.benchmark_group(group);
        group.bench_function(id, |bencher| bencher.iter_custom(time));
    };
    if crowded {
        bench("crowded", &|count| {
            random(&table, last.file.get(), None, count)
        });
        return;
    }
    let zero = black_box(0);
    let step = end.div_ceil(count as u64);
    bench("random", &|count| random(&table, end, None, count));
    bench("dependent", &|count| random(&table, end, Some(zero), count));
    bench("ascending", &|count| ascending(&table, end, step, count));
}

fn lookup(criterion: &mut Criterion) {
    for size in SIZES {
        for long in [None, Some(size - 1)] {
            let extents = extents(size, long);
            measure::<ExtentMap<Vec<u64>>>(criterion, "map", &extents, long.is_some());
            measure::<Vec<Plain>>(criterion, "plain", &extents, long.is_some());
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(50);
    targets = lookup
}
criterion_main!(benches);
