// SPDX-License-Identifier: GPL-2.0

//! What the target says of itself: `dmsetup status`, behind the word `loop`.

/// The state of one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// I/O goes straight to the disk.
    Block {
        /// In how many pieces the file lies there.
        extents: u64,
        /// The disk, as major and minor.
        disk: (u32, u32),
    },
    /// I/O goes through the file system.
    File {
        /// Past the page cache.
        direct: bool,
        /// Why it is not block-mapped, in one word.
        reason: String,
        /// How many bios have not ended.
        in_flight: u64,
    },
}

impl Status {
    /// Reads `block <extents> <major>:<minor>` or `file <direct|buffered> <reason> <in flight>`.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match words.as_slice() {
            ["block", extents, disk] => Some(Self::Block {
                extents: extents.parse().ok()?,
                disk: parse_device(disk)?,
            }),
            ["file", mode @ ("direct" | "buffered"), reason, in_flight] => Some(Self::File {
                direct: *mode == "direct",
                reason: (*reason).to_owned(),
                in_flight: in_flight.parse().ok()?,
            }),
            _ => None,
        }
    }
}

/// Reads `<major>:<minor>`.
pub(crate) fn parse_device(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn as_dmsetup_prints_it() {
        assert_eq!(
            Status::parse("block 17 254:0"),
            Some(Status::Block {
                extents: 17,
                disk: (254, 0)
            })
        );
        let file = |direct, reason: &str, in_flight| {
            Some(Status::File {
                direct,
                reason: reason.to_owned(),
                in_flight,
            })
        };
        assert_eq!(
            Status::parse("file direct sparse 0"),
            file(true, "sparse", 0)
        );
        assert_eq!(
            Status::parse("file buffered requested 12 "),
            file(false, "requested", 12)
        );
    }

    #[test]
    fn what_is_no_status() {
        for line in [
            "",
            "block",
            "block 1",
            "block x 1:2",
            "block 1 12",
            "file x y 1",
            "file direct sparse",
            "block 1 1:2 3",
        ] {
            assert_eq!(Status::parse(line), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(line in "(block|file)? ?\\PC*") {
            let _ = Status::parse(&line);
        }

        #[test]
        fn any_numbers(extents: u64, major: u32, minor: u32) {
            let line = format!("block {extents} {major}:{minor}");
            prop_assert_eq!(Status::parse(&line), Some(Status::Block { extents, disk: (major, minor) }));
        }
    }
}
