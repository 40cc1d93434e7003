// SPDX-License-Identifier: GPL-2.0

//! The arguments of a table line, or of a message.
//!
//! Mirrors `argc` and `argv` of `dm_ctr_fn` and `dm_message_fn` in
//! [`include/linux/device-mapper.h`](srctree/include/linux/device-mapper.h).

use core::{ffi::CStr, marker::PhantomData};
use kernel::{
    ffi::{c_char, c_uint},
    prelude::*,
};

/// The arguments of a table line or a message, as device-mapper split it.
///
/// # Invariants
///
/// `argv` points to `argc` pointers to NUL-terminated strings, all valid for `'a`.
#[derive(Clone, Copy)]
pub(crate) struct Args<'a> {
    argv: *mut *mut c_char,
    argc: usize,
    _strings: PhantomData<&'a CStr>,
}

impl<'a> Args<'a> {
    /// Wraps the arguments of a call.
    ///
    /// # Safety
    ///
    /// `argv` must point to `argc` pointers to NUL-terminated strings, which nobody
    /// writes to or frees during `'a`.
    pub(super) unsafe fn from_raw(argc: c_uint, argv: *mut *mut c_char) -> Self {
        // INVARIANT: required of the caller.
        Self {
            argv,
            // CAST: `c_uint` is never wider than `usize` in the kernel.
            argc: argc as usize,
            _strings: PhantomData,
        }
    }

    /// The argument at `position`, counted from 0.
    pub(crate) fn get(&self, position: usize) -> Option<&'a CStr> {
        if position >= self.argc {
            return None;
        }
        // SAFETY: `position` is less than `argc`, so by the type invariant the
        // pointer is inside the array.
        let slot = unsafe { self.argv.add(position) };
        // SAFETY: by the type invariant the array is valid for `'a`.
        let string = unsafe { *slot };
        // SAFETY: by the type invariant each string is NUL-terminated and valid for `'a`.
        Some(unsafe { CStr::from_char_ptr(string) })
    }

    /// The arguments in order.
    pub(crate) fn iter(self) -> impl Iterator<Item = &'a CStr> {
        (0..self.argc).filter_map(move |position| self.get(position))
    }
}
