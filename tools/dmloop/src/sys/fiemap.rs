// SPDX-License-Identifier: GPL-2.0

//! FIEMAP: where a file lies, as its file system says. `<linux/fiemap.h>`
#![allow(unsafe_code)]

use super::ioctl::on_buffer;
use rustix::{fd::BorrowedFd, io, ioctl::opcode};

const HEADER: usize = 32;
const ENTRY: usize = 56;
const BATCH: usize = 1024;
/// Write back what is dirty first.
const FLAG_SYNC: u32 = 1;
const EXTENT_LAST: u32 = 1;

/// `struct fiemap_extent`; all numbers in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RawExtent {
    /// Where it begins in the file.
    pub(crate) logical: u64,
    /// Where it begins on the device.
    pub(crate) physical: u64,
    /// Its length.
    pub(crate) length: u64,
    /// `FIEMAP_EXTENT_…`.
    pub(crate) flags: u32,
}

/// All extents of a file, in order.
pub(crate) fn fiemap(file: BorrowedFd<'_>) -> io::Result<Vec<RawExtent>> {
    // _IOWR('f', 11, struct fiemap)
    let opcode = opcode::read_write::<[u8; HEADER]>(b'f', 11);
    let mut found = Vec::new();
    let mut start = 0_u64;
    loop {
        let mut buffer = vec![0; HEADER + BATCH * ENTRY];
        buffer[0..8].copy_from_slice(&start.to_ne_bytes());
        buffer[8..16].copy_from_slice(&(u64::MAX - start).to_ne_bytes());
        buffer[16..20].copy_from_slice(&FLAG_SYNC.to_ne_bytes());
        buffer[24..28].copy_from_slice(&(BATCH as u32).to_ne_bytes());
        // SAFETY: FIEMAP writes the header and at most as many extents as the header has
        // room for by its own word: `BATCH`, which is what the buffer has. No pointers.
        unsafe { on_buffer(file, opcode, &mut buffer) }?;
        let mapped = usize::try_from(u32_at(&buffer, 20)).unwrap_or(0).min(BATCH);
        for entry in buffer[HEADER..].chunks_exact(ENTRY).take(mapped) {
            let extent = RawExtent {
                logical: u64_at(entry, 0),
                physical: u64_at(entry, 8),
                length: u64_at(entry, 16),
                flags: u32_at(entry, 40),
            };
            found.push(extent);
            if extent.flags & EXTENT_LAST != 0 {
                return Ok(found);
            }
        }
        match found
            .last()
            .and_then(|last| last.logical.checked_add(last.length))
        {
            Some(next) if mapped != 0 && next > start => start = next,
            _ => return Ok(found),
        }
    }
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_ne_bytes(word)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_ne_bytes(word)
}
