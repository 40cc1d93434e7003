// SPDX-License-Identifier: GPL-2.0

//! An ioctl on a buffer of bytes.
#![allow(unsafe_code)]

use rustix::{
    fd::BorrowedFd,
    ffi::c_void,
    io,
    ioctl::{Ioctl, IoctlOutput, Opcode},
};

/// An ioctl whose argument is `buffer`.
struct OnBuffer<'a> {
    opcode: Opcode,
    buffer: &'a mut [u8],
}

// SAFETY: the opcode and the pointer are what `on_buffer` was given, and its caller
// answers for how they fit. The kernel writes to the buffer, so it is mutating.
unsafe impl Ioctl for OnBuffer<'_> {
    type Output = ();
    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        self.opcode
    }

    fn as_ptr(&mut self) -> *mut c_void {
        self.buffer.as_mut_ptr().cast()
    }

    unsafe fn output_from_ptr(_: IoctlOutput, _: *mut c_void) -> io::Result<()> {
        Ok(())
    }
}

/// Calls the ioctl `opcode` on `fd` with `buffer` as its argument.
///
/// # Safety
///
/// With what is in `buffer`, the ioctl must not reach beyond it, nor follow pointers in it.
pub(super) unsafe fn on_buffer(
    fd: BorrowedFd<'_>,
    opcode: Opcode,
    buffer: &mut [u8],
) -> io::Result<()> {
    // SAFETY: the caller promises that the ioctl keeps within the buffer.
    unsafe { rustix::ioctl::ioctl(fd, OnBuffer { opcode, buffer }) }
}
