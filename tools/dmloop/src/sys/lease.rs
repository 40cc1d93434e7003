// SPDX-License-Identifier: GPL-2.0

//! A write lease: nobody else has the file open, and who wants to has to wait.
#![allow(unsafe_code)]

use rustix::{
    fd::{AsRawFd, BorrowedFd},
    io,
};

/// A write lease on a file. It ends with this value, or when the file is closed.
///
/// Whoever opens the file meanwhile waits until the lease ends, but no longer than
/// `/proc/sys/fs/lease-break-time` (45 seconds), after which the kernel takes it back. The
/// holder gets a SIGIO, which it must not die of, and should ask [`Lease::is_wanted`] often.
#[derive(Debug)]
pub(crate) struct Lease<'a> {
    file: BorrowedFd<'a>,
}

impl<'a> Lease<'a> {
    /// Takes a lease. EAGAIN if others have the file open.
    pub(crate) fn take(file: BorrowedFd<'a>) -> io::Result<Self> {
        set(file, libc::F_WRLCK)?;
        Ok(Self { file })
    }

    /// Whether somebody waits for the end of the lease, or it has been taken back.
    pub(crate) fn is_wanted(&self) -> bool {
        // SAFETY: F_GETLEASE takes no argument that the kernel would write to.
        let kind = unsafe { libc::fcntl(self.file.as_raw_fd(), libc::F_GETLEASE) };
        kind != libc::F_WRLCK
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        // One that was taken back cannot be given back: no harm.
        let _ = set(self.file, libc::F_UNLCK);
    }
}

fn set(file: BorrowedFd<'_>, kind: libc::c_int) -> io::Result<()> {
    // SAFETY: F_SETLEASE takes an int.
    match unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, kind) } {
        0 => Ok(()),
        _ => Err(last_error()),
    }
}

fn last_error() -> io::Errno {
    let code = std::io::Error::last_os_error().raw_os_error();
    io::Errno::from_raw_os_error(code.unwrap_or(libc::EIO))
}
