// SPDX-License-Identifier: GPL-2.0

//! The C side: what the `kernel` crate has bindings for, plus device-mapper, path
//! lookup and the wrappers of `helpers.c`.
//!
//! Generated at build time from `bindings_helper.h`. Layers 0 and 1 only.

#![allow(
    clippy::all,
    clippy::missing_docs_in_private_items,
    clippy::undocumented_unsafe_blocks,
    clippy::cast_lossless,
    clippy::ptr_as_ptr,
    clippy::ref_as_ptr,
    dead_code,
    improper_ctypes,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unreachable_pub,
    unsafe_op_in_unsafe_fn,
    unused_imports
)]

pub(crate) use kernel::bindings::*;
use pin_init::MaybeZeroable;

include!(env!("DM_LOOP_BINDINGS"));

pub(crate) use self::{
    DM_LOOP_BLK_FEAT_STABLE_WRITES as BLK_FEAT_STABLE_WRITES,
    DM_LOOP_BLK_OPEN_READ as BLK_OPEN_READ, DM_LOOP_BLK_OPEN_WRITE as BLK_OPEN_WRITE,
    DM_LOOP_BLK_STS_NOTSUPP as BLK_STS_NOTSUPP, DM_LOOP_FALLOC_FL_KEEP_SIZE as FALLOC_FL_KEEP_SIZE,
    DM_LOOP_FALLOC_FL_PUNCH_HOLE as FALLOC_FL_PUNCH_HOLE,
    DM_LOOP_FALLOC_FL_WRITE_ZEROES as FALLOC_FL_WRITE_ZEROES,
    DM_LOOP_FALLOC_FL_ZERO_RANGE as FALLOC_FL_ZERO_RANGE,
    DM_LOOP_FMODE_CAN_ODIRECT as FMODE_CAN_ODIRECT, DM_LOOP_FMODE_CAN_READ as FMODE_CAN_READ,
    DM_LOOP_FMODE_CAN_WRITE as FMODE_CAN_WRITE, DM_LOOP_IOCB_DIRECT as IOCB_DIRECT,
    DM_LOOP_IOCB_WRITE as IOCB_WRITE, DM_LOOP_LOOKUP_FOLLOW as LOOKUP_FOLLOW,
    DM_LOOP_REQ_ATOMIC as REQ_ATOMIC, DM_LOOP_REQ_FUA as REQ_FUA,
    DM_LOOP_REQ_NOUNMAP as REQ_NOUNMAP, DM_LOOP_REQ_OP_MASK as REQ_OP_MASK,
};
