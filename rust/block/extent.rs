// SPDX-License-Identifier: GPL-2.0

//! Extents of a file, gathered in the order of the file.
//!
//! Pure: uses `core` alone; where the extents are kept is handed in as a
//! [`Store`]. The table for lookups is [`ExtentMap`](super::extent_map::ExtentMap).

use super::sector::{Sector, SectorCount};

/// A run of sectors that lie next to each other both in the file and on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Where the run begins in the file.
    pub(crate) file: Sector,
    /// Where it begins on the device.
    pub(crate) disk: Sector,
    /// How long it is.
    pub(crate) len: SectorCount,
}

impl Extent {
    /// The first position in the file after the extent.
    pub(crate) fn file_end(&self) -> Option<Sector> {
        self.file.checked_add(self.len)
    }

    /// The first position on the device after the extent.
    pub(crate) fn disk_end(&self) -> Option<Sector> {
        self.disk.checked_add(self.len)
    }
}

/// Why an extent cannot be part of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExtentError {
    /// It does not begin where the last one ended, or is empty.
    NotContiguous,
    /// It ends beyond the end of the device.
    BeyondDevice,
    /// There is no memory to keep it.
    OutOfMemory,
}

/// Keeps extents while they are gathered.
pub(crate) trait Store {
    /// Appends `extent`, or says that there is no memory for it.
    fn push(&mut self, extent: Extent) -> Result<(), ExtentError>;
}

/// Gathers extents in file order, merging neighbours.
///
/// # Invariants
///
/// What was pushed to `store`, followed by `last`, covers the file from its start
/// to the end of `last` without gap or overlap, lies within `device_len`, and no
/// two neighbours could be one extent.
pub(crate) struct ExtentBuilder<S> {
    store: S,
    last: Option<Extent>,
    device_len: SectorCount,
}

impl<S: Store> ExtentBuilder<S> {
    /// A builder without extents, for a device of `device_len` sectors.
    pub(crate) fn new(store: S, device_len: SectorCount) -> Self {
        // INVARIANT: nothing covers nothing.
        Self {
            store,
            last: None,
            device_len,
        }
    }

    /// The first position in the file that is not covered yet.
    pub(crate) fn end(&self) -> Sector {
        self.last
            .and_then(|last| last.file_end())
            .unwrap_or(Sector::ZERO)
    }

    /// Adds the extent that follows those already added.
    pub(crate) fn add(&mut self, extent: Extent) -> Result<(), ExtentError> {
        if extent.file != self.end() || extent.len.is_zero() || extent.file_end().is_none() {
            return Err(ExtentError::NotContiguous);
        }
        match extent.disk_end() {
            Some(end) if end.as_count() <= self.device_len => {}
            _ => return Err(ExtentError::BeyondDevice),
        }

        // INVARIANT: `extent` begins at `end()` and was found to lie on the device;
        // it replaces `last` only as a longer form of it, or after `last` is stored.
        self.last = Some(match self.last {
            None => extent,
            Some(last) => match last.len.checked_add(extent.len) {
                Some(len) if last.disk_end() == Some(extent.disk) => Extent { len, ..last },
                _ => {
                    self.store.push(last)?;
                    extent
                }
            },
        });
        Ok(())
    }

    /// Ends the gathering: the store with every extent, and the end of the last.
    pub(crate) fn finish(mut self) -> Result<(S, Sector), ExtentError> {
        let end = self.end();
        if let Some(last) = self.last {
            self.store.push(last)?;
        }
        Ok((self.store, end))
    }
}
