// SPDX-License-Identifier: GPL-2.0

//! Paths for the eye: nothing in them moves the cursor.

use std::path::Path;

/// `path` with its control characters escaped. Not for machines: bytes that are no UTF-8
/// are replaced.
pub(crate) fn printable(path: &Path) -> String {
    let mut text = String::new();
    for char in path.to_string_lossy().chars() {
        if char.is_control() {
            text.extend(char.escape_default());
        } else {
            text.push(char);
        }
    }
    text
}

/// `path` as a word of a shell command that can be pasted.
pub(crate) fn quoted(path: &Path) -> String {
    let text = printable(path);
    let plain = |char: char| char.is_alphanumeric() || "/._-+=:@%,".contains(char);
    if !text.is_empty() && text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(printable(Path::new("/a b/ü")), "/a b/ü");
        assert_eq!(printable(Path::new("/a\nb\u{1b}[2J")), r"/a\nb\u{1b}[2J");
        let odd = Path::new(OsStr::from_bytes(b"/\xff"));
        assert_eq!(printable(odd), "/\u{fffd}");
    }

    #[test]
    fn quotes_only_where_they_are_needed() {
        assert_eq!(quoted(Path::new("/tmp/img0")), "/tmp/img0");
        assert_eq!(quoted(Path::new("/my image")), "'/my image'");
        assert_eq!(quoted(Path::new("/it's")), r"'/it'\''s'");
        assert_eq!(quoted(Path::new("/$x")), "'/$x'");
    }
}
