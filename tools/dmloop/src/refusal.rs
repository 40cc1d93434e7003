// SPDX-License-Identifier: GPL-2.0

//! Why the kernel has refused a table, and what to do.

use crate::{
    backing::Backing,
    control::Control,
    device::Device,
    failure::{words, Exit, Failure},
    reason::Reason,
    table::Table,
};
use rustix::{io::Errno, system::uname};

/// A table that was refused.
#[derive(Debug)]
pub(crate) struct Refused<'a> {
    /// The file.
    pub(crate) file: &'a Backing,
    /// What was asked for.
    pub(crate) table: &'a Table,
    /// How long the device was to be, in sectors.
    pub(crate) sectors: u64,
    /// The errno.
    pub(crate) errno: Errno,
    /// What the kernel log says, where it can be read.
    pub(crate) message: Option<String>,
}

impl Refused<'_> {
    /// For the user.
    pub(crate) fn explain(&self, control: &Control) -> Failure {
        let message = self.message.as_deref().unwrap_or_default();
        let loaded = matches!(control.target_version(), Ok(Some(_)));
        match message {
            "unknown target type" => no_target(),
            _ if !loaded && self.errno == Errno::INVAL => no_target(),
            "Backing file is in use" => self.in_use(control),
            "Cannot open backing file" | "" if self.errno == Errno::BUSY => self.in_use(control),
            message => self.in_words(message),
        }
    }

    /// What `message` means, for those of the target's that say all there is to know.
    fn in_words(&self, message: &str) -> Failure {
        let name = self.file.name();
        if let Some(reason) = Reason::of_message(message) {
            let mut text = format!("{name} cannot be block-mapped, because {}.", reason.because);
            if reason.token == "misaligned" {
                text += &self.alignment_advice();
            }
            text += &format!(" To mend it: {}", reason.mend(&self.file.path));
            return Failure::new(Exit::FileMapped, text);
        }
        match message {
            "Offset or length is not a multiple of the logical block size" => Failure::new(
                Exit::FileMapped,
                format!(
                    "{name} cannot be block-mapped from {} on for {} sectors: the disk has larger blocks.{} \
                     Choose --offset and --sizelimit in multiples of them (blockdev --getss DISK)",
                    self.table.offset,
                    self.sectors,
                    self.alignment_advice()
                ),
            ),
            "Backing file is on the device itself" => {
                Failure::failed(format!("{name} lies on this very device: use another file"))
            }
            "Backing file does not support direct I/O" => Failure::failed(format!(
                "{name} cannot be read or written past the page cache, or not at this offset: use --direct-io off"
            )),
            "Device does not fit in the backing file" => {
                Failure::failed(format!("{name} has become smaller meanwhile: try again"))
            }
            "Out of memory" => Failure::failed(format!("{name}: the kernel is out of memory")),
            // Where the log cannot be read.
            "" if self.must_map() => Failure::new(
                Exit::FileMapped,
                format!("{name} cannot be block-mapped: the kernel log says why, which may not be read here (dmesg)"),
            ),
            "Cannot open backing file" => {
                Failure::failed(format!("{name}: the kernel cannot open it: {}", words(self.errno)))
            }
            "" => Failure::failed(format!(
                "{name}: the kernel has refused it: {} (dmesg says more)",
                words(self.errno)
            )),
            other => Failure::new(
                if self.must_map() { Exit::FileMapped } else { Exit::Failed },
                format!("{name}: {other}: {}", words(self.errno)),
            ),
        }
    }

    /// Whether it is that it cannot be block-mapped: nothing else that must be is refused so.
    fn must_map(&self) -> bool {
        self.errno == Errno::OPNOTSUPP && self.table.has("block_mapped")
    }

    /// The file is in use: by whom?
    fn in_use(&self, control: &Control) -> Failure {
        if self.file.is_swap() {
            return self.file.busy("is in use for swap: swapoff it first");
        }
        let devices = Device::all(control).unwrap_or_default();
        let names: Vec<String> = Device::on_file(control, devices, &self.file.data)
            .into_iter()
            .map(|device| match device.unfinished {
                true => format!("{} (which was never finished)", device.name),
                false => device.name,
            })
            .collect();
        if names.is_empty() {
            self.file
                .busy("is in use: something has it open for writing (fuser -v FILE shows what)")
        } else {
            self.file.busy(&format!(
                "is in use by {}: detach that first, or attach a part of the file that does not overlap, or all of them read-only",
                names.join(", ")
            ))
        }
    }

    /// A limit with which it would do, where the end of the file is what does not fit.
    fn alignment_advice(&self) -> String {
        let bytes = self.sectors.saturating_mul(512);
        match self.file.better_limit(self.table.offset, bytes) {
            Some(limit) => format!(" It may do with --sizelimit {limit}."),
            None => String::new(),
        }
    }
}

/// The module is not there.
pub(crate) fn no_target() -> Failure {
    let release = uname().release().to_string_lossy().into_owned();
    Failure::new(
        Exit::NoTarget,
        format!(
            "the kernel has no device-mapper target \"loop\": install the module dm-loop for {release} and load it \
             (modprobe dm-loop; dmesg says why if that fails)"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused<'a>(file: &'a Backing, table: &'a Table, errno: Errno) -> Refused<'a> {
        Refused {
            file,
            table,
            sectors: 8,
            errno,
            message: None,
        }
    }

    /// The messages that take a race, or little memory, to be seen; and one of a target that is
    /// newer than this program.
    #[test]
    fn rare_messages() {
        let path = std::env::temp_dir().join(format!("dmloop-refusal-{}", std::process::id()));
        std::fs::write(&path, [0; 4096]).unwrap();
        let file = Backing::new(&path).unwrap();
        let mut table = Table {
            path: file.path.clone(),
            offset: 0,
            features: Vec::new(),
        };
        for (message, errno, says) in [
            ("Out of memory", Errno::NOMEM, "the kernel is out of memory"),
            (
                "Device does not fit in the backing file",
                Errno::INVAL,
                "has become smaller meanwhile: try again",
            ),
            (
                "Backing file is on the device itself",
                Errno::LOOP,
                "lies on this very device: use another file",
            ),
            (
                "Cannot open backing file",
                Errno::ACCESS,
                "the kernel cannot open it: Permission denied",
            ),
            (
                "",
                Errno::NOMEM,
                "the kernel has refused it: Cannot allocate memory (dmesg says more)",
            ),
        ] {
            let failure = refused(&file, &table, errno).in_words(message);
            assert_eq!(failure.exit, Exit::Failed, "{message}");
            assert!(failure.message.starts_with(&file.name()), "{failure:?}");
            assert!(failure.message.ends_with(says), "{failure:?}");
        }
        // One that this program does not know of yet.
        table.features.push("block_mapped".to_owned());
        let failure = refused(&file, &table, Errno::OPNOTSUPP).in_words("Cannot block-map: new");
        assert_eq!(failure.exit, Exit::FileMapped);
        assert!(failure
            .message
            .ends_with(": Cannot block-map: new: Operation not supported"));
        std::fs::remove_file(path).unwrap();
    }
}
