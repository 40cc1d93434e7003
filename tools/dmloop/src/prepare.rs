// SPDX-License-Identifier: GPL-2.0

//! `dmloop prepare`
//!
//! A file is worked on under a write lease: nobody else has it open, and who opens it waits
//! until the piece at hand is written, and ends the work. So what is read and written back
//! is never older than what is there.

use crate::{
    backing::Backing,
    check,
    cli::PrepareArgs,
    control::Control,
    copy,
    device::Device,
    extents::{self, Kind},
    failure::{Exit, Failure},
    note, print,
    printable::{printable, quoted},
    reason::Reason,
    sys::Lease,
    work::Work,
    write_out,
};
use rustix::{
    fd::AsFd,
    fs::{
        fallocate, fstatfs, fstatvfs, ioctl_getflags, statx, AtFlags, FallocateFlags, IFlags,
        StatxAttributes, StatxFlags, CWD,
    },
    io::Errno,
};
use std::{
    fs::{self, File},
    io::ErrorKind,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// `f_type` of the file systems that files are block-mapped on, and whether room should be
/// set aside before it is written: f2fs would put it elsewhere all the same, and vfat cannot.
const KNOWN: &[(i64, bool)] = &[
    (0xef53, true),
    (0x5846_5342, true),
    (0x9123_683e, true),
    (0xf2f5_2010, false),
    (0x4d44, false),
];

pub(crate) fn run(args: PrepareArgs) -> Result<(), Failure> {
    let found = fs::metadata(&args.file);
    let kept = match (&found, args.size) {
        (Err(_), _) => "no file is made",
        (Ok(_), Some(_)) => "the file begins with what it did contain, and may be longer",
        (Ok(_), None) => "the file contains what it did before",
    };
    let work = Work::begin(args.quiet, kept);
    let result = match found {
        Err(error) if error.kind() == ErrorKind::NotFound => match fs::read_link(&args.file) {
            Ok(to) => Err(Failure::failed(format!(
                "{} is a link to {}, which does not exist: prepare that",
                printable(&args.file),
                printable(&to)
            ))),
            Err(_) => create(&args, &work),
        },
        _ => convert(&args, &work),
    };
    work.end();
    verdict(&result?, args.quiet)
}

/// Makes a new file.
fn create(args: &PrepareArgs, work: &Work) -> Result<PathBuf, Failure> {
    let Some(size) = args.size.filter(|&size| size > 0) else {
        return Err(Failure::failed(format!(
            "{} does not exist: dmloop prepare --size SIZE {} makes it",
            printable(&args.file),
            quoted(&args.file)
        )));
    };
    let name = args.file.file_name();
    let folder = args
        .file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let folder = fs::canonicalize(folder).map_err(|error| Failure::path(folder, &error))?;
    let path = folder.join(name.ok_or_else(|| Failure::failed("that is no name of a file"))?);
    let open = File::open(&folder).map_err(|error| Failure::path(&folder, &error))?;
    is_known(&open, &path)?;
    copy::create(&path, size, work)?;
    Ok(path)
}

/// Converts a file.
fn convert(args: &PrepareArgs, work: &Work) -> Result<PathBuf, Failure> {
    let backing = Backing::new(&args.file)?;
    is_free(&backing)?;
    is_plain(&backing)?;
    let file = File::options()
        .read(true)
        .write(true)
        .open(&backing.path)
        .map_err(|error| Failure::path(&backing.path, &error))?;
    is_known(&file, &backing.path)?;
    let lease = take_lease(&file, &backing)?;
    // From here on nobody changes it.
    let backing = backing.again(&file)?;
    let (path, old_size) = (&backing.path, backing.data.len());
    let size = args.size.unwrap_or(old_size);
    if size < old_size {
        return Err(Failure::failed(format!(
            "{} has {old_size} bytes: prepare does not make files smaller (truncate does)",
            backing.name()
        )));
    }
    if size == 0 {
        return Err(Failure::failed(format!(
            "{} is empty: --size says how large it should be",
            backing.name()
        )));
    }
    let flags = ioctl_getflags(&file).unwrap_or(IFlags::empty());
    if copy::is_on_btrfs(&file) && !flags.contains(IFlags::NOCOW) {
        if backing.data.nlink() > 1 {
            return Err(Failure::failed(format!(
                "{} has {} names: a copy that is not copied on write would replace only one of them. Remove the others first",
                backing.name(),
                backing.data.nlink()
            )));
        }
        copy::replace(&file, path, size, &lease, work)?;
        return Ok(backing.path);
    }
    // What is as it should be is not touched.
    if size == old_size && unwritten(&file, path, size)?.is_empty() {
        return Ok(backing.path);
    }
    has_room(&file, path, size)?;
    if let Err(failure) = fill_up(&file, path, (old_size, size), &lease, work) {
        // As long as it was, unless others have it by now: the room that it got meanwhile
        // does not show. Who interrupts it may want to go on.
        if failure.exit == Exit::Failed && !lease.is_wanted() {
            let _ = file.set_len(old_size);
        }
        return Err(failure);
    }
    if size == old_size {
        // Nothing has changed that a backup would want to know of.
        let times = fs::FileTimes::new();
        let times = backing
            .data
            .modified()
            .map_or(times, |time| times.set_modified(time));
        let _ = file.set_times(times);
    }
    Ok(backing.path)
}

/// Keeps everybody else from the file.
fn take_lease<'a>(file: &'a File, backing: &Backing) -> Result<Lease<'a>, Failure> {
    Lease::take(file.as_fd()).map_err(|errno| match errno {
        Errno::AGAIN => {
            backing.busy("is open in another program: close it there (fuser -v shows which it is)")
        }
        Errno::ACCESS => Failure::failed(format!(
            "{} is not yours: only its owner and root may do that",
            backing.name()
        )),
        errno => Failure::errno(
            &format!("{} cannot be kept from others meanwhile", backing.name()),
            errno,
        ),
    })
}

/// The parts of the file that have to be written.
fn unwritten(file: &File, path: &Path, size: u64) -> Result<Vec<(u64, u64)>, Failure> {
    let needs = |kind| matches!(kind, Kind::Unwritten | Kind::Shared | Kind::Unknown);
    Ok(extents::of(file, path)?.ranges(size, needs))
}

/// That there can be room for what the file has no blocks for yet. Some file systems can set
/// nothing aside, and what they cannot keep, others would have filled the disk for.
fn has_room(file: &File, path: &Path, size: u64) -> Result<(), Failure> {
    let failed = |error| Failure::path(path, &error);
    let allocated = file
        .metadata()
        .map_err(failed)?
        .blocks()
        .saturating_mul(512);
    let stat = fstatvfs(file).map_err(|errno| failed(errno.into()))?;
    // root may have some that others may not.
    if size.saturating_sub(allocated) > stat.f_bfree.saturating_mul(stat.f_frsize) {
        return Err(failed(Errno::NOSPC.into()));
    }
    Ok(())
}

/// Makes the file longer, from the first of `sizes` to the second, and writes what is not.
fn fill_up(
    file: &File,
    path: &Path,
    (old_size, size): (u64, u64),
    lease: &Lease<'_>,
    work: &Work,
) -> Result<(), Failure> {
    let failed = |error| Failure::path(path, &error);
    if size > old_size {
        file.set_len(size).map_err(failed)?;
    }
    reserve(file, size).map_err(|errno| failed(errno.into()))?;
    let ranges = unwritten(file, path, size)?;
    write_out::rewrite(file, path, &ranges, lease, work)
}

/// Sets aside room for all of the file, so that there is an end early if it is too little.
fn reserve(file: &File, size: u64) -> Result<(), Errno> {
    let stat = fstatfs(file)?;
    let wanted = KNOWN
        .iter()
        .any(|(kind, reserve)| *kind == stat.f_type && *reserve);
    match wanted.then(|| fallocate(file, FallocateFlags::empty(), 0, size)) {
        // ext2 and ext3 know no blocks without contents.
        None | Some(Ok(()) | Err(Errno::OPNOTSUPP)) => Ok(()),
        Some(Err(errno)) => Err(errno),
    }
}

/// That no device and no swap is on the file.
fn is_free(backing: &Backing) -> Result<(), Failure> {
    if backing.is_swap() {
        return Err(backing.busy("is in use for swap: swapoff it first"));
    }
    // Without the right to ask, the lease will tell.
    if let Ok(control) = Control::open() {
        let devices = Device::on_file(&control, Device::all(&control)?, &backing.data);
        if let Some(device) = devices.first() {
            return Err(backing.busy(&format!("is attached as {}: detach it first", device.name)));
        }
    }
    Ok(())
}

/// That the file system is one that files are block-mapped on.
fn is_known(file: &File, path: &Path) -> Result<(), Failure> {
    let stat = fstatfs(file).map_err(|errno| Failure::path(path, &errno.into()))?;
    if KNOWN.iter().any(|(kind, _)| *kind == stat.f_type) {
        Ok(())
    } else {
        Err(impossible(path, "fs_unsupported"))
    }
}

/// That the file is none of those that stay what they are, some of which nobody can open to
/// write.
fn is_plain(backing: &Backing) -> Result<(), Failure> {
    let answer = statx(
        CWD,
        &backing.path,
        AtFlags::empty(),
        StatxFlags::BASIC_STATS,
    );
    let attributes = answer.map_or(StatxAttributes::empty(), |stat| stat.stx_attributes);
    for (attribute, token) in [
        (StatxAttributes::ENCRYPTED, "encrypted"),
        (StatxAttributes::VERITY, "verity"),
        (StatxAttributes::DAX, "dax"),
    ] {
        if attributes.contains(attribute) {
            return Err(impossible(&backing.path, token));
        }
    }
    Ok(())
}

/// A reason that is not mended here.
fn impossible(path: &Path, token: &str) -> Failure {
    let name = printable(path);
    let text = match Reason::of(token) {
        Some(reason) => format!(
            "{name} cannot be prepared, because {}: {}",
            reason.because,
            reason.mend(path)
        ),
        None => format!("{name} cannot be prepared: {token}"),
    };
    Failure::new(Exit::FileMapped, text)
}

/// What the kernel says about the file now.
fn verdict(path: &Path, quiet: bool) -> Result<(), Failure> {
    let backing = Backing::new(path)?;
    let limit = backing.better_limit(0, backing.data.len());
    let sectors = backing.sectors(0, limit);
    if let Some(limit) = limit {
        note(&format!(
            "{} does not end with a block of its file system: --sizelimit {limit} leaves out the rest when it is attached",
            backing.name()
        ));
    }
    let not_asked = |failure: Failure| {
        note(&format!(
            "{} is written out; the kernel was not asked: {}",
            backing.name(),
            failure.message
        ));
        Ok(())
    };
    let control = match Control::open() {
        Ok(control) => control,
        Err(failure) => return not_asked(failure),
    };
    match sectors.and_then(|sectors| check::verdict(&control, &backing, 0, sectors)) {
        Ok((text, mapped)) => {
            if !quiet || !mapped {
                print(&text)?;
            }
            if mapped {
                Ok(())
            } else {
                Err(Failure::new(Exit::FileMapped, ""))
            }
        }
        Err(failure) if failure.exit == Exit::NoTarget => not_asked(failure),
        Err(failure) => Err(failure),
    }
}
