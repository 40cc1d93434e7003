// SPDX-License-Identifier: GPL-2.0

//! `dmloop grow`

use crate::{
    cli::GrowArgs,
    control::{Control, Line},
    device::{Device, Target},
    failure::{Exit, Failure},
    identity::Identity,
    interrupt,
    kmsg::Log,
    print,
    printable::{printable, quoted},
    size::{self, human},
    status::Status,
    table::Table,
    work::Work,
};
use rustix::{
    fs::{flock, fstatvfs, open, FlockOperation, Mode, OFlags},
    io::Errno,
};
use std::{
    fs::File,
    io,
    os::{fd::AsRawFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// How much longer a block-mapped file is made at once.
const STEP: u64 = 256 << 20;

/// For how long a lock on the file is waited for. Whoever can read it can hold one.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(100);
const INTERRUPTED: &str = "interrupted: nothing is changed";

pub(crate) fn run(args: GrowArgs) -> Result<(), Failure> {
    let control = Control::open()?;
    let device = Device::find(&control, &args.name)?;
    let path = &only_target(&device)?.table.path;
    let file = look(path).map_err(|error| Failure::path(path, &error))?;
    lock(&file, path)?;
    let device = Device::find(&control, &args.name)?;
    let target = only_target(&device)?;
    is_its_file(&control, &device, target, &file)?;
    let old = target.bytes();
    let new = wanted(&args.size, old).map_err(Failure::usage)?;
    if new == old {
        return print(&format!("{} has {} already\n", device.name, human(old)));
    }
    if new < old {
        return Err(Failure::failed(format!(
            "{} has {old} bytes: grow makes nothing smaller",
            device.name
        )));
    }
    if device.suspended {
        return Err(Failure::new(
            Exit::Busy,
            format!("{0} is suspended: dmsetup resume {0} first", device.name),
        ));
    }

    let end = target
        .table
        .offset
        .checked_add(new)
        .filter(|&end| i64::try_from(end).is_ok());
    let end = end.ok_or_else(|| Failure::usage("that is larger than any file"))?;
    interrupt::none(INTERRUPTED)?;
    let path = &target.table.path;
    if matches!(target.status, Some(Status::Block { .. })) {
        extend_mapped(&control, &device, &file, path, end)?;
    } else {
        extend(&file, path, end, device.read_only)?;
    }
    let table = Table {
        path: as_path(&file),
        ..target.table.clone()
    };
    let line = Line::only(new / 512, table.to_ioctl());
    let is_its_file = || is_its_file(&control, &device, target, &file);
    reload(&control, &device, line, is_its_file)?;
    print(&format!(
        "{}: from {} to {} (now make larger what is on it: resize2fs, xfs_growfs, …)\n",
        device.node().display(),
        human(old),
        human(new)
    ))
}

/// One at a time for each file: sizes are read and then used.
fn lock(file: &File, path: &Path) -> Result<(), Failure> {
    let since = Instant::now();
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) if since.elapsed() < PATIENCE => thread::sleep(PAUSE),
            Err(Errno::WOULDBLOCK) => {
                return Err(Failure::new(
                    Exit::Busy,
                    format!(
                        "{} is locked: another dmloop grow is at work on it, or a program holds a lock (lslocks shows which)",
                        printable(path)
                    ),
                ))
            }
            result => return result.map_err(|errno| Failure::path(path, &errno.into())),
        }
        interrupt::none(INTERRUPTED)?;
    }
}

/// That `file` is what the device is on: its path may lead elsewhere by now, or from here.
fn is_its_file(
    control: &Control,
    device: &Device,
    target: &Target,
    file: &File,
) -> Result<(), Failure> {
    let path = &target.table.path;
    let data = file
        .metadata()
        .map_err(|error| Failure::path(path, &error))?;
    let name = &device.name;
    let its = Identity::of_target(control, name, target.start)
        .map_err(|errno| Failure::errno(name, errno))?;
    match its {
        Some(its) if its == Identity::from(&data) => Ok(()),
        Some(_) => Err(Failure::failed(format!(
            "{} is not the file that {name} is on: something is mounted over it, or the device was made where other things are mounted",
            printable(path)
        ))),
        None => Err(Failure::failed(format!(
            "the kernel does not say which file {name} is on: its file system has failed, or the module is older than dmloop"
        ))),
    }
}

/// A path that leads to nothing but this very file. The kernel knows its real one.
fn as_path(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// The target of a device that is made of one.
fn only_target(device: &Device) -> Result<&Target, Failure> {
    match device.targets.as_slice() {
        [target] => Ok(target),
        _ => Err(Failure::failed(format!(
            "{} is made of several parts: dmsetup reload can change such a table",
            device.name
        ))),
    }
}

/// The size that is asked for, in bytes.
fn wanted(text: &str, old: u64) -> Result<u64, String> {
    let new = match text.strip_prefix('+') {
        Some(more) => old
            .checked_add(size::parse(more)?)
            .ok_or("that is larger than any file")?,
        None => size::parse(text)?,
    };
    if new % 512 == 0 {
        Ok(new)
    } else {
        Err(format!("{new} is not a multiple of 512"))
    }
}

/// Makes the file at least `end` bytes long.
fn extend(file: &File, path: &Path, end: u64, read_only: bool) -> Result<(), Failure> {
    let failed = |error| Failure::path(path, &error);
    let len = file.metadata().map_err(failed)?.len();
    if len >= end {
        return Ok(());
    }
    if read_only {
        return Err(Failure::failed(format!(
            "{} has {len} bytes, and the device is read-only: make the file larger yourself (truncate -s {end})",
            printable(path)
        )));
    }
    let file = File::options()
        .write(true)
        .open(as_path(file))
        .map_err(failed)?;
    file.set_len(end).map_err(failed)
}

/// Opens for reading what is there now, without waiting: it may be a FIFO.
fn look(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(open(path, flags, Mode::empty())?.into())
}

/// Has the kernel make the file of a block-mapped device at least `end` bytes long, which
/// nobody else can: bit by bit, since the device cannot be suspended meanwhile.
fn extend_mapped(
    control: &Control,
    device: &Device,
    file: &File,
    path: &Path,
    end: u64,
) -> Result<(), Failure> {
    let name = &device.name;
    let statvfs = fstatvfs(file).map_err(|errno| Failure::path(path, &errno.into()))?;
    // The device has to end with a block of the file system, or before.
    let file = file
        .metadata()
        .map_err(|error| Failure::path(path, &error))?;
    let size = end.next_multiple_of(file.blksize().max(1));
    let advice = format!(
        "dmloop detach {name}, then dmloop prepare --size {size} {}, then attach it again",
        quoted(path)
    );
    if device.read_only {
        return Err(Failure::failed(format!(
            "{name} is block-mapped and read-only: {advice}"
        )));
    }
    let mut len = file.len().min(size);
    // The kernel looks only as far as a step goes, and the others would have filled the disk.
    let free = statvfs.f_bavail.saturating_mul(statvfs.f_frsize);
    if size - len > free {
        return Err(Failure::errno(
            &format!("{name} stays as it is"),
            Errno::NOSPC,
        ));
    }
    let work = Work::begin(
        false,
        "the device is as large as it was, and its file may be longer",
    );
    work.part("growing", size - len);
    // Once in any case: the kernel may not know of what is there.
    loop {
        let next = size.min(len.saturating_add(STEP));
        if let Err(errno) = control.message(name, 0, &format!("grow {next}")) {
            work.end();
            return Err(match errno {
                Errno::OPNOTSUPP | Errno::INVAL => Failure::failed(format!(
                    "{name} is block-mapped, and files cannot be made longer here while they are: {advice}"
                )),
                errno => Failure::errno(&format!("{name} stays as it is"), errno),
            });
        }
        work.done(usize::try_from(next - len).unwrap_or(0), None)?;
        len = next;
        if len == size {
            break;
        }
    }
    work.end();
    Ok(())
}

/// Puts `line` in the place of the table, if it still is the right one. The old one stays until
/// the new one is loaded.
fn reload(
    control: &Control,
    device: &Device,
    line: Line,
    is_right: impl Fn() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let name = &device.name;
    let log = Log::from_now();
    if let Err(errno) = control.load(name, device.read_only, &[line]) {
        let why = log
            .refusal(device.number)
            .map_or_else(String::new, |why| format!(": {why}"));
        return Err(Failure::errno(
            &format!("{name} stays as it is, the kernel has refused the new table{why}"),
            errno,
        ));
    }
    // Another device may have the name by now.
    if let Err(failure) = is_right() {
        let _ = control.clear(name);
        return Err(failure);
    }
    // This suspends it, puts the new table in place, and lets it go on.
    let Err(errno) = control.resume(name, device.read_only) else {
        return Ok(());
    };
    // It may have got no further than to be suspended, which would stop everybody.
    let _ = control.clear(name);
    let state = match control.resume(name, device.read_only) {
        Ok(()) => format!("{name} stays as it is, it cannot be switched to the new table"),
        Err(_) => format!("{name} is suspended: dmsetup resume {name}"),
    };
    Err(Failure::errno(&state, errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(wanted("1M", 512), Ok(1 << 20));
        assert_eq!(wanted("+1M", 512), Ok((1 << 20) + 512));
        assert_eq!(wanted("+0", 512), Ok(512));
        for text in ["", "+", "1000", "-1M", "++1M", "+9223372036854775807"] {
            assert!(wanted(text, 1024).is_err(), "{text}");
        }
    }
}
