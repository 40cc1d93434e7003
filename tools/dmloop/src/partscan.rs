// SPDX-License-Identifier: GPL-2.0

//! Devices of partitions. The kernel does not look for partitions on device-mapper's
//! devices, so each is a linear one on top, as kpartx makes them.

use crate::{
    attach::remove,
    control::{flag, Control, Line},
    device::Device,
    failure::{Exit, Failure},
    interrupt, note,
    partitions::{find, Disk, Partition},
    udev,
};
use rustix::io::Errno;
use std::{fs::File, os::unix::fs::FileExt};

struct Node(File);

impl Disk for Node {
    fn read(&self, offset: u64, len: usize) -> Option<Vec<u8>> {
        let mut buffer = vec![0; len];
        self.0.read_exact_at(&mut buffer, offset).ok()?;
        Some(buffer)
    }
}

/// Makes a device of each partition of the device `name`.
pub(crate) fn add(control: &Control, name: &str) -> Result<(), Failure> {
    let device = Device::find(control, name)?;
    let path = device.node();
    let node = File::open(&path).map_err(|error| Failure::path(&path, &error))?;
    let block = rustix::fs::ioctl_blksszget(&node).map_err(|errno| Failure::errno(name, errno))?;
    let sectors = device
        .targets
        .iter()
        .map(|target| target.start.saturating_add(target.len))
        .max();
    let parts = find(&Node(node), block.into(), sectors.unwrap_or(0));
    if parts.is_empty() {
        note(&format!("{name} has no partitions"));
    }
    let mut made = Vec::new();
    for part in parts {
        let result = make(control, &device, part).map(|part| made.push(part));
        if let Err(failure) = result.and_then(|()| interrupt::none("interrupted")) {
            // All or none.
            made.iter().for_each(|part| remove(control, part));
            return Err(failure);
        }
    }
    Ok(())
}

fn make(control: &Control, device: &Device, part: Partition) -> Result<String, Failure> {
    let name = format!("{}p{}", device.name, part.number);
    let failed = |errno| match errno {
        Errno::BUSY => Failure::new(Exit::Busy, format!("there is a device {name} already")),
        errno => Failure::errno(&format!("cannot make {name}"), errno),
    };
    let line = Line {
        start: 0,
        len: part.len,
        target: "linear".to_owned(),
        rest: format!("{} {}", device.number_text(), part.start).into_bytes(),
    };
    let number = control
        .create(&name, &uuid(device, part.number), device.read_only)
        .map_err(failed)?;
    let result = control
        .load(&name, device.read_only, &[line])
        .and_then(|()| control.resume(&name, device.read_only));
    if let Err(errno) = result {
        remove(control, &name);
        return Err(failed(errno));
    }
    udev::ensure_node(&name, number).map_err(|error| Failure::io(&name, &error))?;
    Ok(name)
}

/// By its UUID a partition that was made here is known again.
fn uuid(device: &Device, number: u32) -> String {
    format!("part{number}-DMLOOP-{}", device.name)
}

/// The devices of partitions of `device`.
pub(crate) fn parts_of(control: &Control, device: &Device) -> Vec<String> {
    let prefix = format!("{}p", device.name);
    let is_part = |name: &str| {
        let number = name
            .strip_prefix(&prefix)
            .and_then(|number| number.parse().ok());
        let (Some(number), Ok((header, lines))) =
            (number, control.status(name, flag::STATUS_TABLE))
        else {
            return false;
        };
        header.uuid == uuid(device, number)
            && lines.iter().all(|line| line.target == "linear")
            && control.deps(name).is_ok_and(|deps| deps == [device.number])
    };
    let names = control.names().unwrap_or_default();
    names
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| is_part(name))
        .collect()
}
