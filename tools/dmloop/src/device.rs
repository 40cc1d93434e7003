// SPDX-License-Identifier: GPL-2.0

//! The devices of the target `loop`.

use crate::{
    control::{flag, Control},
    failure::{Exit, Failure},
    identity::Identity,
    status::Status,
    table::Table,
    udev,
};
use rustix::{
    fs::{major, minor},
    io::Errno,
};
use std::{
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

/// A device with targets `loop` and no others.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    /// Its name.
    pub(crate) name: String,
    /// Major and minor.
    pub(crate) number: (u32, u32),
    /// Whether it can only be read.
    pub(crate) read_only: bool,
    /// Whether it is suspended.
    pub(crate) suspended: bool,
    /// Whether it goes away when it is closed.
    pub(crate) deferred: bool,
    /// How often it is open.
    pub(crate) open_count: i32,
    /// Whether its table was loaded and never became active: who made it is at it, or was
    /// killed.
    pub(crate) unfinished: bool,
    /// Its targets, in order.
    pub(crate) targets: Vec<Target>,
}

/// A part of a device: a part of a file.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// First sector in the device.
    pub(crate) start: u64,
    /// Sectors.
    pub(crate) len: u64,
    /// Which part of which file.
    pub(crate) table: Table,
    /// How it is mapped, if the kernel says so in words known here.
    pub(crate) status: Option<Status>,
}

impl Target {
    /// Its length in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.len.saturating_mul(512)
    }

    /// Where in the file it ends.
    pub(crate) fn file_end(&self) -> u64 {
        self.table.offset.saturating_add(self.bytes())
    }
}

impl Device {
    /// What is known of the device `name`: [`None`] if it is not one of this target, or gone.
    fn read(control: &Control, name: &str) -> Result<Option<Self>, Errno> {
        let status = |flags| match control.status(name, flags) {
            Err(Errno::NXIO) => Ok(None),
            result => result.map(Some),
        };
        let Some((mut header, mut lines)) = status(flag::STATUS_TABLE)? else {
            return Ok(None);
        };
        let unfinished = header.flags & flag::ACTIVE_PRESENT == 0;
        if unfinished {
            match status(flag::STATUS_TABLE | flag::QUERY_INACTIVE)? {
                // It was finished just now.
                Some((header, _)) if header.flags & flag::ACTIVE_PRESENT != 0 => {
                    return Self::read(control, name);
                }
                Some(loaded) => (header, lines) = loaded,
                None => return Ok(None),
            }
        }
        if lines.is_empty() || lines.iter().any(|line| line.target != "loop") {
            return Ok(None);
        }
        let states = if unfinished {
            Vec::new()
        } else {
            match status(0)? {
                Some((_, states)) => states,
                None => return Ok(None),
            }
        };
        let target = |(index, line): (usize, &crate::control::Line)| {
            let state = states.get(index).filter(|state| state.start == line.start);
            Some(Target {
                start: line.start,
                len: line.len,
                table: Table::parse(&line.rest)?,
                status: state
                    .and_then(|state| Status::parse(&String::from_utf8_lossy(&state.rest))),
            })
        };
        let targets: Option<Vec<_>> = lines.iter().enumerate().map(target).collect();
        Ok(targets.map(|targets| Self {
            name: name.to_owned(),
            number: (major(header.dev), minor(header.dev)),
            read_only: header.flags & flag::READONLY != 0,
            suspended: header.flags & flag::SUSPEND != 0,
            deferred: header.flags & flag::DEFERRED_REMOVE != 0,
            open_count: header.open_count,
            unfinished,
            targets,
        }))
    }

    /// All devices of this target, by name as people count: loop2 before loop10.
    pub(crate) fn all(control: &Control) -> Result<Vec<Self>, Failure> {
        let failed = |errno| Failure::errno("cannot list devices", errno);
        let mut devices = Vec::new();
        for (name, _) in control.names().map_err(failed)? {
            devices.extend(Self::read(control, &name).map_err(failed)?);
        }
        devices.sort_by_cached_key(|device| natural(&device.name));
        Ok(devices)
    }

    /// The device that `word` means: a name, `/dev/mapper/NAME`, or any other path of it.
    pub(crate) fn find(control: &Control, word: &str) -> Result<Self, Failure> {
        let device = Self::find_any(control, word)?;
        if device.unfinished {
            return Err(no_table(&device.name));
        }
        Ok(device)
    }

    /// The same, be it unfinished or not.
    pub(crate) fn find_any(control: &Control, word: &str) -> Result<Self, Failure> {
        let gone = || {
            Failure::new(
                Exit::NoDevice,
                format!("there is no device {word} (dmloop list shows all)"),
            )
        };
        let name = name_of(control, word)?.ok_or_else(gone)?;
        match Self::read(control, &name) {
            Ok(Some(device)) => return Ok(device),
            Ok(None) => {}
            Err(errno) => return Err(Failure::errno(&name, errno)),
        }
        match control.info(&name) {
            Ok(header) if header.flags & flag::ACTIVE_PRESENT == 0 => Err(no_table(&name)),
            Ok(_) => Err(Failure::new(
                Exit::NoDevice,
                format!("{name} is a device, but none of the target \"loop\" (dmsetup table {name} shows what it is)"),
            )),
            Err(Errno::NXIO) => Err(gone()),
            Err(errno) => Err(Failure::errno(&name, errno)),
        }
    }

    /// Devices on the file that `data` is of, as the kernel says; where it does not, by what
    /// the path in the table leads to.
    pub(crate) fn on_file(control: &Control, devices: Vec<Self>, data: &fs::Metadata) -> Vec<Self> {
        let wanted = Identity::from(data);
        let same = |device: &Self, target: &Target| {
            let said = if device.unfinished {
                None
            } else {
                Identity::of_target(control, &device.name, target.start)
                    .ok()
                    .flatten()
            };
            let found = || fs::metadata(&target.table.path).map(|data| Identity::from(&data));
            said.or_else(|| found().ok()) == Some(wanted)
        };
        devices
            .into_iter()
            .filter(|device| device.targets.iter().any(|target| same(device, target)))
            .collect()
    }

    /// `/dev/mapper/NAME`
    pub(crate) fn node(&self) -> PathBuf {
        udev::node(&self.name)
    }

    /// The number as sysfs has it.
    pub(crate) fn number_text(&self) -> String {
        format!("{}:{}", self.number.0, self.number.1)
    }

    /// Its folder in sysfs.
    pub(crate) fn sysfs(&self) -> PathBuf {
        Path::new("/sys/dev/block").join(self.number_text())
    }
}

/// Of a device without an active table.
fn no_table(name: &str) -> Failure {
    Failure::new(
        Exit::NoDevice,
        format!(
            "{name} has no table yet: if who made it was killed, dmloop detach {name} removes it"
        ),
    )
}

/// The name of the device that a word of the command line means.
fn name_of(control: &Control, word: &str) -> Result<Option<String>, Failure> {
    if !word.contains('/') {
        return Ok(Some(word.to_owned()));
    }
    let Ok(data) = fs::metadata(word) else {
        // The node may be missing where there is no udev.
        return Ok(word.strip_prefix("/dev/mapper/").map(str::to_owned));
    };
    if !data.file_type().is_block_device() {
        return Ok(None);
    }
    let number = (major(data.rdev()), minor(data.rdev()));
    let names = control
        .names()
        .map_err(|errno| Failure::errno("cannot list devices", errno))?;
    Ok(names
        .into_iter()
        .find(|(_, other)| *other == number)
        .map(|(name, _)| name))
}

/// A key that sorts numbers in names by value.
fn natural(name: &str) -> (String, u64, String) {
    let stem = name.trim_end_matches(|char: char| char.is_ascii_digit());
    let number = name[stem.len()..].parse().unwrap_or(u64::MAX);
    (stem.to_owned(), number, name.to_owned())
}

/// Whether device-mapper and udev take `name` as it stands.
pub(crate) fn is_good_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() < 128
        // Commands would take it for an option.
        && !name.starts_with('-')
        && !matches!(name, "." | ".." | "control")
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"#+-.:=@_".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names() {
        let mut names = ["loop10", "loop2", "b", "loop", "loop2p10", "loop2p9", "a7"];
        names.sort_by_key(|name| natural(name));
        assert_eq!(
            names,
            ["a7", "b", "loop2", "loop10", "loop", "loop2p9", "loop2p10"]
        );
    }

    #[test]
    fn names() {
        for good in ["loop0", "my-disk.1", "a+b", "x#y"] {
            assert!(is_good_name(good), "{good}");
        }
        for bad in [
            "",
            ".",
            "..",
            "control",
            "a/b",
            "a b",
            "ü",
            "x\n",
            "-x",
            "--all",
            &"x".repeat(128),
        ] {
            assert!(!is_good_name(bad), "{bad}");
        }
    }
}
