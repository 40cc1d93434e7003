// SPDX-License-Identifier: GPL-2.0

//! The model of device-mapper's splitting, against examples worked out by hand from
//! the C code: every other test of table lines stands on it.

use crate::model::args::{is_space, split};

#[test]
fn spaces_are_those_of_the_kernel() {
    let spaces: Vec<u8> = (0..=u8::MAX).filter(|&byte| is_space(byte)).collect();
    assert_eq!(spaces, [9, 10, 11, 12, 13, 32, 160]);
}

#[test]
fn nothing_is_no_argument() {
    for line in [b"".as_slice(), b" ", b" \t\n\x0b\x0c\r\xa0", b"\0a b"] {
        assert!(split(line).is_empty(), "{line:?}");
    }
}

#[test]
fn white_space_separates() {
    assert_eq!(split(b"/a 0"), [b"/a".as_slice(), b"0"]);
    assert_eq!(split(b"  /a\t\n 0 "), [b"/a".as_slice(), b"0"]);
    assert_eq!(split(b"a\xa0b"), [b"a", b"b"]);
}

#[test]
fn a_backslash_takes_the_next_byte_as_it_is() {
    assert_eq!(split(b"a\\ b c"), [b"a b".as_slice(), b"c"]);
    assert_eq!(split(b"\\\\ x"), [b"\\", b"x"]);
    assert_eq!(split(b"\\a\\\xa0\\\n"), [b"a\xa0\n"]);
    assert_eq!(split(b"\\ "), [b" "]);
}

#[test]
fn a_backslash_at_the_end_stands_for_itself() {
    assert_eq!(split(b"\\"), [b"\\"]);
    assert_eq!(split(b"a\\"), [b"a\\"]);
    assert_eq!(split(b"a\\\0b"), [b"a\\"]);
}

#[test]
fn a_line_ends_at_nul() {
    assert_eq!(split(b"a b\0c d"), [b"a", b"b"]);
}
