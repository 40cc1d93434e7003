// SPDX-License-Identifier: GPL-2.0

//! device-mapper's ioctls: `struct dm_ioctl` of `<linux/dm-ioctl.h>`, and the call.
#![allow(unsafe_code)]

use super::ioctl::on_buffer;
use rustix::{fd::BorrowedFd, io, ioctl::opcode};

/// The length of `struct dm_ioctl`.
const HEADER_LEN: usize = 312;
const NAME: std::ops::Range<usize> = 48..176;
const UUID: std::ops::Range<usize> = 176..305;
/// The number of device-mapper's ioctls.
const DM_IOCTL: u8 = 0xfd;
/// The interface that is asked for: 4.27 has deferred removal, the newest thing used.
const VERSION: [u32; 3] = [4, 27, 0];

/// `struct dm_ioctl`, but for what the call fills in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Header {
    /// How many targets follow.
    pub(crate) target_count: u32,
    /// How often the device is open.
    pub(crate) open_count: i32,
    /// `DM_…_FLAG`.
    pub(crate) flags: u32,
    /// On the way in: udev's flags and cookie.
    pub(crate) event_nr: u32,
    /// The device number.
    pub(crate) dev: u64,
    /// The device's name.
    pub(crate) name: String,
    /// The device's UUID.
    pub(crate) uuid: String,
}

impl Header {
    /// Writes the header, for a buffer of `data_size` bytes.
    fn write(&self, buffer: &mut [u8]) -> io::Result<()> {
        let size = u32::try_from(buffer.len()).map_err(|_| io::Errno::TOOBIG)?;
        if self.name.len() >= NAME.len() || self.uuid.len() >= UUID.len() {
            return Err(io::Errno::NAMETOOLONG);
        }
        let mut put = |at: usize, bytes: &[u8]| {
            buffer[at..at + bytes.len()].copy_from_slice(bytes);
        };
        put(0, &[0; HEADER_LEN]);
        for (index, part) in VERSION.iter().enumerate() {
            put(4 * index, &part.to_ne_bytes());
        }
        put(12, &size.to_ne_bytes());
        put(16, &(HEADER_LEN as u32).to_ne_bytes());
        put(20, &self.target_count.to_ne_bytes());
        put(28, &self.flags.to_ne_bytes());
        put(32, &self.event_nr.to_ne_bytes());
        put(40, &self.dev.to_ne_bytes());
        put(NAME.start, self.name.as_bytes());
        put(UUID.start, self.uuid.as_bytes());
        Ok(())
    }

    /// Reads the header that the kernel has written.
    fn read(buffer: &[u8]) -> Self {
        let word = |at: usize| {
            let mut bytes = [0; 4];
            bytes.copy_from_slice(&buffer[at..at + 4]);
            u32::from_ne_bytes(bytes)
        };
        let mut dev = [0; 8];
        dev.copy_from_slice(&buffer[40..48]);
        Self {
            target_count: word(20),
            open_count: i32::from_ne_bytes(word(24).to_ne_bytes()),
            flags: word(28),
            event_nr: word(32),
            dev: u64::from_ne_bytes(dev),
            name: text(&buffer[NAME]),
            uuid: text(&buffer[UUID]),
        }
    }
}

/// What stands before the first NUL.
pub(crate) fn text(bytes: &[u8]) -> String {
    let end = bytes
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// Calls ioctl number `command` with `header` and `data`, which gets as much room as the
/// answer needs. Returns the header and the data of the answer.
pub(crate) fn call(
    control: BorrowedFd<'_>,
    command: u8,
    header: &Header,
    data: &[u8],
) -> io::Result<(Header, Vec<u8>)> {
    const BUFFER_FULL: u32 = 1 << 8;
    let opcode = opcode::read_write::<[u8; HEADER_LEN]>(DM_IOCTL, command);
    let mut len = (HEADER_LEN + data.len()).max(16 << 10);
    loop {
        let mut buffer = vec![0; len];
        header.write(&mut buffer)?;
        buffer[HEADER_LEN..HEADER_LEN + data.len()].copy_from_slice(data);
        // SAFETY: device-mapper reads and writes no more than `data_size` bytes, which
        // `write` has set to the length of the buffer. Offsets in it are checked by the
        // kernel; there are no pointers.
        unsafe { on_buffer(control, opcode, &mut buffer) }?;
        let answer = Header::read(&buffer);
        if answer.flags & BUFFER_FULL == 0 {
            let mut size = [0; 4];
            size.copy_from_slice(&buffer[12..16]);
            let end = usize::try_from(u32::from_ne_bytes(size)).unwrap_or(0);
            let end = end.clamp(HEADER_LEN, buffer.len());
            return Ok((answer, buffer[HEADER_LEN..end].to_vec()));
        }
        len = len
            .checked_mul(2)
            .filter(|&len| len <= 1 << 30)
            .ok_or(io::Errno::NOMEM)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_survives() {
        let header = Header {
            target_count: 3,
            flags: 5,
            event_nr: 0x40_1234,
            dev: 0xfd00,
            name: "loop0".to_owned(),
            uuid: "DMLOOP-part1-x".to_owned(),
            ..Header::default()
        };
        let mut buffer = vec![0xff; HEADER_LEN];
        header.write(&mut buffer).unwrap();
        assert_eq!(Header::read(&buffer), header);
        assert_eq!(buffer[12..16], 312_u32.to_ne_bytes());
    }

    #[test]
    fn names_that_are_too_long() {
        let header = Header {
            name: "x".repeat(128),
            ..Header::default()
        };
        assert_eq!(
            header.write(&mut [0; HEADER_LEN]),
            Err(io::Errno::NAMETOOLONG)
        );
    }
}
