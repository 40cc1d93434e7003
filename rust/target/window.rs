// SPDX-License-Identifier: GPL-2.0

//! The part of a file that a device shows.
//!
//! Pure: uses `core` alone.

use crate::block::sector::{Sector, SectorCount};

/// The part of a backing file that one target maps.
///
/// # Invariants
///
/// `start` plus `len` does not overflow, and is at most `i64::MAX` bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    start: Sector,
    len: SectorCount,
}

/// Why a window cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WindowError {
    /// Offset or length is no multiple of the logical block size.
    Misaligned,
    /// The window ends beyond the end of the file.
    BeyondFile,
}

impl Window {
    /// The window of `len` sectors from byte `offset` of a file of `size` bytes, on
    /// storage with logical blocks of `block` sectors.
    pub(crate) fn new(
        offset: u64,
        len: SectorCount,
        size: u64,
        block: SectorCount,
    ) -> Result<Self, WindowError> {
        let start = Sector::from_bytes(offset).ok_or(WindowError::Misaligned)?;
        if !start.as_count().is_multiple_of(block) || !len.is_multiple_of(block) {
            return Err(WindowError::Misaligned);
        }
        start
            .checked_add(len)
            .and_then(Sector::bytes)
            .filter(|&end| end <= size && i64::try_from(end).is_ok())
            .ok_or(WindowError::BeyondFile)?;
        // INVARIANT: checked just above.
        Ok(Self { start, len })
    }

    /// Where the window begins in the file.
    pub(crate) fn start(&self) -> Sector {
        self.start
    }

    /// The length of the window.
    pub(crate) fn len(&self) -> SectorCount {
        self.len
    }

    /// The first sector of the file after the window.
    pub(crate) fn end(&self) -> Option<Sector> {
        self.start.checked_add(self.len)
    }

    /// Whether the window begins at a multiple of `bytes` in the file.
    pub(crate) fn starts_at_multiple_of(&self, bytes: u32) -> bool {
        let start = self.start.bytes();
        start.and_then(|start| start.checked_rem(bytes.into())) == Some(0)
    }

    /// Whether the window begins and ends at multiples of `bytes` in the file.
    pub(crate) fn is_made_of(&self, bytes: u32) -> bool {
        let len = self.len.bytes();
        self.starts_at_multiple_of(bytes)
            && len.and_then(|len| len.checked_rem(bytes.into())) == Some(0)
    }
}
