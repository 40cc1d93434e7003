// SPDX-License-Identifier: GPL-2.0

//! A bio that a target keeps beyond the call of its map function.
//!
//! [`Bio::defer`](super::Bio::defer) turns a bio into a [`Deferred`] one, which its
//! owner ends when the work is done. What the owner needs to remember lives in the
//! room that device-mapper allocates with each bio, so that deferring allocates
//! nothing. [`DeferredList`] is a queue of them.
//!
//! C headers: [`include/linux/device-mapper.h`](srctree/include/linux/device-mapper.h),
//! [`include/linux/bio.h`](srctree/include/linux/bio.h)

use crate::bindings;
use core::{
    marker::PhantomData,
    mem::ManuallyDrop,
    ptr::{self, NonNull},
    sync::atomic::{AtomicPtr, Ordering},
};
use kernel::prelude::*;

/// What becomes of a deferred bio.
pub(crate) type Status = Result<(), Error>;

/// A bio that its target has to end. Dropping it fails it with an I/O error.
///
/// # Invariants
///
/// `raw` is a bio whose map function returned, or is about to return,
/// `DM_MAPIO_SUBMITTED`; nobody else ends or changes it; its per-bio data has room for
/// a `T`, which is initialized.
pub(crate) struct Deferred<T> {
    raw: NonNull<bindings::bio>,
    _data: PhantomData<T>,
}

// SAFETY: a bio may be ended in any context, and `T` goes along.
unsafe impl<T: Send> Send for Deferred<T> {}

impl<T> Deferred<T> {
    /// Takes a bio over.
    ///
    /// # Safety
    ///
    /// The bio must be the argument of a call of the map function that will return
    /// `DM_MAPIO_SUBMITTED`, nobody else may use it from now on, and its target must
    /// have asked for per-bio data of at least the size of `T`.
    pub(super) unsafe fn new(raw: NonNull<bindings::bio>, data: T) -> Self {
        let deferred = Self {
            raw,
            _data: PhantomData,
        };
        // SAFETY: there is room for a `T`, as required of the caller; device-mapper
        // aligns it to eight bytes, and `data_ptr` does not compile for more.
        unsafe { deferred.data_ptr().write(data) };
        // INVARIANT: just initialized; the rest is required of the caller.
        deferred
    }

    /// Gives the bio as a pointer, which [`Deferred::from_raw`] takes back.
    pub(crate) fn into_raw(self) -> NonNull<bindings::bio> {
        ManuallyDrop::new(self).raw
    }

    /// Takes back what [`Deferred::into_raw`] gave.
    ///
    /// # Safety
    ///
    /// `raw` must come from `into_raw` of a `Deferred<T>`, and be taken back once.
    pub(crate) unsafe fn from_raw(raw: NonNull<bindings::bio>) -> Self {
        // INVARIANT: kept since `into_raw`, as required of the caller.
        Self {
            raw,
            _data: PhantomData,
        }
    }

    /// The C bio.
    pub(crate) fn as_raw(&self) -> *mut bindings::bio {
        self.raw.as_ptr()
    }

    /// Where the per-bio data stands.
    pub(crate) fn data_ptr(&self) -> *mut T {
        const { assert!(align_of::<T>() <= align_of::<u64>()) };
        // SAFETY: by the type invariant a bio of device-mapper with that much room.
        unsafe { bindings::dm_per_bio_data(self.raw.as_ptr(), size_of::<T>()) }.cast()
    }

    /// The data that was given when the bio was deferred.
    pub(crate) fn data(&mut self) -> &mut T {
        // SAFETY: by the type invariant initialized, and the bio is ours alone.
        unsafe { &mut *self.data_ptr() }
    }

    /// Ends the bio, with success or with the block status of an errno.
    ///
    /// In any context.
    pub(crate) fn end(self, status: Status) {
        let data = self.data_ptr();
        let raw = self.into_raw();
        // SAFETY: by the type invariant initialized; nobody will use it any more.
        unsafe { ptr::drop_in_place(data) };
        let errno = status.err().map_or(0, Error::to_errno);
        // SAFETY: no precondition.
        let status = unsafe { bindings::errno_to_blk_status(errno) };
        // SAFETY: by the type invariant the bio is valid and ours.
        unsafe { (*raw.as_ptr()).bi_status = status };
        // SAFETY: by the type invariant the bio is ours to end; `self` is consumed.
        unsafe { bindings::bio_endio(raw.as_ptr()) };
    }
}

impl<T> Drop for Deferred<T> {
    fn drop(&mut self) {
        // SAFETY: `self` is gone after this, so the copy is the only owner.
        unsafe { Self::from_raw(self.raw) }.end(Err(EIO));
    }
}

/// A queue of deferred bios: added one by one, taken all at once.
///
/// Adding never blocks and works in any context.
///
/// # Invariants
///
/// `newest` is null or leads, by `bi_next`, through bios from [`Deferred::into_raw`]
/// that nobody else has.
pub(crate) struct DeferredList<T> {
    newest: AtomicPtr<bindings::bio>,
    _bios: PhantomData<Deferred<T>>,
}

// SAFETY: the queue owns its bios, and hands them on to whatever thread takes them.
unsafe impl<T: Send> Send for DeferredList<T> {}

// SAFETY: as above; the list itself is atomic.
unsafe impl<T: Send> Sync for DeferredList<T> {}

impl<T> DeferredList<T> {
    /// An empty queue.
    pub(crate) const fn new() -> Self {
        // INVARIANT: empty.
        Self {
            newest: AtomicPtr::new(ptr::null_mut()),
            _bios: PhantomData,
        }
    }

    /// Adds a bio.
    pub(crate) fn push(&self, bio: Deferred<T>) {
        let bio = bio.into_raw().as_ptr();
        let mut newest = self.newest.load(Ordering::Relaxed);
        loop {
            // SAFETY: the bio is ours until the exchange below has succeeded, and its
            // owner may use `bi_next`, as the lists of `struct bio_list` do.
            unsafe { (*bio).bi_next = newest };
            // INVARIANT: the bio leads to what was there before. Release: whoever takes
            // it sees what was written to it.
            match self.newest.compare_exchange_weak(
                newest,
                bio,
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(other) => newest = other,
            }
        }
    }

    /// Takes all bios, oldest first.
    pub(crate) fn take(&self) -> Deferreds<T> {
        // INVARIANT: the queue is empty now, and the bios are ours. Acquire: see `push`.
        let mut newest = self.newest.swap(ptr::null_mut(), Ordering::Acquire);
        let mut oldest = ptr::null_mut();
        while !newest.is_null() {
            // SAFETY: by the type invariant the bio is one of those just taken.
            let next = unsafe { (*newest).bi_next };
            // SAFETY: as above.
            unsafe { (*newest).bi_next = oldest };
            oldest = newest;
            newest = next;
        }
        Deferreds {
            next: oldest,
            _bios: PhantomData,
        }
    }
}

impl<T> Drop for DeferredList<T> {
    fn drop(&mut self) {
        drop(self.take());
    }
}

/// Bios taken from a [`DeferredList`], oldest first. Those that are not taken out fail
/// with an I/O error.
///
/// # Invariants
///
/// As those of [`DeferredList`].
pub(crate) struct Deferreds<T> {
    next: *mut bindings::bio,
    _bios: PhantomData<Deferred<T>>,
}

impl<T> Iterator for Deferreds<T> {
    type Item = Deferred<T>;

    fn next(&mut self) -> Option<Self::Item> {
        let raw = NonNull::new(self.next)?;
        // SAFETY: by the type invariant the bio is ours. INVARIANT: it is given away.
        self.next = unsafe { (*raw.as_ptr()).bi_next };
        // SAFETY: as above; whoever ends the bio expects it to be in no list.
        unsafe { (*raw.as_ptr()).bi_next = ptr::null_mut() };
        // SAFETY: by the type invariant it came from `into_raw`.
        Some(unsafe { Deferred::from_raw(raw) })
    }
}

impl<T> Drop for Deferreds<T> {
    fn drop(&mut self) {
        self.for_each(drop);
    }
}
