// SPDX-License-Identifier: GPL-2.0

//! What a report tells: of the machine, and of each device.

use crate::{
    control::{flag, Control},
    device::Device,
    extents,
    failure::Failure,
    kmsg::Log,
    mounts,
    printable::printable,
};
use rustix::{
    fs::{ioctl_getflags, statvfs},
    system::uname,
};
use std::{
    fmt::Write,
    fs::{self, File},
    os::unix::fs::MetadataExt,
    path::Path,
};

/// A file of the archive: name, what it is, contents.
pub(crate) type Piece = (String, &'static str, String);

/// Options of the kernel that may matter begin with these words.
const CONFIG: &str = "RUST SWAP BLK_DEV_DM DM_ BLK_ EXT4 XFS BTRFS F2FS FAT_FS \
    VFAT FS_ENCRYPTION FS_VERITY FS_DAX PREEMPT KASAN LOCKDEP PROVE_LOCKING MODULE CC_VERSION \
    RUSTC_VERSION ZONED";
/// What makes a line of the kernel log interesting, between bars.
const LOG: &str = "dm_loop|dm-loop|device-mapper|EXT4-fs|XFS (|BTRFS|F2FS-fs|FAT-fs|\
    I/O error|BUG|WARNING|Oops|Call Trace|rust_kernel";
/// Lines of it, and of a layout.
const MOST_LINES: usize = 2000;

/// Everything about the machine.
pub(crate) fn machine(control: &Control) -> Vec<Piece> {
    let piece = |name: &str, what, text| (name.to_owned(), what, text);
    vec![
        piece(
            "versions",
            "kernel, module, target and tool",
            versions(control),
        ),
        piece("config", "options of the kernel that may matter", config()),
        piece(
            "log",
            "recent lines of the kernel log about devices and file systems",
            log(),
        ),
    ]
}

/// Everything about one device.
pub(crate) fn about(control: &Control, device: &Device) -> Vec<Piece> {
    let folder = format!("device-{}", device.name);
    let mut pieces = vec![
        (
            format!("{folder}/table"),
            "what dmsetup table, status and info say",
            tables(control, device),
        ),
        (
            format!("{folder}/queue"),
            "limits and statistics of the device",
            queue(&device.sysfs()),
        ),
    ];
    for (number, target) in device.targets.iter().enumerate() {
        let path = &target.table.path;
        pieces.push((
            format!("{folder}/file-{number}"),
            "mount, attributes and size of the file",
            file(path),
        ));
        pieces.push((
            format!("{folder}/layout-{number}"),
            "where the file lies on its disk",
            layout(path),
        ));
    }
    pieces
}

fn versions(control: &Control) -> String {
    let name = uname();
    let mut text = format!(
        "dmloop {}\nkernel {} {} {}\n",
        env!("CARGO_PKG_VERSION"),
        name.release().to_string_lossy(),
        name.version().to_string_lossy(),
        name.machine().to_string_lossy()
    );
    match control.target_version() {
        Ok(Some([major, minor, patch])) => {
            let _ = writeln!(text, "target loop {major}.{minor}.{patch}");
        }
        _ => text.push_str("target loop: not loaded\n"),
    }
    for file in [
        "/proc/version",
        "/etc/os-release",
        "/proc/sys/kernel/tainted",
        "/sys/module/dm_loop/srcversion",
        "/sys/module/dm_loop/taint",
        "/sys/module/dm_loop/refcnt",
    ] {
        if let Ok(contents) = fs::read_to_string(file) {
            let _ = write!(text, "\n{file}:\n{contents}");
        }
    }
    text
}

fn config() -> String {
    let path = format!("/boot/config-{}", uname().release().to_string_lossy());
    let text = fs::read_to_string(&path).or_else(|_| {
        let mut text = String::new();
        let packed = File::open("/proc/config.gz")?;
        std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(packed), &mut text)?;
        Ok::<_, std::io::Error>(text)
    });
    let Ok(text) = text else {
        return format!("neither {path} nor /proc/config.gz is there\n");
    };
    let matters = |line: &&str| {
        let name = line.trim_start_matches("# ").strip_prefix("CONFIG_");
        name.is_some_and(|name| {
            CONFIG
                .split_ascii_whitespace()
                .any(|prefix| name.starts_with(prefix))
        })
    };
    lines(text.lines().filter(matters))
}

fn log() -> String {
    let all = Log::from_beginning().lines();
    let found: Vec<&String> = all
        .iter()
        .filter(|line| LOG.split('|').any(|word| line.contains(word)))
        .collect();
    lines(found.iter().skip(found.len().saturating_sub(MOST_LINES)))
}

fn lines(all: impl IntoIterator<Item = impl std::fmt::Display>) -> String {
    let mut text = String::new();
    for line in all {
        let _ = writeln!(text, "{line}");
    }
    text
}

fn tables(control: &Control, device: &Device) -> String {
    let mut text = format!("{device:#?}\n");
    for (what, flags) in [
        ("table", flag::STATUS_TABLE),
        ("status", 0),
        ("loaded table", flag::STATUS_TABLE | flag::QUERY_INACTIVE),
    ] {
        let _ = writeln!(text, "\n{what}:");
        for line in control
            .status(&device.name, flags)
            .map(|(_, lines)| lines)
            .unwrap_or_default()
        {
            let _ = writeln!(
                text,
                "{} {} {} {}",
                line.start,
                line.len,
                line.target,
                String::from_utf8_lossy(&line.rest)
            );
        }
    }
    let _ = writeln!(
        text,
        "\nstands on: {:?}",
        control.deps(&device.name).unwrap_or_default()
    );
    let _ = writeln!(text, "used by: {:?}", crate::users::of(device.number, &[]));
    text
}

/// Every attribute in a folder of sysfs, and in its folder `queue`.
fn queue(folder: &Path) -> String {
    let mut text = String::new();
    for folder in [folder.to_owned(), folder.join("queue"), folder.join("dm")] {
        let mut entries: Vec<_> = fs::read_dir(&folder)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .collect();
        entries.sort();
        for path in entries.iter().filter(|path| path.is_file()) {
            if let Ok(value) = fs::read_to_string(path) {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                let _ = writeln!(text, "{name}: {}", value.trim_end());
            }
        }
    }
    text
}

fn file(path: &Path) -> String {
    let mut text = format!("{}\n", printable(path));
    match fs::metadata(path) {
        Ok(data) => {
            let _ = writeln!(
                text,
                "size {} blocks {} mode {:o} links {} uid {} gid {} inode {} device {:#x} mtime {}",
                data.size(),
                data.blocks(),
                data.mode(),
                data.nlink(),
                data.uid(),
                data.gid(),
                data.ino(),
                data.dev(),
                data.mtime()
            );
        }
        Err(error) => {
            let _ = writeln!(text, "{error}");
        }
    }
    if let Ok(flags) = File::open(path).and_then(|file| Ok(ioctl_getflags(file)?)) {
        let _ = writeln!(text, "attributes {flags:?}");
    }
    if let Ok(stat) = statvfs(path) {
        let _ = writeln!(
            text,
            "file system: block size {} blocks {} free {}",
            stat.f_bsize, stat.f_blocks, stat.f_bfree
        );
    }
    if let Some(mount) = mounts::of(path) {
        let _ = writeln!(
            text,
            "mount: {} on {} type {} ({}; {}) device {}:{}",
            printable(&mount.source),
            printable(&mount.point),
            mount.fs_type,
            mount.options,
            mount.super_options,
            mount.number.0,
            mount.number.1
        );
        let disk =
            Path::new("/sys/dev/block").join(format!("{}:{}", mount.number.0, mount.number.1));
        // A partition has its queue in the folder above.
        for folder in [disk.join("queue"), disk.join("../queue")] {
            if folder.is_dir() {
                text.push_str("\nits disk:\n");
                text.push_str(&queue(&folder));
                break;
            }
        }
    }
    text
}

fn layout(path: &Path) -> String {
    let layout = File::open(path)
        .map_err(|error| Failure::path(path, &error))
        .and_then(|file| extents::of(&file, path));
    match layout {
        Ok(layout) => {
            let mut text = format!(
                "{} extents: place in the file, on the disk, length\n",
                layout.0.len()
            );
            for extent in layout.0.iter().take(MOST_LINES) {
                let _ = writeln!(
                    text,
                    "{} {} {} {}",
                    extent.logical,
                    extent.physical,
                    extent.len,
                    extent.kind.name()
                );
            }
            text
        }
        Err(failure) => format!("{}\n", failure.message),
    }
}
