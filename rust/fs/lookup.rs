// SPDX-License-Identifier: GPL-2.0

//! Finding a file by its path.
//!
//! C header: [`include/linux/namei.h`](srctree/include/linux/namei.h)

use super::inode::Inode;
use crate::bindings;
use core::ffi::CStr;
use kernel::{error::to_result, prelude::*};

/// A path that has been looked up.
///
/// # Invariants
///
/// Holds a reference to its mount and its dentry, which is not negative.
pub(super) struct LookedUp(bindings::path);

impl LookedUp {
    /// Looks `path` up as seen by the calling process, following links. Process context, may
    /// sleep.
    pub(super) fn new(path: &CStr) -> Result<Self> {
        let mut raw = bindings::path::default();
        // SAFETY: a NUL-terminated string, and room for a path.
        to_result(unsafe {
            bindings::kern_path(path.as_char_ptr(), bindings::LOOKUP_FOLLOW, &mut raw)
        })?;
        // INVARIANT: `kern_path` succeeded, and finds existing files only.
        Ok(Self(raw))
    }

    /// The C path.
    pub(super) fn as_ptr(&self) -> *const bindings::path {
        &self.0
    }

    /// The inode at the path.
    pub(super) fn inode(&self) -> &Inode {
        // SAFETY: by the type invariant the dentry is valid.
        let inode = unsafe { (*self.0.dentry).d_inode };
        // SAFETY: by the type invariant the dentry is not negative, and stays so while
        // it is referenced.
        unsafe { Inode::from_raw(inode) }
    }
}

impl Drop for LookedUp {
    fn drop(&mut self) {
        // SAFETY: by the type invariant the path holds references.
        unsafe { bindings::path_put(&self.0) };
    }
}
