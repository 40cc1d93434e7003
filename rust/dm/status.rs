// SPDX-License-Identifier: GPL-2.0

//! The text of a target's status, or of its answer to a message.
//!
//! Mirrors `DMEMIT()` of
//! [`include/linux/device-mapper.h`](srctree/include/linux/device-mapper.h): what
//! does not fit is cut, and a full buffer makes device-mapper ask again with a
//! larger one.

use core::{fmt, marker::PhantomData, slice};
use kernel::ffi::{c_char, c_uint};

/// Writes the status of a target, or its answer to a message. Allocates nothing.
///
/// # Invariants
///
/// `buffer` is valid for reads and writes of `capacity` bytes during `'a`, all of
/// them initialized; `len` is less than `capacity`, and the byte there is NUL; unless
/// `capacity` is 0, when `len` is 0 as well.
pub(crate) struct StatusWriter<'a> {
    buffer: *mut u8,
    capacity: usize,
    len: usize,
    _buffer: PhantomData<&'a mut [u8]>,
}

impl StatusWriter<'_> {
    /// Wraps the buffer of a call of `dm_status_fn` or `dm_message_fn`, and empties it.
    ///
    /// # Safety
    ///
    /// `buffer` must be valid for writes of `capacity` bytes for the lifetime of the
    /// result, and used by nobody else meanwhile.
    pub(super) unsafe fn from_raw(buffer: *mut c_char, capacity: c_uint) -> Self {
        // CAST: `c_uint` is never wider than `usize` in the kernel.
        let capacity = capacity as usize;
        // SAFETY: valid for writes, as required of the caller.
        unsafe { buffer.write_bytes(0, capacity) };
        // INVARIANT: required of the caller; just initialized with NULs.
        Self {
            buffer: buffer.cast(),
            capacity,
            len: 0,
            _buffer: PhantomData,
        }
    }

    /// Whether nothing has been written.
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What is not written yet, with room for the NUL at its end.
    fn free(&mut self) -> &mut [u8] {
        // SAFETY: by the type invariant `len` is at most `capacity`.
        let start = unsafe { self.buffer.add(self.len) };
        // SAFETY: by the type invariant this many initialized bytes follow, and the
        // borrow of `self` keeps others away.
        unsafe { slice::from_raw_parts_mut(start, self.capacity.saturating_sub(self.len)) }
    }

    /// Notes that the first `written` free bytes are written, and ends them with NUL.
    fn advance(&mut self, written: usize) {
        let free = self.free();
        let written = written.min(free.len().saturating_sub(1));
        if let Some(end) = free.get_mut(written) {
            *end = 0;
            // INVARIANT: `written` is less than what was free.
            self.len = self.len.saturating_add(written);
        }
    }

    /// Appends `bytes`, as many as fit.
    pub(crate) fn write_bytes(&mut self, bytes: &[u8]) -> fmt::Result {
        let free = self.free();
        let room = free.len().saturating_sub(1);
        for (to, from) in free.iter_mut().take(room).zip(bytes) {
            *to = *from;
        }
        self.advance(bytes.len());
        if bytes.len() <= room {
            Ok(())
        } else {
            Err(fmt::Error)
        }
    }

    /// Appends the text that `place` puts at the end of the free space, with `escape`'s
    /// word for each byte that it has one for.
    ///
    /// `place` is given the free space and returns where in it the text stands and
    /// how long it is, as `d_path()` does; [`None`] where there is not enough room.
    pub(crate) fn write_escaped<const N: usize>(
        &mut self,
        place: impl FnOnce(&mut [u8]) -> Option<(usize, usize)>,
        escape: impl Fn(u8) -> Option<[u8; N]>,
    ) -> fmt::Result {
        let free = self.free();
        let room = free.len().saturating_sub(1);
        let placed = place(free);
        let mut written = 0_usize;
        let mut fits = placed.is_some();
        if let Some((start, len)) = placed {
            // Text stands at the end of the free space, so that writing at its start
            // overtakes reading only when the escaped text would not fit anyway.
            for position in (start..).take(len) {
                let Some(&byte) = free.get(position) else {
                    break;
                };
                let escaped = escape(byte);
                let word = escaped
                    .as_ref()
                    .map_or(core::slice::from_ref(&byte), |word| word);
                let next = written.saturating_add(word.len());
                if next > room || next > position.saturating_add(1) {
                    fits = false;
                    break;
                }
                for (to, from) in free.iter_mut().skip(written).zip(word) {
                    *to = *from;
                }
                written = next;
            }
        }
        if fits {
            self.advance(written);
            Ok(())
        } else {
            // A full buffer is how device-mapper knows that it was too small.
            free.fill(b' ');
            self.advance(room);
            Err(fmt::Error)
        }
    }
}

impl fmt::Write for StatusWriter<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.write_bytes(text.as_bytes())
    }
}
