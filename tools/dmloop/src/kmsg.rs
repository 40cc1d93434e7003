// SPDX-License-Identifier: GPL-2.0

//! The kernel log: where the target says why it refuses a table, and what a report quotes.

use std::{
    fs::File,
    io::{ErrorKind, Read, Seek, SeekFrom},
    os::unix::fs::OpenOptionsExt,
};

/// The kernel log from a point in time on.
#[derive(Debug)]
pub(crate) struct Log(Option<File>);

impl Log {
    /// From now on.
    pub(crate) fn from_now() -> Self {
        Self(open().and_then(|mut file| file.seek(SeekFrom::End(0)).ok().map(|_| file)))
    }

    /// From the oldest line that the kernel still has.
    pub(crate) fn from_beginning() -> Self {
        Self(open())
    }

    /// The lines since then, each with its time. Empty where the log may not be read.
    pub(crate) fn lines(self) -> Vec<String> {
        let mut lines = Vec::new();
        let Some(mut file) = self.0 else {
            return lines;
        };
        let mut buffer = [0; 8192];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(len) => lines.extend(parse(&String::from_utf8_lossy(&buffer[..len]))),
                // Overwritten before it was read.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        lines
    }

    /// Why the table of device `major`:`minor` was refused, if the log says so: the
    /// message after `loop: `.
    pub(crate) fn refusal(self, (major, minor): (u32, u32)) -> Option<String> {
        let lines = self.lines();
        lines
            .iter()
            .rev()
            .find_map(|line| message(line, major, minor))
    }
}

fn open() -> Option<File> {
    let nonblock = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).ok()?;
    File::options()
        .read(true)
        .custom_flags(nonblock)
        .open("/dev/kmsg")
        .ok()
}

/// `6,1234,5678,-;text` with lines of attributes behind it becomes `[    0.005678] text`.
fn parse(record: &str) -> Option<String> {
    let (head, text) = record.split_once(';')?;
    let micros: u64 = head.split(',').nth(2)?.parse().ok()?;
    let text = text.lines().next()?;
    Some(format!(
        "[{:5}.{:06}] {text}",
        micros / 1_000_000,
        micros % 1_000_000
    ))
}

/// The message in `device-mapper: table: 253:0: loop: message (-EINVAL)`. Without a target:
/// `device-mapper: table: 253:0: loop: unknown target type (-EINVAL)`.
fn message(line: &str, major: u32, minor: u32) -> Option<String> {
    let (_, rest) = line.split_once(&format!("device-mapper: table: {major}:{minor}: "))?;
    let rest = rest.strip_prefix("loop: ").unwrap_or(rest);
    let end = rest.rfind(" (-").unwrap_or(rest.len());
    Some(rest[..end].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records() {
        assert_eq!(
            parse("3,900,12345678,-;dm_loop: /tmp/s: refused\n SUBSYSTEM=block\n"),
            Some("[   12.345678] dm_loop: /tmp/s: refused".to_owned())
        );
        assert_eq!(parse("junk"), None);
    }

    #[test]
    fn refusals() {
        let line = "[    1.0] device-mapper: table: 253:0: loop: Cannot block-map: file is sparse (-EOPNOTSUPP)";
        assert_eq!(
            message(line, 253, 0).as_deref(),
            Some("Cannot block-map: file is sparse")
        );
        assert_eq!(message(line, 253, 1), None);
        let line = "device-mapper: table: 253:12: loop: unknown target type (-EINVAL)";
        assert_eq!(
            message(line, 253, 12).as_deref(),
            Some("unknown target type")
        );
    }
}
