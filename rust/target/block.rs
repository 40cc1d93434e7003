// SPDX-License-Identifier: GPL-2.0

//! A block-mapped file: each bio goes straight to the disk.

use super::{
    alignment::Alignment,
    placement::Placement,
    refusal::{report_growth, Refusal},
    table::Features,
    tally::Tally,
    window::Window,
};
use crate::{
    block::{Run, Sector, SectorCount},
    dm::{Bio, BioKinds, Constructor, DeviceVisitor, MapResult, Op, StatusWriter, Target},
    fs::{self, BackingFile, ClaimError, Mapped, Share, User},
};
use core::fmt::{self, Write};
use kernel::prelude::*;

/// A part of a file on disk, shown as a device.
///
/// In this order: what every bio is mapped by comes first, and `tally`, which is written, is
/// more than a cache line behind that.
#[repr(C)]
pub(super) struct Block {
    /// Which part, and where it is.
    placement: Placement,
    /// Whether the device may be written to.
    writable: bool,
    /// The claim that keeps the file where it is, and says where that is.
    share: Share,
    /// How the runs of the window are aligned on disk.
    alignment: Alignment,
    tally: Tally,
}

impl Block {
    /// Block-maps `len` sectors of `file` at byte `offset`. Process context, sleeps.
    pub(super) fn new(
        target: &mut Constructor<'_>,
        file: BackingFile,
        window: Window,
        features: Features,
    ) -> Result<Self, Refusal> {
        let writable = target.writable();
        let user = User {
            device: target.mapped_device(),
            mapped: Mapped::Blocks,
            start: window.start(),
            end: window.end().ok_or(ClaimError::Failed(EOVERFLOW))?,
            writable,
            page_shift: 0,
        };
        let share = Share::new(file, user)?;
        if target.is_on(share.device()) {
            return Err(Refusal::OnItself);
        }
        let alignment = check_runs(&share, &window)?;
        target.accept(BioKinds {
            flush: true,
            discard: !features.no_discard,
            secure_erase: !features.no_discard,
            write_zeroes: true,
        });
        Ok(Self {
            placement: Placement::new(window, share.map()),
            share,
            writable,
            alignment,
            tally: Tally::default(),
        })
    }

    /// The file.
    pub(super) fn file(&self) -> &BackingFile {
        self.share.file()
    }

    /// Sends a bio to where its sectors lie on disk; what lies elsewhere comes again
    /// as a bio of its own.
    #[inline(always)]
    pub(super) fn map(&self, target: Target<'_>, bio: Bio<'_>) -> MapResult {
        if self.placement.is_whole() {
            self.map_by(target, bio, |sector, len| {
                self.placement.remap_whole(sector, len)
            })
        } else {
            self.map_piece(target, bio)
        }
    }

    /// The same for a window in several pieces. A function of its own, so that the
    /// registers it needs are not saved for those who have one piece.
    #[inline(never)]
    fn map_piece(&self, target: Target<'_>, bio: Bio<'_>) -> MapResult {
        self.map_by(target, bio, |sector, len| {
            let run = self.placement.remap(self.share.map(), sector, len);
            if run.is_some_and(|run| run.len < len) {
                self.tally.split();
            }
            run
        })
    }

    /// Sends a bio to where `remap` says that its sectors lie.
    #[inline(always)]
    fn map_by(
        &self,
        target: Target<'_>,
        bio: Bio<'_>,
        remap: impl FnOnce(Sector, SectorCount) -> Option<Run>,
    ) -> MapResult {
        let op = bio.op();
        // A reload may make a device read-only under an opener who writes.
        if !self.writable && op.changes_data() {
            return self.fail(bio);
        }
        match op {
            Op::Read | Op::Write | Op::Discard | Op::SecureErase | Op::WriteZeroes => {
                let sector = target.offset(bio.sector());
                match sector.and_then(|sector| remap(sector, bio.len())) {
                    Some(run) => bio.remap(self.share.device(), run.disk, run.len),
                    None => self.fail(bio),
                }
            }
            Op::Flush => {
                self.tally.flush();
                bio.remap(self.share.device(), Sector::ZERO, SectorCount::ZERO)
            }
            Op::Other => bio.reject(),
        }
    }

    /// Fails a bio that has no place.
    #[cold]
    fn fail(&self, bio: Bio<'_>) -> MapResult {
        self.tally.failed();
        bio.kill()
    }

    /// Flushes, bios that were split, and bios that had no place. What the disk fails is
    /// not seen here.
    pub(super) fn counts(&self) -> [u64; 3] {
        self.tally.get()
    }

    /// Makes the file at least `size` bytes long, with zeroes behind what it has. Process
    /// context, sleeps.
    pub(super) fn grow(&self, size: u64) -> Result {
        if !self.writable {
            return Err(EROFS);
        }
        self.share.grow(size).map_err(report_growth)
    }

    /// Writes the state: the number of extents of the file, and the host device.
    pub(super) fn status(&self, out: &mut StatusWriter<'_>) -> fmt::Result {
        let (major, minor) = self.share.device().number();
        write!(out, "block {} {major}:{minor}", self.share.map().len())
    }

    /// Visits the host device where its alignment is that of this one: of the runs there may
    /// be a million.
    pub(super) fn iterate_devices(&self, visitor: &mut DeviceVisitor<'_>) -> c_int {
        let device = self.share.device();
        let block = device.logical_block();
        for origin in self.alignment.origins() {
            let ended = visitor.visit(device, self.writable, origin, block);
            if ended != 0 {
                return ended;
            }
        }
        0
    }
}

/// Checks that the runs of `window` are made of logical blocks, and finds how they are aligned
/// on disk.
fn check_runs(share: &Share, window: &Window) -> Result<Alignment, Refusal> {
    let misaligned = ClaimError::Refused(fs::Refusal::Misaligned);
    let end = window.end().filter(|&end| end <= share.map().end());
    let end = end.and_then(Sector::bytes).ok_or(misaligned)?;
    let (size, block_size) = (share.file().size(), share.file().block_size());
    if end > size {
        // Somebody has truncated it before it was claimed.
        return Err(Refusal::Claim(ClaimError::Busy));
    }
    // The part of a block at the end of the file is the file system's; the map has it
    // only where a block is larger than a page.
    if end > size.saturating_sub(size.checked_rem(block_size.into()).unwrap_or(0)) {
        return Err(misaligned.into());
    }
    let (block, disk_len) = (share.device().logical_block(), share.device().len());
    let mut position = 0_u64;
    let mut alignment: Option<Alignment> = None;
    for run in share.map().runs(window.start(), window.len()) {
        if !run.disk.as_count().is_multiple_of(block) || !run.len.is_multiple_of(block) {
            return Err(misaligned.into());
        }
        alignment
            .get_or_insert(Alignment::new(run, disk_len))
            .add(run, position, disk_len);
        position = position.saturating_add(run.len.get());
    }
    alignment.ok_or_else(|| misaligned.into())
}
