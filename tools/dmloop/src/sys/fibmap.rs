// SPDX-License-Identifier: GPL-2.0

//! FIBMAP: the place of one block of a file, for file systems without FIEMAP.
#![allow(unsafe_code)]

use super::ioctl::on_buffer;
use rustix::{fd::BorrowedFd, io};

/// _IO(0x00, 1)
const FIBMAP: u32 = 1;
/// _IO(0x00, 2)
const FIGETBSZ: u32 = 2;

/// The size of the blocks that [`fibmap`] counts in, in bytes.
pub(crate) fn block_size(file: BorrowedFd<'_>) -> io::Result<u32> {
    let mut buffer = [0; 4];
    // SAFETY: FIGETBSZ writes one int.
    unsafe { on_buffer(file, FIGETBSZ, &mut buffer) }?;
    Ok(u32::from_ne_bytes(buffer))
}

/// The block of the device that block `number` of the file is; 0 if there is none.
pub(crate) fn fibmap(file: BorrowedFd<'_>, number: u32) -> io::Result<u32> {
    let mut buffer = number.to_ne_bytes();
    // SAFETY: FIBMAP reads and writes one int.
    unsafe { on_buffer(file, FIBMAP, &mut buffer) }?;
    Ok(u32::from_ne_bytes(buffer))
}
