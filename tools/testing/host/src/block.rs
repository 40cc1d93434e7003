// SPDX-License-Identifier: GPL-2.0

//! The pure files of `rust/block`, under the paths that they have in the module.

#[path = "../../../../rust/block/extent.rs"]
pub(crate) mod extent;
#[path = "../../../../rust/block/extent_map.rs"]
pub(crate) mod extent_map;
#[path = "../../../../rust/block/sector.rs"]
pub(crate) mod sector;
