// SPDX-License-Identifier: GPL-2.0

//! Who uses a device: what to do before it can be detached.

use crate::{backing::swap_areas, mounts, printable::printable};
use rustix::fs::makedev;
use std::{fs, os::unix::fs::MetadataExt, path::Path};

/// Who uses the device of this number, in words that say how to end that. Empty if nobody is
/// found. Devices `but` do not count.
pub(crate) fn of(device: (u32, u32), but: &[String]) -> Vec<String> {
    let mut users = Vec::new();
    let number = makedev(device.0, device.1);
    let is_it = |path: &Path| fs::metadata(path).is_ok_and(|data| data.rdev() == number);
    for mount in mounts::all() {
        // btrfs has device numbers of its own.
        if mount.number == device || is_it(&mount.source) {
            users.push(format!(
                "mounted at {} (umount it)",
                printable(&mount.point)
            ));
        }
    }
    users.extend(
        swap_areas()
            .iter()
            .filter(|area| is_it(area))
            .map(|_| "used for swap (swapoff)".to_owned()),
    );
    users.extend(
        holders(device)
            .iter()
            .filter(|name| !but.contains(name))
            .map(|name| format!("used by the device {name} (remove that first)")),
    );
    if users.is_empty() {
        users.extend(openers(number));
    }
    users
}

/// The names of devices that stand on `device`.
pub(crate) fn holders((major, minor): (u32, u32)) -> Vec<String> {
    let Ok(entries) = fs::read_dir(format!("/sys/dev/block/{major}:{minor}/holders")) else {
        return Vec::new();
    };
    let name = |entry: fs::DirEntry| {
        let name = fs::read_to_string(entry.path().join("dm/name"));
        name.map_or_else(
            |_| entry.file_name().to_string_lossy().into_owned(),
            |name| name.trim_end().to_owned(),
        )
    };
    entries.flatten().map(name).collect()
}

/// Programs that have the device `number` open.
fn openers(number: u64) -> Vec<String> {
    let mut found = Vec::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(files) = fs::read_dir(process.path().join("fd")) else {
            continue;
        };
        let open =
            |file: fs::DirEntry| fs::metadata(file.path()).is_ok_and(|data| data.rdev() == number);
        if files.flatten().any(open) {
            let program = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            let pid = process.file_name().to_string_lossy().into_owned();
            found.push(format!("open in {} (process {pid})", program.trim_end()));
        }
    }
    found
}
