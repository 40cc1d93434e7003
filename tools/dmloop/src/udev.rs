// SPDX-License-Identifier: GPL-2.0

//! Waiting for udev, as libdevmapper does it: an ioctl carries a cookie into the uevent,
//! and udev's rules count down the semaphore of that name when they are through.

use crate::{interrupt, sys::Semaphore};
use rustix::{
    fs::{makedev, mknodat, FileType, Mode, CWD},
    io,
    rand::{getrandom, GetRandomFlags},
};
use std::{
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// Keys of semaphores begin so.
const MAGIC: u32 = 0x0d4d;
/// "This event is worth the rules' attention."
const PRIMARY_SOURCE: u32 = 0x40;
/// udev may be slow where hundreds of devices are made at once, but if it has died, nobody
/// would ever count down.
const LIMIT: Duration = Duration::from_secs(300);
const PAUSE: Duration = Duration::from_millis(20);

/// A cookie. Without udev it does nothing.
#[derive(Debug)]
pub(crate) struct Cookie(Option<(u16, Semaphore)>);

impl Cookie {
    /// A new cookie, at 1.
    pub(crate) fn new() -> Self {
        if !is_active() {
            return Self(None);
        }
        for _ in 0..1000 {
            let mut bytes = [0; 2];
            if getrandom(&mut bytes, GetRandomFlags::empty()).is_err() {
                break;
            }
            let base = u16::from_ne_bytes(bytes);
            let Ok(key) = i32::try_from((MAGIC << 16) | u32::from(base)) else {
                break;
            };
            match Semaphore::create(key) {
                Ok(semaphore) if base != 0 => return Self(Some((base, semaphore))),
                Ok(_) | Err(io::Errno::EXIST) => {}
                Err(_) => break,
            }
        }
        Self(None)
    }

    /// What the ioctl is to carry.
    pub(crate) fn event_nr(&self) -> u32 {
        match &self.0 {
            Some((base, _)) => (PRIMARY_SOURCE << 16) | u32::from(*base),
            None => 0,
        }
    }

    /// Counts one event that the rules will count down.
    pub(crate) fn expect_event(&self) {
        if let Some((_, semaphore)) = &self.0 {
            let _ = semaphore.add(1);
        }
    }

    /// There was no event after all.
    pub(crate) fn no_event(&self) {
        if let Some((_, semaphore)) = &self.0 {
            let _ = semaphore.add(-1);
        }
    }

    /// Waits until the rules are through with all events.
    pub(crate) fn wait(self) {
        if let Some((_, semaphore)) = &self.0 {
            if semaphore.add(-1).is_ok() {
                // What matters is whether the node is there, which is looked at next.
                let _ = semaphore.wait_for_zero(LIMIT, interrupt::came);
            }
        }
    }
}

/// The path of a device.
pub(crate) fn node(name: &str) -> PathBuf {
    Path::new("/dev/mapper").join(name)
}

/// Makes sure that the node of a device is there, also without udev. Where there is one, the
/// node is its affair: it knows nothing of one that others have made, which would later lead
/// to another device.
pub(crate) fn ensure_node(name: &str, number: (u32, u32)) -> std::io::Result<()> {
    let path = node(name);
    let since = Instant::now();
    while !fs::metadata(&path).is_ok_and(|data| is_node_of(&data, number)) {
        // Whoever is interrupted takes the device away again.
        if interrupt::came() {
            return Ok(());
        }
        if !is_active() {
            return make_node(&path, makedev(number.0, number.1));
        }
        if since.elapsed() > LIMIT {
            return Err(std::io::Error::other("udev has not made it"));
        }
        thread::sleep(PAUSE);
    }
    Ok(())
}

/// Makes a node, in the place of what is left from a device that is gone.
fn make_node(path: &Path, number: u64) -> std::io::Result<()> {
    if fs::symlink_metadata(path).is_ok() {
        fs::remove_file(path)?;
    }
    let mode = Mode::RUSR | Mode::WUSR;
    mknodat(CWD, path, FileType::BlockDevice, mode, number)?;
    Ok(())
}

/// Removes the node of a device that is gone. Links are udev's: they may lead to a new
/// device of that name already.
pub(crate) fn remove_node(name: &str, number: (u32, u32)) {
    let path = node(name);
    if fs::symlink_metadata(&path).is_ok_and(|data| is_node_of(&data, number)) {
        let _ = fs::remove_file(path);
    }
}

/// Whether `data` is that of the node of a device.
fn is_node_of(data: &fs::Metadata, (major, minor): (u32, u32)) -> bool {
    data.file_type().is_block_device() && data.rdev() == makedev(major, minor)
}

/// Whether there is an udev.
fn is_active() -> bool {
    Path::new("/run/udev/control").exists()
}
