// SPDX-License-Identifier: GPL-2.0

//! Finding out where a file lies.
//!
//! The file has `S_SWAPFILE` all the while.

use super::{
    activation::{Activation, Answer},
    blocks::{Block, Blocks},
    claim::{ClaimError, Refusal},
    file::BackingFile,
    kind::{FsKind, Pin},
    mark::drop_page_cache,
};
use crate::block::{Device, Extent, ExtentBuilder, ExtentError, ExtentMap, Sector, Store};
use kernel::{page::PAGE_SHIFT, prelude::*, sync::Arc};

/// The table of extents of a file.
pub(crate) type FileMap = ExtentMap<KVVec<u64>>;

/// A table of extents, and what pins them.
pub(super) struct Layout {
    map: Arc<FileMap>,
    pins: Pins,
}

/// What `swap_activate` has pinned, as often as it was asked.
type Pins = [Option<Activation>; 2];

/// How often a scan for holes is repeated because somebody read the file meanwhile.
const SCANS: u32 = 100;

/// Extents in memory of the kernel.
#[derive(Default)]
struct Extents(KVVec<Extent>);

impl Store for Extents {
    fn push(&mut self, extent: Extent) -> Result<(), ExtentError> {
        self.0
            .push(extent, GFP_KERNEL)
            .map_err(|_| ExtentError::OutOfMemory)
    }
}

impl From<ExtentError> for ClaimError {
    fn from(error: ExtentError) -> Self {
        match error {
            ExtentError::OutOfMemory => Self::Failed(ENOMEM),
            ExtentError::NotContiguous | ExtentError::BeyondDevice => Refusal::Misaligned.into(),
        }
    }
}

impl Layout {
    /// Lets the file system pin `file` and tell where it lies; asks block by block for
    /// what that leaves out. Sleeps.
    pub(super) fn new(file: &BackingFile, kind: &FsKind) -> Result<Self, ClaimError> {
        let (pins, answer) = pin(file, kind)?;
        let device = device(&pins)
            .or_else(|| file.inode().device())
            .ok_or(Refusal::NoBlockDevice)?;
        if device.is_zoned() {
            return Err(Refusal::FsUnsupported.into());
        }

        let mut builder = ExtentBuilder::new(Extents::default(), device.len());
        if let Some(answer) = answer.filter(|answer| covers_pages(file, answer)) {
            for extent in answer.extents() {
                builder.add(extent)?;
            }
        }
        if Blocks::is_supported(file.inode()) {
            add_blocks(file, &mut builder)?;
        }

        let (extents, end) = builder.finish()?;
        let alloc = |len| KVVec::from_elem(0, len, GFP_KERNEL);
        let map = ExtentMap::new(&extents.0, end, alloc).map_err(Error::from)?;
        let map = map.ok_or(Refusal::Misaligned)?;
        Ok(Self {
            map: Arc::new(map, GFP_KERNEL).map_err(Error::from)?,
            pins,
        })
    }

    /// The table.
    pub(super) fn map(&self) -> &Arc<FileMap> {
        &self.map
    }

    /// The device that the file system named when it pinned the file.
    pub(super) fn device(&self) -> Option<&Device> {
        device(&self.pins)
    }
}

/// The device that the file system named when it was asked last.
fn device(pins: &Pins) -> Option<&Device> {
    pins.iter().flatten().last().and_then(Activation::device)
}

/// Asks the file system to pin `file`, as often as it takes. Gives its last answer, too.
fn pin(file: &BackingFile, kind: &FsKind) -> Result<(Pins, Option<Answer>), ClaimError> {
    let activate = || {
        let locked = file.inode().lock();
        Activation::new(file, &locked)
    };
    let first = match (kind.pin, activate()) {
        // A page that is contiguous on the device may be what it misses. Whether the
        // blocks are the file's own, `bmap` tells as well. CAST: a small constant.
        (Pin::Flag, Err(EINVAL)) if file.inode().block_bits() < PAGE_SHIFT as u32 => None,
        (_, Err(error)) => return Err(why_refused(file, error)),
        // Nothing pins so small a file.
        (Pin::Activate | Pin::ActivateTwice, Ok(None)) => return Err(Refusal::Misaligned.into()),
        (_, Ok(pin)) => pin,
    };
    let (first, answer) = first.unzip();
    if kind.pin != Pin::ActivateTwice {
        return Ok(([first, None], answer));
    }
    drop(answer);
    let (second, answer) = activate()?.unzip();
    Ok(([first, second], answer))
}

/// Whether the extents of `answer` are at the positions that they say.
///
/// What is left out makes all that follows seem to lie earlier in the file.
fn covers_pages(file: &BackingFile, answer: &Answer) -> bool {
    let mut end = Sector::ZERO;
    for extent in answer.extents() {
        if extent.file != end {
            return false;
        }
        let Some(next) = extent.file_end() else {
            return false;
        };
        end = next;
    }
    let whole_pages = (file.size() >> PAGE_SHIFT) << PAGE_SHIFT;
    Sector::from_bytes(whole_pages) == Some(end)
}

/// Adds every block of `file` that `builder` does not have yet.
fn add_blocks(file: &BackingFile, builder: &mut ExtentBuilder<Extents>) -> Result<(), ClaimError> {
    let mut blocks = Blocks::new(file, builder.end()).ok_or(Refusal::Misaligned)?;
    while let Some(block) = blocks.next()? {
        match block {
            Block::Mapped(extent) => builder.add(extent)?,
            Block::Unmapped if is_shared(file) => return Err(Refusal::Cow.into()),
            Block::Unmapped => return Err(unmapped(file)?.into()),
        }
    }
    Ok(())
}

/// Refuses a file with holes or unwritten extents.
///
/// The file system tells an unwritten extent from data only where no page of it is
/// cached: a scan counts if the page cache was empty before and is empty after it.
/// Sleeps.
pub(super) fn check_holes(file: &BackingFile) -> Result<(), ClaimError> {
    for _ in 0..SCANS {
        match drop_page_cache(file) {
            // It has waited long enough already.
            Err(EBUSY) => break,
            result => result?,
        }
        let hole = file.first_hole()?;
        if hole < file.size() {
            return Err(unmapped(file)?.into());
        }
        if file.inode().page_cache_is_empty() {
            return Ok(());
        }
    }
    Err(ClaimError::Busy)
}

/// What a file is that has a part without a place of its own on the device.
///
/// Blocks that are allocated count as the file's whether they are written or not.
fn unmapped(file: &BackingFile) -> Result<Refusal> {
    Ok(if file.stat()?.allocated < file.size() {
        Refusal::Sparse
    } else {
        Refusal::Unwritten
    })
}

/// What it means that `swap_activate` has refused `file` with `error`.
fn why_refused(file: &BackingFile, error: Error) -> ClaimError {
    match error {
        ENOMEM | EIO | EINTR | ERESTARTSYS => ClaimError::Failed(error),
        _ if is_shared(file) => Refusal::Cow.into(),
        _ => Refusal::FsRefused.into(),
    }
}

/// Whether `file`, which has no holes, has blocks in common with others, or had.
///
/// Of such a file `bmap` tells no block at all, as in `xfs_vm_bmap`.
fn is_shared(file: &BackingFile) -> bool {
    Blocks::is_supported(file.inode()) && file.inode().bmap(0) == Ok(0)
}
