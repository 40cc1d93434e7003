// SPDX-License-Identifier: GPL-2.0

//! What a file system says of where a file lies, and sectors to look up.

#![no_main]

use dm_loop_host::check::{layout, Step};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u64, Vec<Step>, Vec<u64>)| {
    let (device_len, steps, probes) = input;
    layout(device_len, &steps, &probes);
});
