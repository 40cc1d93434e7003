// SPDX-License-Identifier: GPL-2.0

//! A kind of target, and its registration with device-mapper.
//!
//! Mirrors `struct target_type` of
//! [`include/linux/device-mapper.h`](srctree/include/linux/device-mapper.h).

use super::{
    args::Args,
    bio::{Bio, MapResult},
    devices::DeviceVisitor,
    status::StatusWriter,
    target::{Constructor, Target},
};
use crate::{bindings, block::QueueLimits};
use core::{ffi::CStr, fmt, marker::PhantomData, ptr::NonNull};
use kernel::{
    error::to_result,
    ffi::{c_char, c_int, c_uint, c_void},
    prelude::*,
    types::{ForeignOwnable, Opaque},
};

/// The version of a target: major, minor, patch level.
pub(crate) type Version = [u32; 3];

/// A constructor's refusal: the errno, and the words for the log.
pub(crate) struct CtrError {
    errno: c_int,
    message: &'static CStr,
}

impl CtrError {
    /// A refusal with the given errno.
    pub(crate) fn new(errno: Error, message: &'static CStr) -> Self {
        Self {
            errno: errno.to_errno(),
            message,
        }
    }

    /// The refusal of what cannot be done: `EOPNOTSUPP`, of which there is no [`Error`].
    pub(crate) fn unsupported(message: &'static CStr) -> Self {
        Self::from_constant(bindings::EOPNOTSUPP, message)
    }

    /// The refusal of a device that would be on top of itself: `ELOOP`, of which there
    /// is no [`Error`].
    pub(crate) fn recursive(message: &'static CStr) -> Self {
        Self::from_constant(bindings::ELOOP, message)
    }

    /// An error with a constant of C, which is positive.
    fn from_constant(errno: u32, message: &'static CStr) -> Self {
        // CAST: an errno is a small constant.
        let errno = -(errno as c_int);
        Self { errno, message }
    }

    /// The negative errno that the ioctl returns.
    pub(crate) fn errno(&self) -> c_int {
        self.errno
    }
}

/// Which text a status call asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StatusKind {
    /// `dmsetup status`: the state.
    Info,
    /// `dmsetup table`: the arguments that construct the target again.
    Table,
    /// What the integrity measurement architecture records.
    Ima,
}

/// What a private data type gives the callbacks to look at.
type Borrowed<'a, T> = <<T as Operations>::Private as ForeignOwnable>::Borrowed<'a>;

/// A kind of target. Implement this to write one.
///
/// The destructor is the `Drop` of [`Operations::Private`]. It runs in process
/// context after the last bio has ended, and may sleep.
pub(crate) trait Operations: 'static {
    /// What a target of this kind keeps.
    type Private: ForeignOwnable + Send + Sync;

    /// What a message asks for: nothing of its text, in whose place the answer is written.
    type Message: 'static;

    /// The name in a table line.
    const NAME: &'static CStr;

    /// The version of the table format.
    const VERSION: Version;

    /// Constructs a target from its table line.
    ///
    /// Process context, may sleep. On an error everything must be as it was before.
    fn ctr(target: &mut Constructor<'_>, args: Args<'_>) -> Result<Self::Private, CtrError>;

    /// Maps one bio.
    ///
    /// Runs on all CPUs at once, possibly inside memory reclaim: must not sleep, must
    /// not allocate.
    fn map<'a>(private: Borrowed<'a, Self>, target: Target<'a>, bio: Bio<'a>) -> MapResult;

    /// Writes the status. Process context, may sleep; must not allocate.
    fn status(
        private: Borrowed<'_, Self>,
        kind: StatusKind,
        out: &mut StatusWriter<'_>,
    ) -> fmt::Result;

    /// Reads a message, as `dmsetup message` sends it. [`None`] if it is none that is known.
    /// Process context.
    fn parse(args: Args<'_>) -> Option<Self::Message>;

    /// Does what a message asks for, and writes the answer to it, if there is one. Process
    /// context, may sleep; the device cannot be suspended meanwhile.
    fn message(
        private: Borrowed<'_, Self>,
        target: Target<'_>,
        message: Self::Message,
        answer: &mut StatusWriter<'_>,
    ) -> Result;

    /// Called when the target is suspended, after its last bio has ended. Process
    /// context, may sleep.
    fn postsuspend(private: Borrowed<'_, Self>, target: Target<'_>);

    /// Corrects the limits of the device by what the target knows. Process context.
    fn io_hints(private: Borrowed<'_, Self>, limits: QueueLimits<'_>);

    /// Visits the parts of devices that the target uses, until a visit returns
    /// anything but zero, and returns that. Process context.
    fn iterate_devices(private: Borrowed<'_, Self>, visitor: &mut DeviceVisitor<'_>) -> c_int;
}

/// The C callbacks that lead to the methods of `T`.
struct OperationsVTable<T>(PhantomData<T>);

impl<T: Operations> OperationsVTable<T> {
    /// The `dm_ctr_fn`.
    ///
    /// # Safety
    ///
    /// For device-mapper, as `ctr` of a [`Registration<T>`].
    unsafe extern "C" fn ctr(
        ti: *mut bindings::dm_target,
        argc: c_uint,
        argv: *mut *mut c_char,
    ) -> c_int {
        let Some(raw) = NonNull::new(ti) else {
            return EINVAL.to_errno();
        };
        // SAFETY: device-mapper's constructor call, which lasts until we return.
        let mut target = unsafe { Constructor::from_raw(raw) };
        // SAFETY: device-mapper passes `argc` strings that live as long as the call.
        let args = unsafe { Args::from_raw(argc, argv) };
        match T::ctr(&mut target, args) {
            Ok(private) => {
                // SAFETY: the target is valid, and in its constructor ours alone.
                unsafe { (*ti).private = private.into_foreign().cast() };
                0
            }
            Err(refusal) => {
                // SAFETY: as above. Device-mapper only reads the string.
                unsafe { (*ti).error = refusal.message.as_char_ptr().cast_mut() };
                refusal.errno
            }
        }
    }

    /// The `dm_dtr_fn`.
    ///
    /// # Safety
    ///
    /// For device-mapper, as `dtr` of a [`Registration<T>`].
    unsafe extern "C" fn dtr(ti: *mut bindings::dm_target) {
        // SAFETY: device-mapper passes a valid target.
        let private = unsafe { (*ti).private };
        // SAFETY: `ctr` made `private` by `into_foreign`; device-mapper calls the
        // destructor once, for targets whose constructor succeeded, after every
        // other callback has returned.
        drop(unsafe { T::Private::from_foreign(private.cast()) });
    }

    /// Borrows the private data of a constructed target.
    ///
    /// # Safety
    ///
    /// `ti` must be a target whose constructor has succeeded, and whose destructor is
    /// not called during `'a`.
    #[inline(always)]
    unsafe fn private<'a>(ti: *mut bindings::dm_target) -> Borrowed<'a, T> {
        // SAFETY: a valid target, as required of the caller.
        let private = unsafe { (*ti).private };
        // SAFETY: `ctr` made `private` by `into_foreign`; only the destructor takes
        // it back, which the caller excludes; nobody borrows it mutably.
        unsafe { T::Private::borrow(private.cast()) }
    }

    /// The `dm_map_fn`.
    ///
    /// # Safety
    ///
    /// For device-mapper, as `map` of a [`Registration<T>`].
    unsafe extern "C" fn map(ti: *mut bindings::dm_target, bio: *mut bindings::bio) -> c_int {
        // SAFETY: device-mapper passes a valid target.
        let target = unsafe { Target::from_raw(NonNull::new_unchecked(ti)) };
        // SAFETY: device-mapper passes a clone that is ours until we return.
        let bio = unsafe { Bio::from_raw(NonNull::new_unchecked(bio)) };
        // SAFETY: device-mapper destroys a target only after its last map call.
        let private = unsafe { Self::private(ti) };
        T::map(private, target, bio).into_raw()
    }

    /// The `dm_status_fn`.
    ///
    /// # Safety
    ///
    /// For device-mapper, as `status` of a [`Registration<T>`].
    unsafe extern "C" fn status(
        ti: *mut bindings::dm_target,
        kind: bindings::status_type_t,
        _flags: c_uint,
        result: *mut c_char,
        maxlen: c_uint,
    ) {
        // SAFETY: device-mapper passes a buffer of `maxlen` bytes for this call.
        let mut out = unsafe { StatusWriter::from_raw(result, maxlen) };
        let kind = match kind {
            bindings::status_type_t_STATUSTYPE_INFO => StatusKind::Info,
            bindings::status_type_t_STATUSTYPE_TABLE => StatusKind::Table,
            bindings::status_type_t_STATUSTYPE_IMA => StatusKind::Ima,
            _ => return,
        };
        // SAFETY: device-mapper holds the table, and so the target, during the call.
        let private = unsafe { Self::private(ti) };
        // The error says that the buffer is full, which device-mapper sees itself.
        let _ = T::status(private, kind, &mut out);
    }

    /// The `dm_message_fn`.
    ///
    /// # Safety
    ///
    /// For device-mapper, as `message` of a [`Registration<T>`].
    unsafe extern "C" fn message(
        ti: *mut bindings::dm_target,
        argc: c_uint,
        argv: *mut *mut c_char,
        result: *mut c_char,
        maxlen: c_uint,
    ) -> c_int {
        // SAFETY: device-mapper passes `argc` strings, which nobody writes to before the
        // answer below, and nothing that borrows them is left by then.
        let message = T::parse(unsafe { Args::from_raw(argc, argv) });
        let Some(message) = message else {
            return EINVAL.to_errno();
        };
        // SAFETY: device-mapper passes a buffer of `maxlen` bytes for this call; the strings
        // that may have been in it are not looked at any more.
        let mut answer = unsafe { StatusWriter::from_raw(result, maxlen) };
        // SAFETY: device-mapper passes a valid target.
        let target = unsafe { Target::from_raw(NonNull::new_unchecked(ti)) };
        // SAFETY: device-mapper holds the table, and so the target, during the call.
        let private = unsafe { Self::private(ti) };
        match T::message(private, target, message, &mut answer) {
            // By this, device-mapper knows that there is an answer.
            Ok(()) => c_int::from(!answer.is_empty()),
            Err(error) => error.to_errno(),
        }
    }

    /// The `dm_postsuspend_fn`.
    ///
    /// # Safety
    ///
    /// For device-mapper, as `postsuspend` of a [`Registration<T>`].
    unsafe extern "C" fn postsuspend(ti: *mut bindings::dm_target) {
        // SAFETY: device-mapper passes a valid target.
        let target = unsafe { Target::from_raw(NonNull::new_unchecked(ti)) };
        // SAFETY: device-mapper holds the table, and so the target, during the call.
        let private = unsafe { Self::private(ti) };
        T::postsuspend(private, target);
    }

    /// The `dm_io_hints_fn`.
    ///
    /// # Safety
    ///
    /// For device-mapper, as `io_hints` of a [`Registration<T>`].
    unsafe extern "C" fn io_hints(
        ti: *mut bindings::dm_target,
        limits: *mut bindings::queue_limits,
    ) {
        // SAFETY: device-mapper passes limits that are its own until we return.
        let limits = QueueLimits::new(unsafe { &mut *limits });
        // SAFETY: device-mapper holds the table, and so the target, during the call.
        let private = unsafe { Self::private(ti) };
        T::io_hints(private, limits);
    }

    /// The `dm_iterate_devices_fn`.
    ///
    /// # Safety
    ///
    /// For device-mapper, as `iterate_devices` of a [`Registration<T>`].
    unsafe extern "C" fn iterate_devices(
        ti: *mut bindings::dm_target,
        callout: bindings::iterate_devices_callout_fn,
        data: *mut c_void,
    ) -> c_int {
        // SAFETY: device-mapper's arguments, for a call that lasts until we return.
        let mut visitor = unsafe { DeviceVisitor::from_raw(ti, callout, data) };
        // SAFETY: device-mapper holds the table, and so the target, during the call.
        let private = unsafe { Self::private(ti) };
        T::iterate_devices(private, &mut visitor)
    }
}

/// A registered kind of target. Dropping it unregisters the kind.
///
/// # Invariants
///
/// `raw` was registered with device-mapper and does not move.
#[pin_data(PinnedDrop)]
pub(crate) struct Registration<T: Operations> {
    #[pin]
    raw: Opaque<bindings::target_type>,
    _operations: PhantomData<T>,
}

// SAFETY: device-mapper guards its list of target types with a lock of its own, and
// nothing else of a registration is ever touched.
unsafe impl<T: Operations> Send for Registration<T> {}

// SAFETY: as above; a shared reference gives no access to anything.
unsafe impl<T: Operations> Sync for Registration<T> {}

impl<T: Operations> Registration<T> {
    /// Registers `T` for `module`. Process context, may sleep.
    ///
    /// # Errors
    ///
    /// `EEXIST` where a target of that name is registered already.
    pub(crate) fn new(module: &'static ThisModule) -> impl PinInit<Self, Error> {
        // INVARIANT: `raw` is pinned, and initialization fails unless registered.
        try_pin_init!(Self {
            raw <- Opaque::try_ffi_init(|slot: *mut bindings::target_type| {
                // SAFETY: `slot` is valid for writes.
                unsafe {
                    slot.write(bindings::target_type {
                        name: T::NAME.as_char_ptr(),
                        module: module.as_ptr(),
                        version: T::VERSION,
                        features: u64::from(bindings::DM_TARGET_NOWAIT),
                        ctr: Some(OperationsVTable::<T>::ctr),
                        dtr: Some(OperationsVTable::<T>::dtr),
                        map: Some(OperationsVTable::<T>::map),
                        status: Some(OperationsVTable::<T>::status),
                        message: Some(OperationsVTable::<T>::message),
                        postsuspend: Some(OperationsVTable::<T>::postsuspend),
                        io_hints: Some(OperationsVTable::<T>::io_hints),
                        iterate_devices: Some(OperationsVTable::<T>::iterate_devices),
                        ..Zeroable::zeroed()
                    })
                };
                // SAFETY: just initialized; pinned, so that it stays where it is until
                // it is unregistered in `drop`.
                to_result(unsafe { bindings::dm_register_target(slot) })
            }),
            _operations: PhantomData,
        })
    }
}

#[pinned_drop]
impl<T: Operations> PinnedDrop for Registration<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: by the type invariant `raw` is registered. Targets hold a reference
        // to the module, so none is left when the module goes.
        unsafe { bindings::dm_unregister_target(self.raw.get()) };
    }
}
