// SPDX-License-Identifier: GPL-2.0

//! Why a table line is refused, in words and as an errno.

use super::{table::TableError, window::WindowError};
use crate::{
    dm::CtrError,
    fs::{ClaimError, OpenError, Refusal as NotBlockMapped},
};
use core::ffi::CStr;
use kernel::{alloc::AllocError, prelude::*, str::BStr};

/// Why a table line is refused.
pub(super) enum Refusal {
    /// The line itself is wrong.
    Table(TableError),
    /// The file cannot be opened.
    Open(OpenError),
    /// The device and the file do not fit: offset and length in bytes, size of the file.
    Window {
        /// What does not fit.
        error: WindowError,
        /// Offset in the file, in bytes.
        offset: u64,
        /// Length of the device, in sectors.
        sectors: u64,
        /// Size of the file, in bytes.
        size: u64,
    },
    /// The file cannot be claimed.
    Claim(ClaimError),
    /// The file lies on the device that is being created.
    OnItself,
    /// It cannot be read or written other than by a process.
    Unusable,
    /// Direct I/O was asked for and is impossible.
    NoDirectIo,
    /// There is no memory.
    OutOfMemory,
}

impl From<TableError> for Refusal {
    fn from(error: TableError) -> Self {
        Self::Table(error)
    }
}

impl From<OpenError> for Refusal {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

impl From<ClaimError> for Refusal {
    fn from(error: ClaimError) -> Self {
        Self::Claim(error)
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Claim(error.into())
    }
}

impl From<AllocError> for Refusal {
    fn from(_: AllocError) -> Self {
        Self::OutOfMemory
    }
}

impl Refusal {
    /// The reason not to block-map the file, where that is all that is refused.
    pub(super) fn reason(&self) -> Option<Reason> {
        match self {
            Self::Claim(ClaimError::Refused(refusal)) => Some(Reason::Impossible(*refusal)),
            Self::Claim(ClaimError::Busy | ClaimError::FileMapped) => Some(Reason::InUse),
            Self::Window {
                error: WindowError::Misaligned,
                ..
            } => Some(Reason::Impossible(NotBlockMapped::Misaligned)),
            _ => None,
        }
    }

    /// The errno and the message that device-mapper passes on.
    fn error(&self) -> CtrError {
        match self {
            Self::Table(TableError::ArgumentCount) => invalid(c"Invalid argument count"),
            Self::Table(TableError::Offset) => invalid(c"Invalid offset"),
            Self::Table(TableError::Feature) => invalid(c"Invalid feature argument"),
            Self::Open(OpenError::NotRegular) => invalid(c"Backing file is not a regular file"),
            Self::Open(OpenError::Failed(errno)) => {
                CtrError::new(*errno, c"Cannot open backing file")
            }
            Self::Window { error, .. } => invalid(match error {
                WindowError::Misaligned => {
                    c"Offset or length is not a multiple of the logical block size"
                }
                WindowError::BeyondFile => c"Device does not fit in the backing file",
            }),
            Self::Claim(ClaimError::Refused(reason)) => CtrError::unsupported(words(*reason).1),
            Self::Claim(ClaimError::Busy | ClaimError::FileMapped) => {
                CtrError::new(EBUSY, c"Backing file is in use")
            }
            Self::Claim(ClaimError::Failed(errno)) if *errno == ENOMEM => out_of_memory(),
            Self::Claim(ClaimError::Failed(errno)) => {
                CtrError::new(*errno, c"Cannot claim backing file")
            }
            Self::OnItself => CtrError::recursive(c"Backing file is on the device itself"),
            Self::Unusable => invalid(c"Backing file cannot be mapped"),
            Self::NoDirectIo => invalid(c"Backing file does not support direct I/O"),
            Self::OutOfMemory => out_of_memory(),
        }
    }
}

/// The refusal of a wrong table line.
fn invalid(message: &'static CStr) -> CtrError {
    CtrError::new(EINVAL, message)
}

/// The refusal for lack of memory.
fn out_of_memory() -> CtrError {
    CtrError::new(ENOMEM, c"Out of memory")
}

/// Why a device is not block-mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// The table line asks for file mapping.
    Requested,
    /// Others have it open for writing, or are changing it, or it is file-mapped by
    /// another target.
    InUse,
    /// The file cannot be block-mapped.
    Impossible(NotBlockMapped),
}

impl Reason {
    /// The reason in one word, for the status.
    pub(super) fn token(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::InUse => "in_use",
            Self::Impossible(why) => words(why).0,
        }
    }
}

/// Why a file cannot be block-mapped: in one word, and as the message of a refusal.
fn words(why: NotBlockMapped) -> (&'static str, &'static CStr) {
    match why {
        NotBlockMapped::NoBlockDevice => (
            "no_blockdev",
            c"Cannot block-map: file system has no block device",
        ),
        NotBlockMapped::FsUnsupported => (
            "fs_unsupported",
            c"Cannot block-map: file system is not supported",
        ),
        NotBlockMapped::FsRefused => ("fs_refused", c"Cannot block-map: file system refused"),
        NotBlockMapped::Sparse => ("sparse", c"Cannot block-map: file is sparse"),
        NotBlockMapped::Unwritten => ("unwritten", c"Cannot block-map: file has unwritten extents"),
        NotBlockMapped::Cow => ("cow", c"Cannot block-map: file is copied on write"),
        NotBlockMapped::Encrypted => ("encrypted", c"Cannot block-map: file is encrypted"),
        NotBlockMapped::Verity => (
            "verity",
            c"Cannot block-map: file is protected by fs-verity",
        ),
        NotBlockMapped::Dax => ("dax", c"Cannot block-map: file is on DAX"),
        NotBlockMapped::Misaligned => {
            ("misaligned", c"Cannot block-map: file layout is misaligned")
        }
    }
}

/// Logs a refusal of the file at `path`, and turns it into what device-mapper expects.
///
/// Device-mapper logs the message as well, but not the file nor the numbers.
pub(super) fn report(refusal: Refusal, path: Option<&CStr>) -> CtrError {
    let error = refusal.error();
    let path = BStr::from_bytes(path.map_or(&[], CStr::to_bytes));
    if let Refusal::Window {
        offset,
        sectors,
        size,
        ..
    } = refusal
    {
        pr_err!("{path}: offset {offset} and {sectors} sectors in a file of {size} bytes\n");
    } else {
        pr_err!("{path}: refused with errno {}\n", error.errno());
    }
    error
}

/// Logs that the file of a device is not made longer, and turns that into what the ioctl
/// returns.
pub(super) fn report_growth(error: ClaimError) -> Error {
    let errno = Refusal::Claim(error).error().errno();
    pr_err!("a mapped file is not made longer: errno {errno}\n");
    Error::from_errno(errno)
}
