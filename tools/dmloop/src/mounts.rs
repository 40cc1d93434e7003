// SPDX-License-Identifier: GPL-2.0

//! What is mounted where: `/proc/self/mountinfo`.

use crate::{status::parse_device, table::unescape};
use std::{
    ffi::OsString,
    fs,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

/// A mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    /// The device number of the file system.
    pub(crate) number: (u32, u32),
    /// Where it is mounted.
    pub(crate) point: PathBuf,
    /// Options of the mount.
    pub(crate) options: String,
    /// Type of the file system.
    pub(crate) fs_type: String,
    /// What is mounted.
    pub(crate) source: PathBuf,
    /// Options of the file system.
    pub(crate) super_options: String,
}

/// All mounts, in the order they were made.
pub(crate) fn all() -> Vec<Mount> {
    let text = fs::read("/proc/self/mountinfo").unwrap_or_default();
    text.split(|&byte| byte == b'\n')
        .filter_map(parse)
        .collect()
}

/// The mount that `path`, absolute and without links, is on.
pub(crate) fn of(path: &Path) -> Option<Mount> {
    // Of several at one place the last one covers the others.
    let on = all()
        .into_iter()
        .filter(|mount| path.starts_with(&mount.point));
    on.max_by_key(|mount| mount.point.components().count())
}

/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`
fn parse(line: &[u8]) -> Option<Mount> {
    let mut words = line.split(|&byte| byte == b' ');
    let number = words.nth(2)?;
    let point = words.nth(1)?;
    let options = words.next()?;
    let mut words = words.skip_while(|word| *word != b"-").skip(1);
    let text = |word: &[u8]| String::from_utf8_lossy(&unescape(word)).into_owned();
    let path = |word: &[u8]| PathBuf::from(OsString::from_vec(unescape(word)));
    Some(Mount {
        number: parse_device(std::str::from_utf8(number).ok()?)?,
        point: path(point),
        options: text(options),
        fs_type: text(words.next()?),
        source: path(words.next()?),
        super_options: text(words.next()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let mount = parse(
            b"36 35 98:0 / /mnt\\0402 rw,noatime master:1 - ext3 /dev/root rw,errors=continue",
        )
        .unwrap();
        assert_eq!(mount.number, (98, 0));
        assert_eq!(mount.point, Path::new("/mnt 2"));
        assert_eq!(mount.fs_type, "ext3");
        assert_eq!(mount.source, Path::new("/dev/root"));
        assert_eq!(
            (mount.options.as_str(), mount.super_options.as_str()),
            ("rw,noatime", "rw,errors=continue")
        );
        assert!(parse(b"36 35 0:5 / /x rw - tmpfs tmpfs rw").is_some());
        assert_eq!(parse(b""), None);
        assert_eq!(parse(b"1 2 3:4 / /x rw"), None);
    }

    #[test]
    fn this_machine_has_a_root() {
        assert!(of(Path::new("/")).is_some());
    }
}
