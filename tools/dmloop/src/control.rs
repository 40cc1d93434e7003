// SPDX-License-Identifier: GPL-2.0

//! device-mapper, through its control device.

use crate::{
    failure::{Exit, Failure},
    sys::{call, text, Header},
    udev::{self, Cookie},
};
use rustix::{
    fd::AsFd,
    fs::{major, makedev, minor, mknodat, FileType, Mode, CWD},
    io,
};
use std::{fs::File, io::ErrorKind};

const CONTROL: &str = "/dev/mapper/control";

/// Numbers of the ioctls.
mod command {
    pub(super) const LIST_DEVICES: u8 = 2;
    pub(super) const DEV_CREATE: u8 = 3;
    pub(super) const DEV_REMOVE: u8 = 4;
    pub(super) const DEV_SUSPEND: u8 = 6;
    pub(super) const DEV_STATUS: u8 = 7;
    pub(super) const TABLE_LOAD: u8 = 9;
    pub(super) const TABLE_CLEAR: u8 = 10;
    pub(super) const TABLE_DEPS: u8 = 11;
    pub(super) const TABLE_STATUS: u8 = 12;
    pub(super) const LIST_VERSIONS: u8 = 13;
    pub(super) const TARGET_MSG: u8 = 14;
}

/// Flags of the ioctls.
pub(crate) mod flag {
    pub(crate) const READONLY: u32 = 1 << 0;
    pub(crate) const SUSPEND: u32 = 1 << 1;
    pub(crate) const STATUS_TABLE: u32 = 1 << 4;
    pub(crate) const ACTIVE_PRESENT: u32 = 1 << 5;
    pub(crate) const QUERY_INACTIVE: u32 = 1 << 12;
    pub(crate) const UEVENT_GENERATED: u32 = 1 << 13;
    pub(crate) const DATA_OUT: u32 = 1 << 16;
    pub(crate) const DEFERRED_REMOVE: u32 = 1 << 17;
}

/// One line of a table, or of what the kernel says of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// First sector in the device.
    pub(crate) start: u64,
    /// Sectors.
    pub(crate) len: u64,
    /// The target's name.
    pub(crate) target: String,
    /// What follows it.
    pub(crate) rest: Vec<u8>,
}

impl Line {
    /// The only line of a device of `len` sectors that is a file's, with these arguments.
    pub(crate) fn only(len: u64, arguments: Vec<u8>) -> Self {
        Self {
            start: 0,
            len,
            target: "loop".to_owned(),
            rest: arguments,
        }
    }
}

/// The control device.
#[derive(Debug)]
pub(crate) struct Control(File);

impl Control {
    /// Opens the control device, which loads device-mapper where that is needed.
    pub(crate) fn open() -> Result<Self, Failure> {
        let open = || File::options().read(true).write(true).open(CONTROL);
        let result = match open() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // Opening a node with this number makes the kernel load the module.
                let folder = std::fs::create_dir("/dev/mapper");
                let mode = Mode::RUSR | Mode::WUSR;
                let device = makedev(10, 236);
                let node = mknodat(CWD, CONTROL, FileType::CharacterDevice, mode, device);
                let result = open();
                // Without it, there is no use in what was made for it.
                if result.is_err() {
                    if node.is_ok() {
                        let _ = std::fs::remove_file(CONTROL);
                    }
                    if folder.is_ok() {
                        let _ = std::fs::remove_dir("/dev/mapper");
                    }
                }
                result
            }
            result => result,
        };
        result.map(Self).map_err(|error| match error.kind() {
            ErrorKind::PermissionDenied => {
                Failure::failed(format!("{CONTROL}: only root may do that"))
            }
            _ => Failure::new(
                Exit::NoTarget,
                format!("{CONTROL}: {error}: device-mapper is not there (modprobe dm_mod)"),
            ),
        })
    }

    fn call(&self, command: u8, header: &Header, data: &[u8]) -> io::Result<(Header, Vec<u8>)> {
        call(self.0.as_fd(), command, header, data)
    }

    fn named(name: &str, flags: u32) -> Header {
        Header {
            name: name.to_owned(),
            flags,
            ..Header::default()
        }
    }

    /// The names of all devices.
    pub(crate) fn names(&self) -> io::Result<Vec<(String, (u32, u32))>> {
        let (_, data) = self.call(command::LIST_DEVICES, &Header::default(), &[])?;
        let mut names = Vec::new();
        let mut rest = data.as_slice();
        // struct dm_name_list: the number of the device, the way to the next, the name.
        while let Some((dev, next)) = word64(rest, 0).zip(word32(rest, 8)) {
            if dev == 0 {
                break;
            }
            names.push((text(rest.get(12..).unwrap_or_default()), numbers(dev)));
            match usize::try_from(next) {
                Ok(next) if next != 0 && next < rest.len() => rest = &rest[next..],
                _ => break,
            }
        }
        Ok(names)
    }

    /// Makes a device without a table. EBUSY if the name is taken.
    pub(crate) fn create(&self, name: &str, uuid: &str, read_only: bool) -> io::Result<(u32, u32)> {
        let flags = if read_only { flag::READONLY } else { 0 };
        let mut header = Self::named(name, flags);
        uuid.clone_into(&mut header.uuid);
        let (answer, _) = self.call(command::DEV_CREATE, &header, &[])?;
        Ok(numbers(answer.dev))
    }

    /// Loads a table, which is not active yet.
    pub(crate) fn load(&self, name: &str, read_only: bool, lines: &[Line]) -> io::Result<()> {
        let mut header = Self::named(name, if read_only { flag::READONLY } else { 0 });
        header.target_count = u32::try_from(lines.len()).map_err(|_| io::Errno::TOOBIG)?;
        let mut data = Vec::new();
        for line in lines {
            write_line(&mut data, line)?;
        }
        self.call(command::TABLE_LOAD, &header, &data).map(drop)
    }

    /// Forgets a table that is loaded and not active.
    pub(crate) fn clear(&self, name: &str) -> io::Result<()> {
        self.call(command::TABLE_CLEAR, &Self::named(name, 0), &[])
            .map(drop)
    }

    /// Sends a message to the target of a device that has `sector`; returns its answer.
    pub(crate) fn message(&self, name: &str, sector: u64, message: &str) -> io::Result<String> {
        // struct dm_target_msg: the sector, the words.
        let mut data = sector.to_ne_bytes().to_vec();
        data.extend_from_slice(message.as_bytes());
        data.resize((data.len() + 1).next_multiple_of(8), 0);
        let (answer, data) = self.call(command::TARGET_MSG, &Self::named(name, 0), &data)?;
        let answered = answer.flags & flag::DATA_OUT != 0;
        Ok(if answered { text(&data) } else { String::new() })
    }

    /// Makes the loaded table the active one, and waits for udev.
    pub(crate) fn resume(&self, name: &str, read_only: bool) -> io::Result<()> {
        let flags = if read_only { flag::READONLY } else { 0 };
        self.with_cookie(command::DEV_SUSPEND, name, flags)
    }

    /// Removes a device and its node, and waits for udev.
    pub(crate) fn remove(&self, name: &str, deferred: bool) -> io::Result<()> {
        let flags = if deferred { flag::DEFERRED_REMOVE } else { 0 };
        let before = self.info(name);
        self.with_cookie(command::DEV_REMOVE, name, flags)?;
        // Deferred, it may still be there.
        if let (Ok(before), Err(_)) = (before, self.info(name)) {
            udev::remove_node(name, numbers(before.dev));
        }
        Ok(())
    }

    fn with_cookie(&self, command: u8, name: &str, flags: u32) -> io::Result<()> {
        let cookie = Cookie::new();
        let mut header = Self::named(name, flags);
        header.event_nr = cookie.event_nr();
        cookie.expect_event();
        let result = self.call(command, &header, &[]);
        let generated =
            matches!(&result, Ok((answer, _)) if answer.flags & flag::UEVENT_GENERATED != 0);
        if !generated {
            cookie.no_event();
        }
        cookie.wait();
        result.map(drop)
    }

    /// The device's header: numbers, flags, how often it is open.
    pub(crate) fn info(&self, name: &str) -> io::Result<Header> {
        Ok(self
            .call(command::DEV_STATUS, &Self::named(name, 0), &[])?
            .0)
    }

    /// The table ([`flag::STATUS_TABLE`]) or the state, of the active table or of the one
    /// that is loaded ([`flag::QUERY_INACTIVE`]).
    pub(crate) fn status(&self, name: &str, flags: u32) -> io::Result<(Header, Vec<Line>)> {
        let (header, data) = self.call(command::TABLE_STATUS, &Self::named(name, flags), &[])?;
        let mut lines = Vec::new();
        let mut at = 0;
        for _ in 0..header.target_count {
            let Some((line, next)) = data.get(at..).and_then(read_line) else {
                break;
            };
            lines.push(line);
            at = next;
        }
        Ok((header, lines))
    }

    /// The devices that a device stands on.
    pub(crate) fn deps(&self, name: &str) -> io::Result<Vec<(u32, u32)>> {
        let (_, data) = self.call(command::TABLE_DEPS, &Self::named(name, 0), &[])?;
        let count = word32(&data, 0).and_then(|count| usize::try_from(count).ok());
        let deps = (0..count.unwrap_or(0)).map_while(|index| word64(&data, 8 + 8 * index));
        Ok(deps.map(numbers).collect())
    }

    /// The version of the target `loop`, if it is loaded.
    pub(crate) fn target_version(&self) -> io::Result<Option<[u32; 3]>> {
        let (_, data) = self.call(command::LIST_VERSIONS, &Header::default(), &[])?;
        let mut rest = data.as_slice();
        loop {
            let words: Option<Vec<u32>> = (0..4).map(|index| word32(rest, 4 * index)).collect();
            let Some(&[next, major, minor, patch]) = words.as_deref() else {
                return Ok(None);
            };
            if text(rest.get(16..).unwrap_or_default()) == "loop" {
                return Ok(Some([major, minor, patch]));
            }
            match usize::try_from(next) {
                Ok(next) if next != 0 && next < rest.len() => rest = &rest[next..],
                _ => return Ok(None),
            }
        }
    }
}

/// Appends a `struct dm_target_spec` and its parameters, padded to 8 bytes.
fn write_line(data: &mut Vec<u8>, line: &Line) -> io::Result<()> {
    let mut name = [0; 16];
    let target = line.target.as_bytes();
    name.get_mut(..target.len())
        .ok_or(io::Errno::INVAL)?
        .copy_from_slice(target);
    let next = (40 + line.rest.len() + 1).next_multiple_of(8);
    let end = data.len() + next;
    data.extend_from_slice(&line.start.to_ne_bytes());
    data.extend_from_slice(&line.len.to_ne_bytes());
    data.extend_from_slice(&0_u32.to_ne_bytes());
    data.extend_from_slice(
        &u32::try_from(next)
            .map_err(|_| io::Errno::TOOBIG)?
            .to_ne_bytes(),
    );
    data.extend_from_slice(&name);
    data.extend_from_slice(&line.rest);
    data.resize(end, 0);
    Ok(())
}

/// Reads one `struct dm_target_spec` of an answer. There, `next` counts from the first.
fn read_line(data: &[u8]) -> Option<(Line, usize)> {
    let rest = data.get(40..)?;
    let end = rest
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(rest.len());
    let line = Line {
        start: word64(data, 0)?,
        len: word64(data, 8)?,
        target: text(data.get(24..40)?),
        rest: rest[..end].to_vec(),
    };
    Some((line, usize::try_from(word32(data, 20)?).ok()?))
}

fn numbers(dev: u64) -> (u32, u32) {
    (major(dev), minor(dev))
}

fn word32(data: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(data.get(at..at + 4)?.try_into().ok()?))
}

fn word64(data: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(data.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_survives() {
        let line = Line {
            start: 8,
            len: 2048,
            target: "loop".to_owned(),
            rest: b"/tmp/x 0".to_vec(),
        };
        let mut data = Vec::new();
        write_line(&mut data, &line).unwrap();
        assert_eq!(data.len() % 8, 0);
        assert_eq!(read_line(&data), Some((line, data.len())));
    }

    #[test]
    fn answers_that_are_cut_off() {
        for len in 0..40 {
            assert_eq!(read_line(&vec![1; len]), None);
        }
    }
}
