// SPDX-License-Identifier: GPL-2.0

//! `dmloop detach`

use crate::{
    cli::DetachArgs,
    control::{flag, Control},
    device::Device,
    failure::{Exit, Failure},
    interrupt, note, partscan, users,
};
use rustix::io::Errno;
use std::{thread, time::Duration};

/// For how long a device is tried to be removed that nobody seems to use: udev opens
/// devices to look at them.
const PATIENCE: u32 = 50;
const PAUSE: Duration = Duration::from_millis(100);

pub(crate) fn run(args: DetachArgs) -> Result<(), Failure> {
    let control = Control::open()?;
    let mut worst = None;
    let mut failed = |failure: Failure| {
        note(&failure.message);
        worst.get_or_insert(failure.exit);
    };
    let devices = if args.all {
        Device::all(&control)?
    } else {
        let mut devices = Vec::new();
        for word in &args.names {
            match Device::find(&control, word) {
                Ok(device) => devices.push(device),
                Err(_) if is_unfinished(&control, word) => remove(&control, word, args.deferred)
                    .unwrap_or_else(|errno| failed(Failure::errno(word, errno))),
                Err(failure) => failed(failure),
            }
        }
        devices
    };
    for device in devices {
        interrupt::none("interrupted: not all are detached")?;
        if let Err(failure) = detach(&control, &device, args.deferred) {
            failed(failure);
        }
    }
    match worst {
        None => Ok(()),
        Some(exit) => Err(Failure::new(exit, "")),
    }
}

/// Whether it is a device whose maker was killed: it has no active table, and none is
/// loaded but of this target.
fn is_unfinished(control: &Control, name: &str) -> bool {
    let status = || control.status(name, flag::STATUS_TABLE | flag::QUERY_INACTIVE);
    !name.contains('/')
        && control
            .info(name)
            .is_ok_and(|header| header.flags & flag::ACTIVE_PRESENT == 0)
        && status().is_ok_and(|(_, lines)| lines.iter().all(|line| line.target == "loop"))
}

/// Detaches one device, its partitions first.
fn detach(control: &Control, device: &Device, deferred: bool) -> Result<(), Failure> {
    for part in partscan::parts_of(control, device) {
        remove(control, &part, deferred).map_err(|errno| match errno {
            Errno::BUSY => Failure::new(
                Exit::Busy,
                format!(
                    "{}: its partition {part} is in use (lsblk, umount or swapoff it)",
                    device.name
                ),
            ),
            errno => Failure::errno(&format!("cannot remove {part}"), errno),
        })?;
    }
    remove(control, &device.name, deferred).map_err(|errno| match errno {
        Errno::BUSY => busy(device),
        Errno::NXIO => Failure::new(
            Exit::NoDevice,
            format!("there is no device {} any more", device.name),
        ),
        errno => Failure::errno(&format!("cannot detach {}", device.name), errno),
    })
}

fn busy(device: &Device) -> Failure {
    let users = users::of(device);
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

/// Removes a device, or has it removed when it is closed.
fn remove(control: &Control, name: &str, deferred: bool) -> Result<(), Errno> {
    let mut tries = 0;
    loop {
        match control.remove(name, deferred) {
            Err(Errno::BUSY) if tries < PATIENCE && is_passing(name) => {
                tries += 1;
                thread::sleep(PAUSE);
            }
            result => return result,
        }
    }
}

/// Whether it may be udev that has the device open: a mount, swap, or another device would
/// stay.
fn is_passing(name: &str) -> bool {
    let Ok(control) = Control::open() else {
        return false;
    };
    match Device::find(&control, name) {
        Ok(device) => !users::of(&device).iter().any(|user| !user.contains("udev")),
        // A partition: its holders are few, and waiting is all that can be done.
        Err(_) => true,
    }
}
