// SPDX-License-Identifier: GPL-2.0

//! Where the sectors of a file lie: a list of what was added, searched from its start.
//! Numbers are `u128`, so that nothing here overflows.

use crate::block::{
    extent::{Extent, ExtentError},
    extent_map::Run,
    sector::{Sector, SectorCount},
};

/// A piece of a file, as it was added.
#[derive(Clone, Copy, Debug)]
struct Piece {
    file: u128,
    disk: u128,
    len: u128,
}

/// The pieces of a file in order, none merged.
#[derive(Debug)]
pub(crate) struct Layout {
    pieces: Vec<Piece>,
    device_len: u128,
}

impl Layout {
    /// No pieces, on a device of `device_len` sectors.
    pub(crate) fn new(device_len: u64) -> Self {
        Self {
            pieces: Vec::new(),
            device_len: device_len.into(),
        }
    }

    /// The first sector of the file without a place.
    pub(crate) fn end(&self) -> u128 {
        self.pieces.last().map_or(0, |last| last.file + last.len)
    }

    /// Adds a piece if it can follow the others.
    pub(crate) fn add(&mut self, extent: Extent) -> Result<(), ExtentError> {
        let piece = Piece {
            file: extent.file.get().into(),
            disk: extent.disk.get().into(),
            len: extent.len.get().into(),
        };
        if piece.file != self.end()
            || piece.len == 0
            || piece.file + piece.len > u128::from(u64::MAX)
        {
            return Err(ExtentError::NotContiguous);
        }
        if piece.disk + piece.len > self.device_len {
            return Err(ExtentError::BeyondDevice);
        }
        self.pieces.push(piece);
        Ok(())
    }

    /// The place of sector `file`, and how many sectors follow each other from there
    /// before the file goes on elsewhere.
    pub(crate) fn find(&self, file: u64) -> Option<Run> {
        let file = u128::from(file);
        let mut pieces = self
            .pieces
            .iter()
            .skip_while(|piece| piece.file + piece.len <= file);
        let first = pieces.next()?;
        let disk = first.disk + (file - first.file);
        let mut len = first.file + first.len - file;
        for piece in pieces {
            if piece.disk != disk + len {
                break;
            }
            len += piece.len;
        }
        Some(Run {
            disk: Sector::new(narrow(disk)),
            len: SectorCount::new(narrow(len)),
        })
    }

    /// The first sector of every piece.
    pub(crate) fn starts(&self) -> impl Iterator<Item = u64> + '_ {
        self.pieces.iter().map(|piece| narrow(piece.file))
    }

    /// The number of pieces that are left after neighbours are merged.
    pub(crate) fn merged_len(&self) -> usize {
        let joints = self
            .pieces
            .windows(2)
            .filter(|pair| pair[0].disk + pair[0].len != pair[1].disk)
            .count();
        joints + usize::from(!self.pieces.is_empty())
    }
}

/// `number`, which a layout holds only if it fits.
fn narrow(number: u128) -> u64 {
    u64::try_from(number).expect("a layout ends at u64::MAX at most")
}
