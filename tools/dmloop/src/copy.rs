// SPDX-License-Identifier: GPL-2.0

//! New files that get their name when they are complete.

use crate::{
    failure::{Exit, Failure},
    printable::printable,
    sys::Lease,
    work::Work,
    write_out,
};
use rustix::{
    fs::{
        fallocate, fchown, fgetxattr, flistxattr, fsetxattr, fstatfs, ioctl_getflags,
        ioctl_setflags, linkat, openat, renameat_with, AtFlags, FallocateFlags, Gid, IFlags, Mode,
        OFlags, RenameFlags, Uid, XattrFlags, CWD,
    },
    io::{Errno, Result},
};
use std::{
    ffi::{OsStr, OsString},
    fs::{self, File},
    os::{
        fd::AsRawFd,
        unix::{
            ffi::OsStrExt,
            fs::{MetadataExt, PermissionsExt},
        },
    },
    path::{Path, PathBuf},
};

/// The longest name of a file, in bytes.
const LONGEST: usize = 255;

/// `f_type` of btrfs.
const BTRFS: i64 = 0x9123_683e;

/// Whether `file` is on btrfs.
pub(crate) fn is_on_btrfs(file: &File) -> bool {
    fstatfs(file).is_ok_and(|stat| stat.f_type == BTRFS)
}

/// A file without a name, or, on file systems that have no such, with one that is removed
/// unless the file becomes another.
struct Draft {
    file: File,
    name: PathBuf,
    named: bool,
}

impl Draft {
    /// A draft of the file `path`, which is not copied on write.
    fn new(path: &Path) -> Result<Self> {
        let folder = path.parent().unwrap_or(Path::new("/"));
        let name = folder.join(working_name(path.file_name().ok_or(Errno::ISDIR)?));
        // As of a file to swap to; f2fs wants it of files that are mapped.
        let mode = Mode::RUSR | Mode::WUSR;
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        let (file, named) = match openat(CWD, folder, flags | OFlags::TMPFILE, mode) {
            Ok(file) => (file, false),
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::NOENT | Errno::INVAL) => (
                openat(CWD, &name, flags | OFlags::CREATE | OFlags::EXCL, mode)?,
                true,
            ),
            Err(errno) => return Err(errno),
        };
        let draft = Self {
            file: File::from(file),
            name,
            named,
        };
        if is_on_btrfs(&draft.file) {
            // Only an empty file can be made so.
            let flags = ioctl_getflags(&draft.file)?;
            ioctl_setflags(&draft.file, (flags - IFlags::COMPRESSED) | IFlags::NOCOW)?;
        }
        Ok(draft)
    }

    /// Sets room aside, in one piece if possible.
    fn reserve(&self, size: u64) -> Result<()> {
        match fallocate(&self.file, FallocateFlags::empty(), 0, size) {
            // It will do without, as well as it can.
            Err(Errno::OPNOTSUPP) => Ok(()),
            result => result,
        }
    }

    /// Gives it its working name.
    fn give_name(&mut self) -> Result<()> {
        if !self.named {
            let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
            linkat(CWD, path, CWD, &self.name, AtFlags::SYMLINK_FOLLOW)?;
            self.named = true;
        }
        Ok(())
    }

    /// Makes it the file `path`, unless there is one.
    fn publish(mut self, path: &Path) -> Result<()> {
        self.give_name()?;
        renameat_with(CWD, &self.name, CWD, path, RenameFlags::NOREPLACE)?;
        self.named = false;
        sync_folder(path)
    }

    /// Makes it the file `path` in place of `old`, which must be its only name, unless
    /// `wanted` says that somebody has found the way to that meanwhile.
    fn replace(mut self, path: &Path, old: &File, wanted: impl Fn() -> bool) -> Result<()> {
        self.give_name()?;
        renameat_with(CWD, &self.name, CWD, path, RenameFlags::EXCHANGE)?;
        // Now the working name is that of what was replaced.
        let is_old = names(&self.name, old) && old.metadata().is_ok_and(|data| data.nlink() == 1);
        if !is_old || wanted() {
            renameat_with(CWD, &self.name, CWD, path, RenameFlags::EXCHANGE)?;
            return Err(if is_old { Errno::TXTBSY } else { Errno::STALE });
        }
        self.named = false;
        let _ = fs::remove_file(&self.name);
        sync_folder(path)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Whatever else has that name is not ours.
        if self.named && names(&self.name, &self.file) {
            let _ = fs::remove_file(&self.name);
        }
    }
}

/// The name of a draft of the file `name`: as much of that as there is room for.
fn working_name(name: &OsStr) -> OsString {
    let behind = format!(".dmloop-{}", std::process::id());
    let room = LONGEST - 1 - behind.len();
    let mut working = OsString::from(".");
    if name.len() <= room {
        working.push(name);
    } else {
        // vfat wants whole characters.
        let text = name.to_string_lossy();
        let chars = text.char_indices().map(|(at, char)| at + char.len_utf8());
        let end = chars.take_while(|&end| end <= room).last().unwrap_or(0);
        working.push(&text[..end]);
    }
    working.push(behind);
    working
}

/// Whether `path` is a name of `file`.
fn names(path: &Path, file: &File) -> bool {
    let identity = |data: fs::Metadata| (data.dev(), data.ino());
    match (fs::symlink_metadata(path), file.metadata()) {
        (Ok(named), Ok(data)) => identity(named) == identity(data),
        _ => false,
    }
}

fn sync_folder(path: &Path) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let folder = openat(
        CWD,
        folder,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    rustix::fs::fsync(folder)
}

/// Makes the file `path` of `size` zeroes. It is there when it is complete.
pub(crate) fn create(path: &Path, size: u64, work: &Work) -> std::result::Result<(), Failure> {
    let failed = |errno: Errno| Failure::path(path, &errno.into());
    let draft = Draft::new(path).map_err(failed)?;
    draft.reserve(size).map_err(failed)?;
    write_out::fill(&draft.file, path, size, work)?;
    draft.publish(path).map_err(failed)
}

/// Replaces `file`, which is `path`, by a copy that is not copied on write, with zeroes
/// behind it up to `size`. Until the copy is complete nothing is changed.
pub(crate) fn replace(
    file: &File,
    path: &Path,
    size: u64,
    lease: &Lease<'_>,
    work: &Work,
) -> std::result::Result<(), Failure> {
    let failed = |errno: Errno| Failure::path(path, &errno.into());
    let metadata = || file.metadata().map_err(|error| Failure::path(path, &error));
    let before = metadata()?;
    let draft = Draft::new(path).map_err(failed)?;
    draft.reserve(size).map_err(failed)?;
    write_out::copy(file, &draft.file, path, size, lease, work)?;
    dress(file, &before, &metadata()?, &draft.file).map_err(failed)?;
    draft
        .file
        .sync_all()
        .map_err(|error| Failure::path(path, &error))?;
    work.may_go_on(Some(lease))?;
    match draft.replace(path, file, || lease.is_wanted()) {
        Err(Errno::TXTBSY) => work.may_go_on(Some(lease)),
        Err(Errno::STALE) => Err(Failure::new(
            Exit::Busy,
            format!(
                "{} is another file now, or has another name too: both are as they were",
                printable(path)
            ),
        )),
        result => result.map_err(failed),
    }
}

/// Gives `new` the owner, the rights, the attributes and the times of `old`: as they are in
/// `data` now, but when it was last read before it was copied.
fn dress(old: &File, before: &fs::Metadata, data: &fs::Metadata, new: &File) -> Result<()> {
    fchown(
        new,
        Some(Uid::from_raw(data.uid())),
        Some(Gid::from_raw(data.gid())),
    )?;
    let io = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
    new.set_permissions(fs::Permissions::from_mode(data.mode() & 0o7777))
        .map_err(io)?;
    let mut names = vec![0; 64 << 10];
    let len = flistxattr(old, &mut names[..])?;
    for name in names[..len].split(|&byte| byte == 0) {
        // Those of btrfs itself speak about compression, which is over.
        if name.is_empty() || name.starts_with(b"btrfs.") {
            continue;
        }
        let name = OsStr::from_bytes(name);
        let mut value = vec![0; 64 << 10];
        let len = fgetxattr(old, name, &mut value[..])?;
        fsetxattr(new, name, &value[..len], XattrFlags::empty())?;
    }
    let times = fs::FileTimes::new();
    let times = before
        .accessed()
        .map_or(times, |time| times.set_accessed(time));
    let times = data
        .modified()
        .map_or(times, |time| times.set_modified(time));
    new.set_times(times).map_err(io)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("dmloop-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn a_new_file() {
        let folder = folder("new");
        let path = folder.join("file");
        let work = Work::begin(true, "");
        create(&path, 3 << 19, &work).unwrap();
        assert_eq!(fs::read(&path).unwrap(), vec![0; 3 << 19]);
        // Nothing is ever overwritten, and nothing is left behind.
        assert!(create(&path, 512, &work).is_err());
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn names_that_are_long() {
        let folder = folder("long");
        let work = Work::begin(true, "");
        for name in ["x".repeat(255), "ä".repeat(127), "x".repeat(241)] {
            let path = folder.join(&name);
            create(&path, 512, &work).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().len(), 512, "{name}");
            let draft = working_name(path.file_name().unwrap());
            assert!(draft.len() <= 255 && draft.to_str().is_some(), "{draft:?}");
        }
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 3);
        fs::remove_dir_all(folder).unwrap();
        let short = working_name(OsStr::new("img"));
        assert!(short.to_str().unwrap().starts_with(".img.dmloop-"));
    }

    #[test]
    fn a_copy_in_place() {
        let folder = folder("copy");
        let path = folder.join("file");
        fs::write(&path, b"contents").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let old = fs::metadata(&path).unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        let drafted = || {
            let draft = Draft::new(&path).unwrap();
            let place = format!("/proc/self/fd/{}", draft.file.as_raw_fd());
            fs::write(place, b"contents").unwrap();
            dress(&file, &old, &old, &draft.file).unwrap();
            draft
        };
        let draft = drafted();
        // Somebody came: all is as it was.
        assert_eq!(draft.replace(&path, &file, || true), Err(Errno::TXTBSY));
        assert_eq!(fs::metadata(&path).unwrap().ino(), old.ino());
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        // Another name has come: neither goes.
        let other = folder.join("other");
        fs::hard_link(&path, &other).unwrap();
        assert_eq!(drafted().replace(&path, &file, || false), Err(Errno::STALE));
        fs::remove_file(&other).unwrap();
        // Another file has come in its place.
        let draft = drafted();
        fs::rename(&path, &other).unwrap();
        fs::write(&path, b"new").unwrap();
        assert_eq!(draft.replace(&path, &file, || false), Err(Errno::STALE));
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
        fs::rename(&other, &path).unwrap();
        let draft = drafted();
        draft.replace(&path, &file, || false).unwrap();
        let new = fs::metadata(&path).unwrap();
        assert_ne!(new.ino(), old.ino());
        assert_eq!(
            (new.mode(), new.modified().unwrap()),
            (old.mode(), old.modified().unwrap())
        );
        assert_eq!(fs::read(&path).unwrap(), b"contents");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        fs::remove_dir_all(folder).unwrap();
    }
}
