// SPDX-License-Identifier: GPL-2.0

//! A queue of requests to one file, worked off by one worker at a time.
//!
//! Bios are gathered in a list and a worker takes all of them at once, so that a burst
//! costs one wake-up. C header:
//! [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)

use super::{
    file::BackingFile,
    reclaim::ReclaimGuard,
    request::{ByteRange, Job, Request},
    worker::{Work, Worker},
};
use crate::{
    bindings,
    dm::{Bio, Deferred, DeferredList, MapResult, Status, Target},
};
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use kernel::{
    prelude::*,
    time::{delay::fsleep, Delta},
};

/// A queue of requests and its worker.
///
/// Dropping it waits until every request has ended.
#[pin_data(PinnedDrop)]
pub(super) struct Lane {
    #[pin]
    worker: Worker<Queue>,
}

/// Requests to a file.
struct Queue {
    file: BackingFile,
    direct: bool,
    /// What [`BackingFile::is_forgotten`] says.
    forgotten: bool,
    waiting: DeferredList<Request>,
    /// Bios that have been submitted and not ended.
    in_flight: AtomicUsize,
    /// How many are in [`Lane::enqueue`]: the bio that they add may have ended, and
    /// with it all that keeps the lane, before they are out again.
    adding: AtomicUsize,
    /// Bios that have ended with an error.
    failed: AtomicU64,
}

impl Lane {
    /// An empty queue for `file`; `direct` if the page cache is to be left alone.
    pub(super) fn new(file: BackingFile, direct: bool) -> impl PinInit<Self> {
        pin_init!(Self {
            worker <- Worker::new(Queue {
                forgotten: file.is_forgotten(),
                file,
                direct,
                waiting: DeferredList::new(),
                in_flight: AtomicUsize::new(0),
                adding: AtomicUsize::new(0),
                failed: AtomicU64::new(0),
            }),
        })
    }

    /// The file.
    pub(super) fn file(&self) -> &BackingFile {
        &self.worker.inner().file
    }

    /// Brings what was written to stable storage. May sleep.
    pub(super) fn sync(&self) -> Result {
        let queue = self.worker.inner();
        queue.file.sync_data(queue.forgotten)
    }

    /// Whether the page cache is to be left alone.
    pub(super) fn direct(&self) -> bool {
        self.worker.inner().direct
    }

    /// How many bios have been submitted and not ended.
    pub(super) fn in_flight(&self) -> usize {
        self.worker.inner().in_flight.load(Ordering::Relaxed)
    }

    /// How many bios have failed.
    pub(super) fn failed(&self) -> u64 {
        self.worker.inner().failed.load(Ordering::Relaxed)
    }

    /// Has a worker do `job` for `bio`, and then one of `sync_in` sync the file. Never sleeps.
    ///
    /// # Safety
    ///
    /// `sync_in` must outlive this lane.
    pub(super) unsafe fn submit(
        &self,
        sync_in: Option<&Lane>,
        target: Target<'_>,
        bio: Bio<'_>,
        job: Job,
        range: ByteRange,
    ) -> MapResult {
        // SAFETY: dropping the lane waits until the request has ended, and the other one
        // outlives it.
        let request = unsafe { Request::new(self, sync_in, job, range) };
        bio.defer(target, request, |bio| {
            self.worker
                .inner()
                .in_flight
                .fetch_add(1, Ordering::Relaxed);
            self.enqueue(bio);
        })
    }

    /// Puts a request in the queue, for the first time or again. In any context.
    pub(super) fn enqueue(&self, bio: Deferred<Request>) {
        let queue = self.worker.inner();
        queue.adding.fetch_add(1, Ordering::Relaxed);
        queue.waiting.push(bio);
        self.worker.start();
        // The last access. Release: to whoever waits for it in `drop`.
        queue.adding.fetch_sub(1, Ordering::Release);
    }

    /// Notes that a bio is about to be ended, with this status. The last access on its
    /// behalf.
    pub(super) fn finished(&self, status: &Status) {
        if status.is_err() {
            self.worker.inner().failed.fetch_add(1, Ordering::Relaxed);
        }
        let in_flight = &self.worker.inner().in_flight;
        in_flight.fetch_sub(1, Ordering::Release);
    }
}

#[pinned_drop]
impl PinnedDrop for Lane {
    fn drop(self: Pin<&mut Self>) {
        let queue = self.worker.inner();
        // Device-mapper has waited for the bios, so this is the rest of a few calls.
        while queue.in_flight.load(Ordering::Acquire) != 0
            || queue.adding.load(Ordering::Acquire) != 0
        {
            fsleep(Delta::from_millis(1));
        }
    }
}

impl Work for Queue {
    fn run(&self) {
        let _reclaim = ReclaimGuard::enter();
        let mut plug = bindings::blk_plug::default();
        // SAFETY: the plug stays on this stack until it is finished below.
        unsafe { bindings::blk_start_plug(&mut plug) };
        for bio in self.waiting.take() {
            // SAFETY: a worker thread and a valid bio.
            let charged = unsafe { bindings::dm_loop_charge(bio.as_raw()) };
            Request::run(bio);
            // SAFETY: charged just above, in this thread.
            unsafe { bindings::dm_loop_uncharge(charged) };
            // SAFETY: a worker may sleep.
            unsafe { bindings::dm_loop_cond_resched() };
        }
        // SAFETY: started above.
        unsafe { bindings::blk_finish_plug(&mut plug) };
    }
}
