// SPDX-License-Identifier: GPL-2.0

//! Writing what a file contains already: holes and unwritten blocks become written ones,
//! shared blocks become its own. At no time does it read differently.

use crate::{
    failure::Failure,
    printable::printable,
    sys::Lease,
    work::{Work, CHUNK},
};
use rustix::fs::{fadvise, Advice};
use std::{fs::File, io, os::unix::fs::FileExt, path::Path};

/// How much may be dirty at a time: the progress shown is that of the disk, then.
const DIRTY: u64 = 64 << 20;

/// Writes each of `ranges` of `file` with what it contains.
///
/// The lease keeps everybody else from writing between the reading and the writing.
pub(crate) fn rewrite(
    file: &File,
    path: &Path,
    ranges: &[(u64, u64)],
    lease: &Lease<'_>,
    work: &Work,
) -> Result<(), Failure> {
    work.part(
        "writing",
        ranges.iter().map(|(start, end)| end - start).sum(),
    );
    let read = |at, buffer: &mut [u8]| file.read_exact_at(buffer, at);
    write(file, path, ranges, read, Some(lease), work)
}

/// Writes `size` zeroes to a new file.
pub(crate) fn fill(file: &File, path: &Path, size: u64, work: &Work) -> Result<(), Failure> {
    work.part("writing", size);
    write(file, path, &[(0, size)], |_, _| Ok(()), None, work)
}

/// Writes what `from` contains, and zeroes up to `size`, to the new file `to`.
pub(crate) fn copy(
    from: &File,
    to: &File,
    path: &Path,
    size: u64,
    lease: &Lease<'_>,
    work: &Work,
) -> Result<(), Failure> {
    work.part("copying", size);
    let end = from
        .metadata()
        .map_err(|error| Failure::path(path, &error))?
        .len();
    let read = |at, buffer: &mut [u8]| {
        let len = usize::try_from(end.saturating_sub(at))
            .map_or(buffer.len(), |rest| rest.min(buffer.len()));
        buffer[len..].fill(0);
        from.read_exact_at(&mut buffer[..len], at)
    };
    write(to, path, &[(0, size)], read, Some(lease), work)
}

/// Writes `ranges` of `file` with what `read` puts into the buffer, which begins as zeroes.
fn write(
    file: &File,
    path: &Path,
    ranges: &[(u64, u64)],
    read: impl Fn(u64, &mut [u8]) -> io::Result<()>,
    lease: Option<&Lease<'_>>,
    work: &Work,
) -> Result<(), Failure> {
    let failed = |error| Failure::path(path, &error);
    let mut buffer = vec![0; CHUNK];
    let mut dirty = 0;
    for &(start, end) in ranges {
        let mut at = start;
        while at < end {
            let len = usize::try_from(end - at).map_or(CHUNK, |rest| rest.min(CHUNK));
            read(at, &mut buffer[..len]).map_err(failed)?;
            // Should it have been stopped meanwhile, others may have had the file.
            work.may_go_on(lease)?;
            file.write_all_at(&buffer[..len], at).map_err(failed)?;
            at += len as u64;
            dirty += len as u64;
            if dirty >= DIRTY {
                file.sync_data().map_err(failed)?;
                dirty = 0;
            }
            work.done(len, lease)?;
        }
    }
    settle(file, path)
}

/// Brings the file to the disk, and out of memory.
fn settle(file: &File, path: &Path) -> Result<(), Failure> {
    file.sync_all()
        .map_err(|error| Failure::io(&format!("{} cannot be synced", printable(path)), &error))?;
    // It is as well off in memory.
    let _ = fadvise(file, 0, None, Advice::DontNeed);
    Ok(())
}
