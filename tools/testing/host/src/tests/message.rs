// SPDX-License-Identifier: GPL-2.0

//! The grammar of messages.

use crate::target::message::Message;
use proptest::prelude::*;

/// What the words of `text` ask for.
fn parse(text: &str) -> Option<Message> {
    Message::parse(text.split(' ').map(str::as_bytes))
}

#[test]
fn what_is_no_message() {
    for text in [
        "",
        "grow",
        "Grow 1",
        "grow 1 2",
        "shrink 1",
        "grow -1",
        "grow +1",
        "grow 1M",
        "grow 0x10",
        "grow 9223372036854775808",
        "grow 18446744073709551616",
    ] {
        assert_eq!(parse(text), None, "{text}");
    }
    assert_eq!(Message::parse(std::iter::empty()), None);
    assert_eq!(Message::parse([&b"grow"[..], b"\xff"].into_iter()), None);
}

#[test]
fn stat_stands_alone() {
    assert_eq!(parse("stat"), Some(Message::Stat));
    for text in ["stat 0", "stat ", "status", "sta"] {
        assert_eq!(parse(text), None, "{text}");
    }
}

proptest! {
    #[test]
    fn every_size_of_a_file(size in 0..=i64::MAX as u64) {
        prop_assert_eq!(parse(&format!("grow {size}")), Some(Message::Grow(size)));
    }
}
