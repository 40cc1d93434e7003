// SPDX-License-Identifier: GPL-2.0

//! Files, as a block device on top of them needs them.
//!
//! [`BackingFile`] opens a regular file and nothing else, and a [`Seat`] is a place
//! among its users. [`Share`] is a part in the [claim] on a file: as long as
//! one exists, the file system keeps every block of the file where the
//! [`ExtentMap`](crate::block::ExtentMap) says. [`FileIo`] has workers read and write
//! a file through the VFS.
//!
//! | here | C |
//! | --- | --- |
//! | [`BackingFile`] | `struct file` |
//! | [`inode::Inode`] | `struct inode` |
//! | [`activation::Activation`] | `a_ops->swap_activate`, `swap_deactivate` |
//! | [`claim::Claim`] | what `swapon(2)` does to a file |
//! | [`request::Request`] | `struct kiocb` |
//! | [`Workqueue`], [`worker::Worker`] | `struct workqueue_struct`, `struct work_struct` |
//!
//! C headers: [`include/linux/fs.h`](srctree/include/linux/fs.h),
//! [`include/linux/swap.h`](srctree/include/linux/swap.h)

mod activation;
mod blocks;
mod claim;
mod file;
mod file_io;
mod growth;
mod inode;
mod kind;
mod lane;
mod layout;
mod lookup;
mod mark;
mod reclaim;
mod request;
mod seat;
mod share;
mod worker;

pub(crate) use self::{
    claim::{ClaimError, Refusal},
    file::{BackingFile, Identity, OpenError},
    file_io::{FileIo, PerBio},
    request::{ByteRange, Job},
    seat::{Caching, Mapped, Seat, User},
    share::Share,
    worker::Workqueue,
};

/// Prepares the module's table of files in use.
///
/// To be called once, before anything else of this module.
pub(crate) fn init() {
    seat::init();
}
