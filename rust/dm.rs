// SPDX-License-Identifier: GPL-2.0

//! Device-mapper targets.
//!
//! To write a target, implement [`Operations`] and keep a [`Registration`] of the
//! implementation for as long as the module is loaded. Device-mapper then calls
//! [`Operations::ctr`] for each table line of that name, passes bios to
//! [`Operations::map`], and drops the private data when the table is destroyed.
//!
//! | here | C |
//! | --- | --- |
//! | [`Operations`], [`Registration`] | `struct target_type`, `dm_register_target()` |
//! | [`Constructor`] | `struct dm_target` in `ctr` |
//! | [`Target`] | `struct dm_target` afterwards |
//! | [`Args`] | `argc`, `argv` of `ctr` |
//! | [`Bio`], [`MapResult`] | `struct bio` in `map`, `DM_MAPIO_*` |
//! | [`Deferred`] | `struct bio` after `DM_MAPIO_SUBMITTED`, with its per-bio data |
//! | [`StatusWriter`] | `result`, `maxlen` of `status` |
//! | [`DeviceVisitor`] | `iterate_devices_callout_fn` |
//!
//! C header: [`include/linux/device-mapper.h`](srctree/include/linux/device-mapper.h)

mod args;
mod bio;
mod deferred;
mod devices;
mod status;
mod target;
mod target_type;

pub(crate) use self::{
    args::Args,
    bio::{Bio, MapResult, Op},
    deferred::{Deferred, DeferredList, Status},
    devices::DeviceVisitor,
    status::StatusWriter,
    target::{BioKinds, Constructor, MappedDevice, Target},
    target_type::{CtrError, Operations, Registration, StatusKind, Version},
};
