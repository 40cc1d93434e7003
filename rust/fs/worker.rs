// SPDX-License-Identifier: GPL-2.0

//! Work that a kernel worker thread does for a device.
//!
//! One workqueue serves all devices of the module. It has a rescuer thread, so that
//! work goes on when memory is short, and does as many pieces at once as the kernel lets one
//! do: a device may wait for another, below its file. It does not promise to end then: a file
//! system may wait for workqueues of its own, which have no rescuer (xfs does when it is full).
//! `__WQ_LEGACY` says so, as `create_workqueue()` does, to those who check for it.
//!
//! C header: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)

use crate::bindings;
use core::{
    marker::PhantomPinned,
    ptr::{self, NonNull},
    sync::atomic::{AtomicPtr, Ordering},
};
use kernel::{prelude::*, types::Opaque};

/// The module's workqueue, from its creation to its end.
static QUEUE: AtomicPtr<bindings::workqueue_struct> = AtomicPtr::new(ptr::null_mut());

/// The module's workqueue. Dropping it waits for all work to end.
///
/// # Invariants
///
/// [`QUEUE`] is the workqueue that was made for this.
pub(crate) struct Workqueue(());

impl Workqueue {
    /// Makes the workqueue. To be called once.
    pub(crate) fn new() -> Result<Self> {
        let flags = bindings::wq_flags___WQ_LEGACY
            | bindings::wq_flags_WQ_MEM_RECLAIM
            | bindings::wq_flags_WQ_UNBOUND;
        // CAST: a small constant.
        let most = bindings::wq_consts_WQ_MAX_ACTIVE as i32;
        // SAFETY: a format string without conversions.
        let queue =
            unsafe { bindings::alloc_workqueue_noprof(c"dm-loop".as_char_ptr(), flags, most) };
        let queue = NonNull::new(queue).ok_or(ENOMEM)?;
        // INVARIANT: just made.
        QUEUE.store(queue.as_ptr(), Ordering::Release);
        Ok(Self(()))
    }
}

impl Drop for Workqueue {
    fn drop(&mut self) {
        let queue = QUEUE.swap(ptr::null_mut(), Ordering::AcqRel);
        // SAFETY: by the type invariant a workqueue of ours; devices, which alone use
        // it, are all gone when the module goes.
        unsafe { bindings::destroy_workqueue(queue) };
    }
}

/// Something that a worker can do.
pub(crate) trait Work: Send + Sync {
    /// Does what there is to do. Runs in a worker thread, may sleep; never in two
    /// threads at once for one [`Worker`].
    fn run(&self);
}

/// A piece of work and its place in the workqueue.
///
/// Dropping it waits for the work to end.
///
/// # Invariants
///
/// `work` is initialized with `Self::callback`.
#[pin_data(PinnedDrop)]
pub(crate) struct Worker<W: Work> {
    #[pin]
    work: Opaque<bindings::work_struct>,
    inner: W,
    #[pin]
    _pin: PhantomPinned,
}

// SAFETY: the workqueue guards the work item, and `W` may be used from any thread.
unsafe impl<W: Work> Send for Worker<W> {}

// SAFETY: as above, and concurrently.
unsafe impl<W: Work> Sync for Worker<W> {}

impl<W: Work> Worker<W> {
    /// A worker for `inner`, with nothing to do yet.
    pub(crate) fn new(inner: W) -> impl PinInit<Self> {
        // INVARIANT: initialized here, once.
        pin_init!(Self {
            work <- Opaque::ffi_init(|work| {
                // SAFETY: `work` is valid for writes, and stays where it is: it is
                // pinned, and `drop` waits until the workqueue has let go of it.
                unsafe { bindings::dm_loop_init_work(work, Some(Self::callback)) }
            }),
            inner,
            _pin: PhantomPinned,
        })
    }

    /// What the worker is for.
    #[inline(always)]
    pub(crate) fn inner(&self) -> &W {
        &self.inner
    }

    /// Has the work done: once more, if it is being done at the moment.
    ///
    /// In any context.
    #[inline]
    pub(crate) fn start(&self) {
        let queue = QUEUE.load(Ordering::Acquire);
        // CAST: a small constant.
        let cpu = bindings::wq_misc_consts_WORK_CPU_UNBOUND as i32;
        // SAFETY: the workqueue exists as long as there are devices; by the type
        // invariant the work item is initialized, and lives until it has run.
        unsafe { bindings::queue_work_on(cpu, queue, self.work.get()) };
    }

    /// The work function.
    ///
    /// # Safety
    ///
    /// For the workqueue, with the work item of a `Worker<W>`.
    unsafe extern "C" fn callback(work: *mut bindings::work_struct) {
        // SAFETY: required of the caller; `Opaque` is transparent.
        let worker = unsafe { kernel::container_of!(Opaque::cast_from(work), Self, work) };
        // SAFETY: `drop` waits for this function to return.
        unsafe { (*worker).inner.run() };
    }
}

#[pinned_drop]
impl<W: Work> PinnedDrop for Worker<W> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: by the type invariant the work item is initialized.
        unsafe { bindings::cancel_work_sync(self.work.get()) };
    }
}
