// SPDX-License-Identifier: GPL-2.0

//! Why a file is not block-mapped, in words, and what mends it.

use crate::printable::quoted;
use std::path::Path;

/// What a reason means.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reason {
    /// As `dmsetup status` has it.
    pub(crate) token: &'static str,
    /// As the target's refusal has it, behind "Cannot block-map: ".
    message: &'static str,
    /// To be read after "because".
    pub(crate) because: &'static str,
    mend: Mend,
}

/// What mends it.
#[derive(Clone, Copy, Debug)]
enum Mend {
    /// `dmloop prepare`
    Prepare,
    /// Something else, in words.
    Other(&'static str),
}

const REASONS: &[Reason] = &[
    Reason {
        token: "requested",
        message: "",
        because: "file mapping was asked for",
        mend: Mend::Other("detach it, and attach it without --file-mapped and --direct-io"),
    },
    Reason {
        token: "in_use",
        message: "",
        because: "something has it open for writing, or another device uses it",
        mend: Mend::Other("close it there, or detach that device (fuser and dmloop list -j show who it is)"),
    },
    Reason {
        token: "sparse",
        message: "file is sparse",
        because: "there are holes in it",
        mend: Mend::Prepare,
    },
    Reason {
        token: "unwritten",
        message: "file has unwritten extents",
        because: "parts of it were allocated and never written",
        mend: Mend::Prepare,
    },
    Reason {
        token: "cow",
        message: "file is copied on write",
        because: "it is copied on write, or shares blocks with another file",
        mend: Mend::Prepare,
    },
    Reason {
        token: "no_blockdev",
        message: "file system has no block device",
        because: "its file system is not on a disk of this machine",
        mend: Mend::Other("copy it to ext4, xfs, btrfs, f2fs or vfat on a local disk"),
    },
    Reason {
        token: "fs_unsupported",
        message: "file system is not supported",
        because: "its file system is not one that files are block-mapped on",
        mend: Mend::Other("copy it to ext2, ext3, ext4, xfs, btrfs, f2fs or vfat"),
    },
    Reason {
        token: "fs_refused",
        message: "file system refused",
        because: "the file system will not keep its blocks in place",
        mend: Mend::Other(
            "see the kernel log (dmesg); ext4: no data journalling; btrfs: no snapshots of it, and one copy of data; \
             f2fs: writable, not mode=lfs, not compressed, and for root alone to read (chmod 600)",
        ),
    },
    Reason {
        token: "encrypted",
        message: "file is encrypted",
        because: "its file system encrypts it",
        mend: Mend::Other("copy it to a folder that is not encrypted, and use dm-crypt on the device"),
    },
    Reason {
        token: "verity",
        message: "file is protected by fs-verity",
        because: "it is sealed by fs-verity",
        mend: Mend::Other("make a copy, which is not sealed"),
    },
    Reason {
        token: "dax",
        message: "file is on DAX",
        because: "it is accessed by DAX",
        mend: Mend::Other("mount its file system with -o dax=never"),
    },
    Reason {
        token: "misaligned",
        message: "file layout is misaligned",
        because: "a part of the device lies on no whole block of the disk",
        mend: Mend::Other(
            "choose --offset and --sizelimit so that the device begins and ends with blocks of the disk and the file system",
        ),
    },
];

impl Reason {
    /// By its token.
    pub(crate) fn of(token: &str) -> Option<&'static Self> {
        REASONS.iter().find(|reason| reason.token == token)
    }

    /// By the message of a refusal.
    pub(crate) fn of_message(message: &str) -> Option<&'static Self> {
        let words = message.strip_prefix("Cannot block-map: ")?;
        REASONS
            .iter()
            .find(|reason| !reason.message.is_empty() && reason.message == words)
    }

    /// What to do about it for `file`.
    pub(crate) fn mend(&self, file: &Path) -> String {
        match self.mend {
            Mend::Prepare => format!("dmloop prepare {}", quoted(file)),
            Mend::Other(words) => words.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_and_messages() {
        for reason in REASONS {
            assert_eq!(
                Reason::of(reason.token).map(|reason| reason.token),
                Some(reason.token)
            );
        }
        let found = Reason::of_message("Cannot block-map: file is sparse");
        assert_eq!(found.map(|reason| reason.token), Some("sparse"));
        assert!(Reason::of_message("Cannot block-map: ").is_none());
        assert!(Reason::of_message("Invalid offset").is_none());
    }

    #[test]
    fn what_mends() {
        let file = Path::new("/my image");
        assert_eq!(
            Reason::of("sparse").unwrap().mend(file),
            "dmloop prepare '/my image'"
        );
        assert!(Reason::of("dax").unwrap().mend(file).contains("dax=never"));
    }
}
