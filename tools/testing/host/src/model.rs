// SPDX-License-Identifier: GPL-2.0

//! What the answer should be, found the slow and obvious way.

pub mod args;
pub mod grammar;
pub(crate) mod layout;
