// SPDX-License-Identifier: GPL-2.0

//! The claim on a file: its blocks stay where they are until it is released.
//!
//! The order of a claim, each step undone in reverse on failure:
//!
//! 1. the file system is one that is proven, and the file not of a kind that lies
//!    elsewhere than its blocks say (encrypted, verity, DAX, copied on write);
//! 2. inode locked: refuse a swap file; end direct I/O, write dirty pages, set
//!    `S_SWAPFILE`, which makes the kernel refuse what would move or change blocks;
//! 3. bring data and metadata to stable storage;
//! 4. drop the page cache, then look for holes: an unwritten extent looks like data
//!    while a page of it is cached;
//! 5. inode locked: the file system's `swap_activate`, which pins or refuses;
//! 6. the rest with `bmap`, block by block; then data and metadata to stable storage
//!    once more, for a file system that has moved blocks;
//! 7. inode locked: nobody but targets of this module has the file open for writing, and
//!    nobody has changed the inode since step 2. `fallocate(2)` looks at `S_SWAPFILE` long
//!    before it locks, so one that was under way before step 2 may do its work at any time;
//!    who opens the file after that finds the flag set. Where somebody had it open in step 2,
//!    the page cache is written and dropped once more: a mapping may have dirtied it until
//!    it went.
//!
//! A file that is made longer while it is claimed is written by this module alone, past
//! the check of `S_SWAPFILE`, which stays set; then steps 3 to 6 are repeated.
//!
//! Released, after the last I/O: drop what readers have cached meanwhile,
//! `swap_deactivate`, clear `S_SWAPFILE`, close the file. The pages first: a file system that
//! moves blocks takes their content from the page cache, where there is any.
//!
//! Locks: the inode lock is taken and dropped at steps 2, 5 and 7 and held around
//! nothing that takes it itself (`SEEK_HOLE`, `bmap` and `fsync` do, somewhere).

use super::{
    file::{BackingFile, Stat},
    growth,
    kind::FsKind,
    layout::{self, FileMap, Layout},
    mark::{drop_page_cache, Mark},
};
use crate::{bindings, block::Device};
use kernel::{
    prelude::*,
    sync::Arc,
    time::{delay::fsleep, Delta},
};

/// Why a file cannot be block-mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Its file system is not on a block device.
    NoBlockDevice,
    /// Its file system is not one that block mapping is proven on.
    FsUnsupported,
    /// Its file system said no.
    FsRefused,
    /// It has holes.
    Sparse,
    /// It has blocks that are allocated and not written yet.
    Unwritten,
    /// Its blocks are shared, or copied when written.
    Cow,
    /// Its blocks hold ciphertext.
    Encrypted,
    /// It is sealed by fs-verity.
    Verity,
    /// It is accessed past the block layer.
    Dax,
    /// A part that the device needs lies on no block of its own.
    Misaligned,
}

/// Why a claim failed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ClaimError {
    /// The file cannot be block-mapped.
    Refused(Refusal),
    /// It is a swap file, or being changed by somebody else at the moment.
    Busy,
    /// It is file-mapped by another target, and cannot be both at once.
    FileMapped,
    /// Something else went wrong.
    Failed(Error),
}

impl From<Refusal> for ClaimError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Error> for ClaimError {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// How often it is looked whether others have the file open: one that is just about to be
/// closed, or another target's that is not counted yet, is none.
const ATTEMPTS: u32 = 5;

/// Time between two looks, in milliseconds.
const INTERVAL: i64 = 10;

/// A file whose blocks are pinned, and the table of where they are.
///
/// The fields are dropped in this order.
pub(crate) struct Claim {
    layout: Layout,
    mark: Mark,
}

impl Claim {
    /// Claims `file`; `has_others` tells whether others have it open for writing. Process
    /// context, sleeps.
    pub(super) fn new(
        file: &BackingFile,
        has_others: impl Fn() -> bool,
    ) -> Result<Self, ClaimError> {
        let kind = check_kind(file)?;
        let (mark, before) = Mark::new(file)?;
        // From here on nobody can dirty pages who has not the file open already, or mapped.
        let mixed = has_others();
        check_journal(&before)?;
        let layout = lay_out(file, kind)?;

        for attempt in 1..=ATTEMPTS {
            let locked = file.inode().lock();
            let (after, alone) = (file.stat()?, !has_others());
            drop(locked);
            if after.changed != before.changed {
                break;
            }
            if alone {
                if mixed {
                    // Whoever that was has gone, and may have dirtied pages until then.
                    write_and_drop(file)?;
                }
                return Ok(Self { layout, mark });
            }
            if attempt < ATTEMPTS {
                fsleep(Delta::from_millis(INTERVAL));
            }
        }
        Err(ClaimError::Busy)
    }

    /// Makes the file at least `size` bytes long, by way of `file`, and takes up where the new
    /// part lies. Nobody else can write to it meanwhile either. Process context, sleeps.
    ///
    /// On an error the claim is what it was; the file may be longer.
    pub(super) fn grow(&mut self, file: &BackingFile, size: u64) -> Result<(), ClaimError> {
        let kind = check_kind(file)?;
        check_journal(&file.stat()?)?;
        let old = self.layout.map();
        let extended = growth::extend(file, kind.growth, old.end(), size);
        // Not even a growth that has failed may leave dirty pages.
        file.sync()?;
        extended?;
        // By the file that is kept as long as the claim, not by that of one user.
        let layout = lay_out(self.mark.file(), kind)?;
        if !layout.map().begins_with(old) {
            pr_err!("blocks of a claimed file have moved\n");
            return Err(ClaimError::Failed(EIO));
        }
        check_journal(&file.stat()?)?;
        self.layout = layout;
        Ok(())
    }

    /// Where the file lies.
    pub(super) fn map(&self) -> &Arc<FileMap> {
        self.layout.map()
    }

    /// The device that it lies on.
    pub(super) fn device(&self) -> Option<&Device> {
        self.layout
            .device()
            .or_else(|| self.mark.file().inode().device())
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Err(error) = self.mark.drop_stale_pages() {
            pr_warn!("stale pages of a released file stay cached ({:?})\n", error);
        }
    }
}

/// Steps 3 to 6 of a claim.
fn lay_out(file: &BackingFile, kind: &FsKind) -> Result<Layout, ClaimError> {
    file.sync()?;
    layout::check_holes(file)?;
    let layout = Layout::new(file, kind)?;
    // f2fs has moved blocks: they must have landed, and be found after a crash. And anybody
    // may have made the file longer, which may leave dirty pages of zeroes.
    write_and_drop(file)?;
    Ok(layout)
}

/// Writes what the page cache has of `file`, and drops it.
fn write_and_drop(file: &BackingFile) -> Result<(), ClaimError> {
    file.sync()?;
    drop_page_cache(file).map_err(|error| match error {
        EBUSY => ClaimError::Busy,
        error => ClaimError::Failed(error),
    })
}

/// Refuses a file of which the data goes through a journal: where direct I/O would bypass
/// that, so would we.
fn check_journal(stat: &Stat) -> Result<(), Refusal> {
    match stat.direct_io_alignment {
        Some(0) => Err(Refusal::FsRefused),
        _ => Ok(()),
    }
}

/// Checks what can be told of a file without touching it.
fn check_kind(file: &BackingFile) -> Result<&'static FsKind, ClaimError> {
    let inode = file.inode();
    let kind = inode.kind().ok_or(match inode.device() {
        Some(_) => Refusal::FsUnsupported,
        None => Refusal::NoBlockDevice,
    })?;
    // Without swap support `S_SWAPFILE` means nothing to the kernel.
    if cfg!(not(CONFIG_SWAP)) {
        return Err(Refusal::FsUnsupported.into());
    }
    let flags = [
        (bindings::S_DAX, Refusal::Dax),
        (bindings::S_ENCRYPTED, Refusal::Encrypted),
        (bindings::S_VERITY, Refusal::Verity),
    ];
    for (flag, refusal) in flags {
        if inode.has_flags(flag) {
            return Err(refusal.into());
        }
    }
    if kind.spans && file.is_on_several_devices()? {
        return Err(Refusal::FsRefused.into());
    }
    if kind.readers_unpin && !inode.is_private() {
        return Err(Refusal::FsRefused.into());
    }
    if kind.cow && !file.has_nocow()? {
        return Err(Refusal::Cow.into());
    }
    Ok(kind)
}
