// SPDX-License-Identifier: GPL-2.0

//! Who uses a device: what to do before it can be detached.

use crate::{backing::swap_areas, device::Device, mounts, printable::printable};
use rustix::fs::makedev;
use std::{fs, os::unix::fs::MetadataExt, path::Path};

/// Who uses `device`, in words that say how to end that. Empty if nobody is found.
pub(crate) fn of(device: &Device) -> Vec<String> {
    let mut users = Vec::new();
    let number = makedev(device.number.0, device.number.1);
    let is_it = |path: &Path| fs::metadata(path).is_ok_and(|data| data.rdev() == number);
    for mount in mounts::all() {
        // btrfs has device numbers of its own.
        if mount.number == device.number || is_it(&mount.source) {
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
            .map(|name| format!("used by the device {name} (remove that first)")),
    );
    if users.is_empty() {
        users.extend(openers(number));
    }
    users
}

/// The names of devices that stand on `device`.
pub(crate) fn holders(device: &Device) -> Vec<String> {
    let Ok(entries) = fs::read_dir(device.sysfs().join("holders")) else {
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
