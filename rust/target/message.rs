// SPDX-License-Identifier: GPL-2.0

//! The grammar of a message: `grow <bytes>`, `stat`.
//!
//! Pure: uses `core` alone.

use super::table::parse_offset;

/// What a message asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// Make the file at least this many bytes long.
    Grow(u64),
    /// Tell what the block layer does not count, and which file it is.
    Stat,
}

impl Message {
    /// Reads the arguments of a message. [`None`] if they are none that is known.
    pub(crate) fn parse<'a>(mut args: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        match (args.next()?, args.next(), args.next()) {
            (b"grow", Some(size), None) => parse_offset(size).ok().map(Self::Grow),
            (b"stat", None, None) => Some(Self::Stat),
            _ => None,
        }
    }
}
