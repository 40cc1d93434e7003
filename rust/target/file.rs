// SPDX-License-Identifier: GPL-2.0

//! A file-mapped file: each bio is done by a worker, through the file system.

use super::{
    refusal::{Reason, Refusal},
    table::{Features, IoMode},
    tally::Tally,
    window::Window,
};
use crate::{
    block::{QueueLimits, Sector, SECTOR_SHIFT},
    dm::{Bio, BioKinds, Constructor, DeviceVisitor, MapResult, Op, StatusWriter, Target},
    fs::{BackingFile, ByteRange, Caching, ClaimError, FileIo, Job, Mapped, PerBio, Seat, User},
};
use core::fmt::{self, Write};
use kernel::{page::PAGE_SIZE, prelude::*};

/// A part of a file, read and written through the file system.
///
/// The fields are dropped in this order.
pub(super) struct File {
    io: Pin<KBox<FileIo>>,
    _seat: Seat,
    /// Which part.
    window: Window,
    /// Whether the device may be written to.
    writable: bool,
    /// Why the file is not block-mapped.
    reason: Reason,
    /// What bios are offered beyond reads and writes.
    kinds: BioKinds,
    /// The smallest blocks that may be, and should be, read and written, in bytes.
    blocks: (u32, u32),
    /// The size of the file system's blocks, in bytes.
    granularity: u32,
    /// The size of I/O that the file system likes best, in bytes.
    optimal: u32,
    tally: Tally,
}

/// The size of a sector, in bytes.
const SECTOR: u32 = 512;

impl File {
    /// File-maps the window of `file`. Process context, sleeps.
    pub(super) fn new(
        target: &mut Constructor<'_>,
        file: BackingFile,
        window: Window,
        features: Features,
        reason: Reason,
    ) -> Result<Self, Refusal> {
        let writable = target.writable();
        if !file.can_transfer(writable) {
            return Err(Refusal::Unusable);
        }
        let alignment = match features.io {
            Some(IoMode::Buffered) => None,
            Some(IoMode::Direct) => Some(file.direct_io_alignment()?.ok_or(Refusal::NoDirectIo)?),
            None => file.direct_io_alignment()?,
        };
        // Where the window is not aligned, nothing in it is.
        let alignment = alignment.filter(|&alignment| window.starts_at_multiple_of(alignment));
        if alignment.is_none() && features.io == Some(IoMode::Direct) {
            return Err(Refusal::NoDirectIo);
        }
        let (granularity, optimal) = (file.block_size(), file.preferred_io()?);
        let blocks = block_sizes(target, &window, alignment, granularity);
        let caching = match alignment {
            None => Caching::All,
            Some(alignment) if alignment <= blocks.0 => Caching::None,
            Some(_) => Caching::Some,
        };
        // CAST: a small constant.
        let page = granularity.max(PAGE_SIZE as u32).checked_ilog2();
        let user = User {
            device: target.mapped_device(),
            mapped: Mapped::File(caching),
            start: window.start(),
            end: window.end().ok_or(ClaimError::Failed(EOVERFLOW))?,
            writable,
            page_shift: page.unwrap_or(0).saturating_sub(SECTOR_SHIFT),
        };
        let seat = Seat::take(file.clone(), user, |_| {})?;

        let fallocate = writable && file.has_fallocate();
        let kinds = BioKinds {
            flush: file.has_fsync(),
            discard: fallocate && !features.no_discard,
            secure_erase: false,
            write_zeroes: fallocate,
        };
        target.do_bios_with::<PerBio>(kinds);
        let io = FileIo::new(file.clone(), file.reopen(writable)?, alignment.is_some());
        Ok(Self {
            io: KBox::pin_init(io, GFP_KERNEL).map_err(ClaimError::from)?,
            _seat: seat,
            blocks,
            window,
            writable,
            reason,
            kinds,
            granularity,
            optimal,
            tally: Tally::default(),
        })
    }

    /// The file.
    pub(super) fn file(&self) -> &BackingFile {
        self.io.file()
    }

    /// Has a worker do what a bio asks for.
    pub(super) fn map(&self, target: Target<'_>, bio: Bio<'_>) -> MapResult {
        let job = match bio.op() {
            // A reload may make a device read-only under an opener who writes.
            op if !self.writable && op.changes_data() => return self.fail(bio),
            Op::Read => Job::Read,
            Op::Write => Job::Write {
                durable: bio.is_fua(),
            },
            Op::Flush => {
                self.tally.flush();
                Job::Flush
            }
            Op::Discard => Job::Discard,
            Op::WriteZeroes => Job::WriteZeroes {
                unmap: bio.may_unmap(),
            },
            Op::SecureErase | Op::Other => return bio.reject(),
        };
        let range = match job {
            Job::Flush => Some(ByteRange { start: 0, len: 0 }),
            _ => target
                .offset(bio.sector())
                .and_then(|sector| self.range(sector, &bio)),
        };
        match range {
            Some(range) => self.io.submit(target, bio, job, range),
            None => self.fail(bio),
        }
    }

    /// Fails a bio that has no place.
    fn fail(&self, bio: Bio<'_>) -> MapResult {
        self.tally.failed();
        bio.kill()
    }

    /// Flushes, no bios that were split, and bios that failed.
    pub(super) fn counts(&self) -> [u64; 3] {
        let [flushes, splits, failed] = self.tally.get();
        [flushes, splits, failed.saturating_add(self.io.failed())]
    }

    /// The part of the file that `bio`, at `sector` of the window, is about.
    fn range(&self, sector: Sector, bio: &Bio<'_>) -> Option<ByteRange> {
        if sector.checked_add(bio.len())?.as_count() > self.window.len() {
            return None;
        }
        let start = self.window.start().checked_add(sector.as_count())?;
        Some(ByteRange {
            start: start.bytes()?.try_into().ok()?,
            len: bio.len().bytes()?.try_into().ok()?,
        })
    }

    /// Writes the state: how the file is accessed, why it is not block-mapped, and how
    /// many bios are in flight.
    pub(super) fn status(&self, out: &mut StatusWriter<'_>) -> fmt::Result {
        let mode = if self.io.direct() {
            "direct"
        } else {
            "buffered"
        };
        let (reason, in_flight) = (self.reason.token(), self.io.in_flight());
        write!(out, "file {mode} {reason} {in_flight}")
    }

    /// Brings the file to stable storage, unless the suspend is not to wait for that.
    pub(super) fn postsuspend(&self, target: Target<'_>) {
        if !self.writable || !self.kinds.flush {
            return;
        }
        if target.noflush_suspending() {
            return self.io.pass_on_error();
        }
        if let Err(error) = self.io.sync() {
            pr_err!("cannot sync a suspended device ({:?})\n", error);
        }
    }

    /// Has the limits below asked for: see [`File::io_hints`].
    pub(super) fn iterate_devices(&self, visitor: &mut DeviceVisitor<'_>) -> c_int {
        visitor.visit_none(self.writable, self.window.len())
    }

    /// Tells what the device offers.
    pub(super) fn io_hints(&self, mut limits: QueueLimits<'_>) {
        let (logical, physical) = self.blocks;
        limits.set_block_sizes(logical, physical);
        limits.set_optimal(self.optimal);
        if self.io.needs_stable_pages() {
            limits.require_stable_writes();
        }
        if self.kinds.discard {
            limits.set_discard(self.granularity.max(logical));
        }
        if self.kinds.write_zeroes {
            limits.set_write_zeroes();
        }
    }
}

/// The smallest blocks that may be, and should be, read and written.
///
/// A block that direct I/O does not allow would have to go through the page cache; one
/// smaller than the file system's would have to be read before it is written.
fn block_sizes(
    target: &Constructor<'_>,
    window: &Window,
    alignment: Option<u32>,
    granularity: u32,
) -> (u32, u32) {
    let fits = |size: &u32| {
        // CAST: a small constant.
        size.is_power_of_two()
            && (SECTOR..=PAGE_SIZE as u32).contains(size)
            && window.is_made_of(*size)
            && target.begins_at_multiple_of(*size)
    };
    let logical = alignment.filter(fits).unwrap_or(SECTOR);
    // CAST: a small constant.
    let physical = Some(granularity.min(PAGE_SIZE as u32))
        .filter(fits)
        .unwrap_or(logical);
    (logical, physical.max(logical))
}
