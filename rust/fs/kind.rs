// SPDX-License-Identifier: GPL-2.0

//! The file systems that block mapping is proven on.
//!
//! A file system joins the list when the block-mapping selftests pass on it.

use core::ffi::CStr;

/// How a file system keeps a file's blocks in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pin {
    /// It never moves blocks of a file that has `S_SWAPFILE`, whoever set it.
    Flag,
    /// Its `swap_activate` pins them.
    Activate,
    /// Its `swap_activate` pins them, but only after it has told where they are: the
    /// answer of a second call is the one that holds.
    ActivateTwice,
}

/// How a file that has `S_SWAPFILE` is given more blocks, written and full of zeroes: past
/// the one check of that flag, which is this module's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Growth {
    /// Not at all.
    Never,
    /// As by a `write(2)` of its own, which is `__generic_file_write_iter()` with the inode
    /// locked, and nothing else.
    Written,
    /// By its `fallocate` with `FALLOC_FL_WRITE_ZEROES`, which needs a device that writes
    /// zeroes by itself.
    Zeroed,
}

/// What this module relies on in a file system.
#[derive(Debug)]
pub(crate) struct FsKind {
    name: &'static CStr,
    /// How blocks are kept in place.
    pub(crate) pin: Pin,
    /// Whether files are copied on write unless they have the attribute against it.
    pub(crate) cow: bool,
    /// How files are made longer while they are claimed. Only where blocks are kept in
    /// place by the flag: a second `swap_activate` would count twice elsewhere.
    pub(crate) growth: Growth,
    /// Whether it does not remember what asynchronous direct I/O has overwritten: its `fdatasync`
    /// may then have nothing to do.
    pub(crate) forgets: bool,
    /// Whether it may lie on several devices, and then does not say on which of them a
    /// block is.
    pub(crate) spans: bool,
    /// Whether everybody who can read a file can have it unpinned.
    pub(crate) readers_unpin: bool,
}

/// The proven file systems. The ext4 driver serves ext2 and ext3 as well.
static PROVEN: [FsKind; 7] = [
    FsKind::written(c"ext4"),
    FsKind {
        growth: Growth::Zeroed,
        ..FsKind::new(c"xfs", Pin::Flag)
    },
    FsKind {
        cow: true,
        ..FsKind::new(c"btrfs", Pin::Activate)
    },
    FsKind {
        forgets: true,
        spans: true,
        readers_unpin: true,
        ..FsKind::new(c"f2fs", Pin::ActivateTwice)
    },
    FsKind::written(c"vfat"),
    FsKind::written(c"ext3"),
    FsKind::written(c"ext2"),
];

impl FsKind {
    /// One that is pinned by `pin`, and of which nothing else need be known.
    const fn new(name: &'static CStr, pin: Pin) -> Self {
        Self {
            name,
            pin,
            growth: Growth::Never,
            forgets: false,
            cow: false,
            spans: false,
            readers_unpin: false,
        }
    }

    /// One that keeps blocks in place by the flag, and writes as most do.
    const fn written(name: &'static CStr) -> Self {
        Self {
            growth: Growth::Written,
            ..Self::new(name, Pin::Flag)
        }
    }

    /// What is known of the file system type `name`, if it is a proven one.
    pub(crate) fn of(name: &CStr) -> Option<&'static Self> {
        PROVEN.iter().find(|kind| kind.name == name)
    }
}
