// SPDX-License-Identifier: GPL-2.0

//! `dmloop detach`

use crate::{
    attach::CHECK,
    cli::DetachArgs,
    control::{flag, Control},
    device::Device,
    failure::{Exit, Failure},
    interrupt, note, partscan, users,
};
use rustix::{
    fs::{major, minor},
    io::Errno,
};
use std::{path::Path, thread, time::Duration};

/// For how long a device is tried to be removed that nobody seems to use: udev opens
/// devices to look at them.
const PATIENCE: u32 = 50;
const PAUSE: Duration = Duration::from_millis(100);
/// How long it takes at most to finish a device whose table is loaded.
const GRACE: Duration = Duration::from_secs(1);

pub(crate) fn run(args: DetachArgs) -> Result<(), Failure> {
    let control = Control::open()?;
    let mut failures = Vec::new();
    let mut devices = if args.all {
        all(&control)?
    } else {
        let mut devices = Vec::new();
        for word in &args.names {
            match Device::find_any(&control, word) {
                Ok(device) => devices.push(device),
                Err(_) if has_no_table(&control, word) => {
                    if let Err(errno) = remove(&control, word, args.deferred) {
                        failures.push(Failure::errno(word, errno));
                    }
                }
                Err(failure) => failures.push(failure),
            }
        }
        devices
    };
    // Where one stands on another, that can go when this one has gone.
    loop {
        let mut left = Vec::new();
        let mut why = Vec::new();
        let count = devices.len();
        for device in devices {
            if let Err(failure) = interrupt::none("interrupted: not all are detached") {
                failures.insert(0, failure);
                failures.extend(why);
                return told(&failures);
            }
            if let Err(failure) = detach(&control, &device, args.deferred) {
                left.push(device);
                why.push(failure);
            }
        }
        if left.is_empty() || left.len() == count {
            failures.extend(why);
            break;
        }
        devices = left;
    }
    told(&failures)
}

/// Tells all of them; the first decides how this ends.
fn told(failures: &[Failure]) -> Result<(), Failure> {
    for failure in failures {
        note(&failure.message);
    }
    match failures.first() {
        None => Ok(()),
        Some(failure) => Err(Failure::new(failure.exit, "")),
    }
}

/// All devices, also those that were never finished, unless somebody is at it.
fn all(control: &Control) -> Result<Vec<Device>, Failure> {
    let mut devices = Device::all(control)?;
    if devices.iter().any(|device| device.unfinished) {
        thread::sleep(GRACE);
        devices = Device::all(control)?;
    }
    // Those of `check` are ours even without a table.
    let names = control
        .names()
        .map_err(|errno| Failure::errno("cannot list devices", errno))?;
    for (name, _) in names {
        let maker = name
            .strip_prefix(CHECK)
            .map(|pid| Path::new("/proc").join(pid));
        if maker.is_some_and(|maker| !maker.exists()) && has_no_table(control, &name) {
            // It keeps no file in use.
            let _ = control.remove(&name, false);
        }
    }
    Ok(devices)
}

/// Whether it is a device whose maker was killed before it loaded a table.
fn has_no_table(control: &Control, name: &str) -> bool {
    let lines = || control.status(name, flag::STATUS_TABLE | flag::QUERY_INACTIVE);
    !name.contains('/')
        && control
            .info(name)
            .is_ok_and(|header| header.flags & flag::ACTIVE_PRESENT == 0)
        && lines().is_ok_and(|(_, lines)| lines.is_empty())
}

/// Detaches one device, its partitions first: all or none, as far as can be seen.
fn detach(control: &Control, device: &Device, deferred: bool) -> Result<(), Failure> {
    let parts = partscan::parts_of(control, device);
    if !deferred && !parts.is_empty() {
        for part in &parts {
            if !comes_free(control, part, 0) {
                return Err(part_busy(control, device, part));
            }
        }
        // Each of them has it open.
        if !comes_free(control, &device.name, parts.len()) {
            return Err(busy(device, &parts));
        }
    }
    for part in &parts {
        remove(control, part, deferred).map_err(|errno| match errno {
            Errno::BUSY => part_busy(control, device, part),
            errno => Failure::errno(&format!("cannot remove {part}"), errno),
        })?;
    }
    remove(control, &device.name, deferred).map_err(|errno| match errno {
        Errno::BUSY => busy(device, &[]),
        Errno::NXIO => Failure::new(
            Exit::NoDevice,
            format!("there is no device {} any more", device.name),
        ),
        errno => Failure::errno(&format!("cannot detach {}", device.name), errno),
    })
}

fn part_busy(control: &Control, device: &Device, part: &str) -> Failure {
    let users = number(control, part).map_or_else(Vec::new, |number| users::of(number, &[]));
    let why = if users.is_empty() {
        "lsblk, umount or swapoff it".to_owned()
    } else {
        users.join(", ")
    };
    Failure::new(
        Exit::Busy,
        format!("{}: its partition {part} is in use: {why}", device.name),
    )
}

/// `parts` are users that would go with it.
fn busy(device: &Device, parts: &[String]) -> Failure {
    let users = users::of(device.number, parts);
    let why = if users.is_empty() {
        "something has it open".to_owned()
    } else {
        users.join(", ")
    };
    Failure::new(
        Exit::Busy,
        format!(
            "{} is in use: {why}; --deferred removes it as soon as it no longer is",
            device.name
        ),
    )
}

/// Whether a device is, or soon will be, open no more than `most` times.
fn comes_free(control: &Control, name: &str, most: usize) -> bool {
    let mut tries = 0;
    loop {
        // If it is gone, that will be seen when it is to be removed.
        let count = control.info(name).map_or(0, |header| header.open_count);
        if usize::try_from(count).is_ok_and(|count| count <= most) {
            return true;
        }
        // Those who may have it open are among its users.
        if tries == PATIENCE || (most == 0 && !is_passing(control, name)) {
            return false;
        }
        tries += 1;
        thread::sleep(PAUSE);
    }
}

/// Removes a device, or has it removed when it is closed.
fn remove(control: &Control, name: &str, deferred: bool) -> Result<(), Errno> {
    let mut tries = 0;
    loop {
        match control.remove(name, deferred) {
            Err(Errno::BUSY) if tries < PATIENCE && is_passing(control, name) => {
                tries += 1;
                thread::sleep(PAUSE);
            }
            result => return result,
        }
    }
}

/// Whether it may be udev that has the device open: a mount, swap, or another device would
/// stay.
fn is_passing(control: &Control, name: &str) -> bool {
    let users = number(control, name).map_or_else(Vec::new, |number| users::of(number, &[]));
    !users.iter().any(|user| !user.contains("udev"))
}

fn number(control: &Control, name: &str) -> Option<(u32, u32)> {
    let header = control.info(name).ok()?;
    Some((major(header.dev), minor(header.dev)))
}
