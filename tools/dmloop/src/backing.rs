// SPDX-License-Identifier: GPL-2.0

//! Files to attach.

use crate::{
    failure::{Exit, Failure},
    printable::printable,
};
use std::{
    fs::{self, File, Metadata},
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

/// A regular file.
#[derive(Debug)]
pub(crate) struct Backing {
    /// Absolute and without links.
    pub(crate) path: PathBuf,
    /// Its attributes.
    pub(crate) data: Metadata,
}

impl Backing {
    /// The file at `path`. Nothing is opened: that would have effects on other things.
    pub(crate) fn new(path: &Path) -> Result<Self, Failure> {
        let data = fs::metadata(path).map_err(|error| Failure::path(path, &error))?;
        let kind = data.file_type();
        let shown = printable(path);
        if kind.is_block_device() {
            return Err(Failure::failed(format!(
                "{shown} is a block device already: use it as it is"
            )));
        }
        if !kind.is_file() {
            let what = if kind.is_dir() {
                "a folder"
            } else {
                "no regular file"
            };
            return Err(Failure::failed(format!(
                "{shown} is {what}: only regular files can be attached"
            )));
        }
        let path = fs::canonicalize(path).map_err(|error| Failure::path(path, &error))?;
        Ok(Self { path, data })
    }

    /// The same as it is now. `file` is what was opened at its path since.
    pub(crate) fn again(self, file: &File) -> Result<Self, Failure> {
        let data = file
            .metadata()
            .map_err(|error| Failure::path(&self.path, &error))?;
        if (data.dev(), data.ino()) != (self.data.dev(), self.data.ino()) {
            return Err(self.busy("is another file now: run it again"));
        }
        Ok(Self { data, ..self })
    }

    /// For messages.
    pub(crate) fn name(&self) -> String {
        printable(&self.path)
    }

    /// Opens it for reading.
    pub(crate) fn open(&self) -> Result<File, Failure> {
        File::open(&self.path).map_err(|error| Failure::path(&self.path, &error))
    }

    /// Whether it is a swap area in use.
    pub(crate) fn is_swap(&self) -> bool {
        swap_areas().iter().any(|area| {
            fs::metadata(area)
                .is_ok_and(|other| (other.dev(), other.ino()) == (self.data.dev(), self.data.ino()))
        })
    }

    /// The sectors of a device that begins at `offset` and maps at most `limit` bytes.
    pub(crate) fn sectors(&self, offset: u64, limit: Option<u64>) -> Result<u64, Failure> {
        sectors(self.data.len(), offset, limit)
            .map_err(|why| Failure::failed(format!("{}: {why}", self.name())))
    }

    /// A limit with which `bytes` from `offset` on end with a block of the file system, if
    /// they do not.
    pub(crate) fn better_limit(&self, offset: u64, bytes: u64) -> Option<u64> {
        let block = rustix::fs::statvfs(&self.path)
            .map_or(4096, |stat| stat.f_bsize)
            .max(512);
        let end = offset.saturating_add(bytes);
        let whole = end / block * block;
        whole
            .checked_sub(offset)
            .filter(|&limit| limit > 0 && whole < end)
    }

    /// That something else has the file.
    pub(crate) fn busy(&self, why: &str) -> Failure {
        Failure::new(Exit::Busy, format!("{} {why}", self.name()))
    }
}

/// The paths of what is swapped to.
pub(crate) fn swap_areas() -> Vec<PathBuf> {
    let text = fs::read_to_string("/proc/swaps").unwrap_or_default();
    let area = |line: &str| {
        let word = line.split_ascii_whitespace().next()?;
        let bytes = crate::table::unescape(word.as_bytes());
        Some(PathBuf::from(
            <std::ffi::OsString as std::os::unix::ffi::OsStringExt>::from_vec(bytes),
        ))
    };
    text.lines().skip(1).filter_map(area).collect()
}

fn sectors(size: u64, offset: u64, limit: Option<u64>) -> Result<u64, String> {
    if offset % 512 != 0 {
        return Err(format!("the offset {offset} is not a multiple of 512"));
    }
    if limit == Some(0) {
        return Err("a limit of 0 leaves nothing".to_owned());
    }
    let rest = match size.checked_sub(offset) {
        None | Some(0) if size == 0 => {
            return Err("the file is empty (dmloop prepare FILE --size SIZE fills it)".to_owned())
        }
        None | Some(0) => {
            return Err(format!(
                "the offset {offset} is not before the end of the file at {size}"
            ))
        }
        Some(rest) => rest,
    };
    match limit.map_or(rest, |limit| rest.min(limit)) / 512 {
        0 => Err("less than a sector of 512 bytes is left to map".to_owned()),
        sectors => Ok(sectors),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows() {
        assert_eq!(sectors(1 << 20, 0, None), Ok(2048));
        assert_eq!(sectors(1 << 20, 32256, None), Ok(2048 - 63));
        assert_eq!(sectors(1 << 20, 512, Some(1024)), Ok(2));
        assert_eq!(sectors(1 << 20, 512, Some(u64::MAX)), Ok(2047));
        assert_eq!(sectors(1023, 0, None), Ok(1));
        for (size, offset, limit) in [
            (511, 0, None),
            (0, 0, None),
            (512, 512, None),
            (512, 1024, None),
            (1024, 1, None),
            (1024, 0, Some(511)),
            (1024, 0, Some(0)),
        ] {
            assert!(
                sectors(size, offset, limit).is_err(),
                "{size} {offset} {limit:?}"
            );
        }
    }

    #[test]
    fn only_regular_files() {
        for path in ["/", "/dev/null", "/nowhere/at/all"] {
            assert!(Backing::new(Path::new(path)).is_err(), "{path}");
        }
        let file = Backing::new(Path::new("/proc/self/exe")).unwrap();
        assert!(file.path.is_absolute() && file.data.len() > 0);
    }
}
