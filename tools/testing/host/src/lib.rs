// SPDX-License-Identifier: GPL-2.0

//! Host tests of dm-loop: the files of the kernel module that use `core` alone,
//! compiled by path and tested against naive models.
//!
//! - [`model`]: what the answer should be, found the slow way;
//! - [`check`]: properties, each a function that panics where code and model
//!   disagree. The property tests and the fuzz targets feed the same ones;
//! - `tests`: one file per noun;
//! - `benches/lookup.rs`: the extent map against a plain binary search.

// Nobody but the module itself uses all of a file.
#[allow(dead_code)]
mod block;
#[allow(dead_code)]
mod target;

pub mod check;
pub mod model;

#[cfg(test)]
mod tests;
