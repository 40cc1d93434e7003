// SPDX-License-Identifier: GPL-2.0

//! System calls without a safe interface elsewhere. Only here is `unsafe` allowed.

mod dm;
mod fibmap;
mod fiemap;
mod ioctl;
mod lease;
mod semaphore;

pub(crate) use self::{
    dm::{call, text, Header},
    fibmap::{block_size, fibmap},
    fiemap::{fiemap, RawExtent},
    lease::Lease,
    semaphore::Semaphore,
};
