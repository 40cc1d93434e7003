// SPDX-License-Identifier: GPL-2.0

//! Table lines, as a process hands them to device-mapper.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|line: &[u8]| dm_loop_host::check::line(line));
