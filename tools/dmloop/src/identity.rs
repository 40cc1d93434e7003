// SPDX-License-Identifier: GPL-2.0

//! Which file it is: the numbers that stat(2) tells, and the kernel of each target.

use crate::control::Control;
use rustix::{
    fs::{major, minor},
    io::Result,
};
use std::{fs::Metadata, os::unix::fs::MetadataExt};

/// A file, by its file system and its inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Major and minor.
    device: (u32, u32),
    /// The number of the inode.
    inode: u64,
}

impl Identity {
    /// The file of the target of `device` that has `sector`. [`None`] if the kernel does not
    /// say.
    pub(crate) fn of_target(control: &Control, device: &str, sector: u64) -> Result<Option<Self>> {
        let answer = control.message(device, sector, "stat")?;
        Ok(pairs(&answer).and_then(|pairs| Self::among(&pairs)))
    }

    fn among(pairs: &[(&str, u64)]) -> Option<Self> {
        let number = |wanted: &str| {
            let pair = pairs.iter().find(|(name, _)| *name == wanted);
            pair.map(|(_, number)| *number)
        };
        let small = |name| number(name).and_then(|number| u32::try_from(number).ok());
        Some(Self {
            device: (small("major")?, small("minor")?),
            inode: number("inode")?,
        })
    }
}

impl From<&Metadata> for Identity {
    fn from(data: &Metadata) -> Self {
        Self {
            device: (major(data.dev()), minor(data.dev())),
            inode: data.ino(),
        }
    }
}

/// What a target has answered to `stat`: names and numbers, of which there may be more one
/// day.
pub(crate) fn pairs(answer: &str) -> Option<Vec<(&str, u64)>> {
    let words: Vec<&str> = answer.split_ascii_whitespace().collect();
    words
        .chunks(2)
        .map(|pair| Some((pair[0], pair.get(1)?.parse().ok()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        let identity = |answer| pairs(answer).and_then(|pairs| Identity::among(&pairs));
        let wanted = Identity {
            device: (254, 3),
            inode: 18_446_744_073_709_551_615,
        };
        for answer in [
            "flushes 3 splits 2 errors 1 major 254 minor 3 inode 18446744073709551615",
            "inode 18446744073709551615 new 7 minor 3 major 254",
        ] {
            assert_eq!(identity(answer), Some(wanted), "{answer}");
        }
        for answer in [
            "",
            "flushes 3 splits 2 errors 1",
            "major 254 minor 3",
            "major 4294967296 minor 3 inode 1",
            "major 254 minor 3 inode",
            "major 254 minor 3 inode x",
        ] {
            assert_eq!(identity(answer), None, "{answer}");
        }
    }

    #[test]
    fn as_stat_says() {
        let data = std::fs::metadata("/proc/self").unwrap();
        let identity = Identity::from(&data);
        assert_eq!(identity.inode, data.ino());
        assert_eq!(
            rustix::fs::makedev(identity.device.0, identity.device.1),
            data.dev()
        );
    }
}
