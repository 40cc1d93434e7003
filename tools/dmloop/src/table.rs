// SPDX-License-Identifier: GPL-2.0

//! The arguments of the target in a table line: `<path> <offset> [<#features> <feature>…]`.
//!
//! White space, `#` and `\` in a path are written as `\` and three octal digits. The ioctl
//! takes `\` for an escape of its own: [`Table::to_ioctl`] doubles them.

use std::{
    ffi::OsString,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::PathBuf,
};

/// The arguments of one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    /// The backing file.
    pub(crate) path: PathBuf,
    /// Where in the file the device begins, in bytes.
    pub(crate) offset: u64,
    /// Features, in order.
    pub(crate) features: Vec<String>,
}

impl Table {
    /// Reads what `dmsetup table` prints behind the word `loop`.
    pub(crate) fn parse(line: &[u8]) -> Option<Self> {
        let mut words = line
            .split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty());
        let path = PathBuf::from(OsString::from_vec(unescape(words.next()?)));
        let offset = number(words.next()?)?;
        let count = words.next().map_or(Some(0), number)?;
        let features = words
            .map(|word| std::str::from_utf8(word).ok().map(str::to_owned))
            .collect::<Option<Vec<_>>>()?;
        if u64::try_from(features.len()) != Ok(count) {
            return None;
        }
        Some(Self {
            path,
            offset,
            features,
        })
    }

    /// Whether it has this feature.
    pub(crate) fn has(&self, feature: &str) -> bool {
        self.features.iter().any(|name| name == feature)
    }

    /// The line as it stands in a table.
    pub(crate) fn to_line(&self) -> Vec<u8> {
        let mut line = escape(self.path.as_os_str().as_bytes());
        line.extend_from_slice(format!(" {}", self.offset).as_bytes());
        if !self.features.is_empty() {
            line.extend_from_slice(format!(" {}", self.features.len()).as_bytes());
            for feature in &self.features {
                line.push(b' ');
                line.extend_from_slice(feature.as_bytes());
            }
        }
        line
    }

    /// The line as the ioctl wants it.
    pub(crate) fn to_ioctl(&self) -> Vec<u8> {
        let mut line = Vec::new();
        for byte in self.to_line() {
            if byte == b'\\' {
                line.push(b'\\');
            }
            line.push(byte);
        }
        line
    }
}

/// `path` with all that cannot stand for itself as `\` and three octal digits.
pub(crate) fn escape(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len());
    for &byte in path {
        match byte {
            b'\t'..=b'\r' | b' ' | b'#' | 0xa0 | b'\\' => {
                out.extend_from_slice(format!("\\{byte:03o}").as_bytes());
            }
            _ => out.push(byte),
        }
    }
    out
}

/// The way back. `\` stands for itself unless the digits of a byte of a path follow.
/// `/proc/self/mountinfo` is written in the same manner.
pub(crate) fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if let (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', others @ ..]) =
            (first, after)
        {
            let value = ((a & 7) << 6) | ((b & 7) << 3) | (c & 7);
            if value != 0 {
                out.push(value);
                rest = others;
                continue;
            }
        }
        out.push(first);
    }
    out
}

/// A plain decimal number.
fn number(word: &[u8]) -> Option<u64> {
    if word.is_empty() || !word.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(word).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::{ffi::OsStr, path::Path};

    fn parsed(line: &str) -> Option<Table> {
        Table::parse(line.as_bytes())
    }

    #[test]
    fn as_dmsetup_prints_it() {
        let table = parsed("/tmp/img0 0").unwrap();
        assert_eq!(table.path, Path::new("/tmp/img0"));
        assert_eq!((table.offset, table.features.len()), (0, 0));
        let table = parsed("/my\\040image\\134 32256 2 block_mapped no_discard").unwrap();
        assert_eq!(table.path, Path::new("/my image\\"));
        assert_eq!(table.offset, 32256);
        assert_eq!(table.features, ["block_mapped", "no_discard"]);
        assert_eq!(parsed("/x 0 0").unwrap().features.len(), 0);
    }

    #[test]
    fn what_is_no_table() {
        for line in [
            "",
            "/x",
            "/x -1",
            "/x 0 1",
            "/x 0 2 a",
            "/x 0 a",
            "/x 99999999999999999999",
        ] {
            assert_eq!(parsed(line), None, "{line}");
        }
    }

    #[test]
    fn escapes() {
        assert_eq!(escape(b"a b#\\\xa0\n"), b"a\\040b\\043\\134\\240\\012");
        // What is no escape stands for itself.
        for text in ["\\", "\\0", "\\04", "\\400", "\\08x", "\\000", "x\\"] {
            assert_eq!(unescape(text.as_bytes()), text.as_bytes());
        }
        assert_eq!(unescape(b"\\377\\001"), b"\xff\x01");
    }

    #[test]
    fn the_ioctl_has_escapes_of_its_own() {
        let table = Table {
            path: PathBuf::from("/a b"),
            offset: 512,
            features: vec!["file_mapped".to_owned()],
        };
        assert_eq!(table.to_line(), b"/a\\040b 512 1 file_mapped");
        assert_eq!(table.to_ioctl(), b"/a\\\\040b 512 1 file_mapped");
    }

    proptest! {
        #[test]
        fn any_path_survives(path in proptest::collection::vec(1_u8.., 1..200), offset: u64) {
            let table = Table {
                path: PathBuf::from(OsStr::from_bytes(&path)),
                offset,
                features: vec!["direct_io".to_owned()],
            };
            prop_assert_eq!(Table::parse(&table.to_line()), Some(table));
        }

        #[test]
        fn escaped_is_one_word(path in proptest::collection::vec(1_u8.., 0..100)) {
            let word = escape(&path);
            prop_assert!(!word.iter().any(|byte| matches!(byte, b'\t'..=b'\r' | b' ' | b'#' | 0xa0)));
            prop_assert_eq!(unescape(&word), path);
        }

        #[test]
        fn never_panics(line: Vec<u8>) {
            let _ = Table::parse(&line);
        }
    }
}
