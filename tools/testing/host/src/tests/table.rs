// SPDX-License-Identifier: GPL-2.0

//! The grammar of table lines.

use crate::{
    check::{line, print},
    model::{
        args::{double_backslashes, split},
        grammar::{CONTRADICTIONS, FEATURES},
    },
    target::table::{escape, unescape, Features, IoMode, Mapping, Table, TableError},
};
use proptest::{collection::vec, prelude::*, sample::select};

/// Splits and reads `text`, and hands the outcome to `check`.
fn with_table<T>(text: &[u8], check: impl FnOnce(Result<Table<'_>, TableError>) -> T) -> T {
    line(text);
    let args = split(text);
    check(Table::parse(args.iter().map(Vec::as_slice)))
}

/// The features of a line that must be right.
fn features(text: &str) -> Features {
    with_table(text.as_bytes(), |table| table.unwrap().features)
}

/// Asserts that `text` is refused with `error`.
#[track_caller]
fn refused(text: &[u8], error: TableError) {
    with_table(text, |table| {
        assert_eq!(table, Err(error), "{}", text.escape_ascii());
    });
}

#[test]
fn path_and_offset_are_enough() {
    with_table(b"/img 0", |table| {
        let table = table.unwrap();
        assert_eq!(table.path, b"/img");
        assert_eq!(table.offset, 0);
        assert_eq!(table.features, Features::default());
        assert_eq!(table.features.mapping, Mapping::Auto);
        assert_eq!(table.features.io, None);
        assert!(!table.features.no_discard);
    });
}

#[test]
fn a_count_of_none_is_a_count() {
    assert_eq!(features("/img 0 0"), Features::default());
}

#[test]
fn each_feature_means_what_it_says() {
    let default = Features::default();
    for (name, expected) in [
        (
            "block_mapped",
            Features {
                mapping: Mapping::Block,
                ..default
            },
        ),
        (
            "file_mapped",
            Features {
                mapping: Mapping::File,
                ..default
            },
        ),
        (
            "buffered_io",
            Features {
                io: Some(IoMode::Buffered),
                ..default
            },
        ),
        (
            "direct_io",
            Features {
                io: Some(IoMode::Direct),
                ..default
            },
        ),
        (
            "no_discard",
            Features {
                no_discard: true,
                ..default
            },
        ),
    ] {
        let found = features(&format!("/img 0 1 {name}"));
        assert_eq!(found, expected);
        assert_eq!(found.names().collect::<Vec<_>>(), [name]);
    }
}

#[test]
fn features_have_no_order() {
    let names = ["file_mapped", "direct_io", "no_discard"];
    let expected = Features {
        mapping: Mapping::File,
        io: Some(IoMode::Direct),
        no_discard: true,
    };
    for [a, b, c] in [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ] {
        let found = features(&format!("/img 0 3 {} {} {}", names[a], names[b], names[c]));
        assert_eq!(found, expected);
        assert_eq!(found.names().collect::<Vec<_>>(), names);
    }
}

#[test]
fn argument_counts() {
    for text in [
        "",
        "/img",
        "/img 0 x",
        "/img 0 -1",
        "/img 0 +1 no_discard",
        "/img 0 0x1 no_discard",
        "/img 0 1",
        "/img 0 0 no_discard",
        "/img 0 2 no_discard",
        "/img 0 1 no_discard block_mapped",
        "/img 0 no_discard",
        "/img 0 18446744073709551615",
        "/img 0 18446744073709551616",
        "/img 0 18446744073709551617 no_discard",
    ] {
        refused(text.as_bytes(), TableError::ArgumentCount);
    }
}

#[test]
fn a_wrong_count_hides_a_wrong_feature() {
    refused(b"/img 0 2 nonsense", TableError::ArgumentCount);
    refused(b"/img 0 0 nonsense", TableError::ArgumentCount);
}

#[test]
fn offsets() {
    for (text, offset) in [
        ("0", 0),
        ("00", 0),
        ("0512", 512),
        ("32256", 32256),
        ("1", 1),
        ("9223372036854775807", i64::MAX as u64),
        (
            "0000000000000000000000009223372036854775807",
            i64::MAX as u64,
        ),
    ] {
        with_table(format!("/img {text}").as_bytes(), |table| {
            assert_eq!(table.unwrap().offset, offset);
        });
    }
    for text in [
        "-1",
        "-0",
        "+1",
        "0x10",
        "1k",
        "1M",
        "1.0",
        "1e3",
        "512,",
        "x",
        "_",
        "1_000",
        "\\ 1",
        "1\\ ",
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "18446744073709551617",
        "99999999999999999999999999999999999999999999",
        "\u{661}",
        "/",
        ":",
        "1/",
        "1:",
    ] {
        refused(format!("/img {text}").as_bytes(), TableError::Offset);
        // Before all that follows it.
        refused(
            format!("/img {text} 1 nonsense").as_bytes(),
            TableError::Offset,
        );
        refused(format!("/img {text} 7").as_bytes(), TableError::Offset);
    }
    refused(b"/img \xb2", TableError::Offset);
}

#[test]
fn unknown_features() {
    for name in [
        "nonsense",
        "Block_mapped",
        "block_mappe",
        "block_mappedx",
        "block-mapped",
        "no_discard\\ ",
        "\\ no_discard",
        "1",
        "discard",
    ] {
        refused(format!("/img 0 1 {name}").as_bytes(), TableError::Feature);
    }
    refused(b"/img 0 1 no_discard\xff", TableError::Feature);
    refused(b"/img 0 2 no_discard \xc3\x28", TableError::Feature);
}

#[test]
fn repeated_features() {
    for name in FEATURES {
        refused(
            format!("/img 0 2 {name} {name}").as_bytes(),
            TableError::Feature,
        );
    }
    refused(
        b"/img 0 3 no_discard file_mapped no_discard",
        TableError::Feature,
    );
}

#[test]
fn every_pair_of_features() {
    for a in FEATURES {
        for b in FEATURES {
            let wrong = a == b
                || CONTRADICTIONS
                    .iter()
                    .any(|pair| pair.contains(&a) && pair.contains(&b));
            with_table(format!("/img 0 2 {a} {b}").as_bytes(), |table| {
                assert_eq!(table.is_err(), wrong, "{a} {b}");
            });
        }
    }
}

#[test]
fn paths_are_raw_bytes() {
    for (text, path) in [
        (
            b"\\ /a\\\\b\\\n\\\xa0 0".as_slice(),
            b" /a\\b\n\xa0".as_slice(),
        ),
        (b"\xff\xfe\x01 0", b"\xff\xfe\x01"),
        ("/B\u{fc}cher 0".as_bytes(), "/B\u{fc}cher".as_bytes()),
        (b"- 0", b"-"),
        (b"\\\\ 0", b"\\"),
    ] {
        with_table(text, |table| assert_eq!(table.unwrap().path, path));
    }
}

#[test]
fn a_no_break_space_is_cut_unless_its_second_byte_is_escaped() {
    // U+00A0 is C2 A0 in UTF-8, U+00E0 is C3 A0: both hold what the kernel calls space.
    refused(b"/a\xc2\xa0b 0", TableError::Offset);
    with_table(b"/\\\xc3\xa0 0", |table| {
        assert_eq!(table.unwrap().path, b"/\xc3");
    });
    for path in ["/a\u{a0}b", "/\u{e0}"] {
        survives(path.as_bytes());
    }
}

#[test]
fn every_byte_of_a_path_survives_printing() {
    survives(&(1..=u8::MAX).collect::<Vec<u8>>());
    let escaped = (0..=u8::MAX).filter(|&byte| escape(byte).is_some());
    assert_eq!(escaped.count(), 9);
}

#[test]
fn octal_digits_mean_a_byte_and_a_lone_backslash_means_itself() {
    for (text, meant) in [
        (b"/a\\040b".as_slice(), b"/a b".as_slice()),
        (b"\\134", b"\\"),
        (b"\\134040", b"\\040"),
        (b"\\240", b"\xa0"),
        (b"\\377", b"\xff"),
        (b"a\\b", b"a\\b"),
        (b"\\04", b"\\04"),
        (b"\\048", b"\\048"),
        (b"\\400", b"\\400"),
        // A path holds no NUL.
        (b"\\000", b"\\000"),
        (b"\\", b"\\"),
        (b"", b""),
    ] {
        assert_eq!(unescape(text).collect::<Vec<u8>>(), meant);
    }
}

/// `path`, printed, sent through libdevmapper and read again, is itself.
fn survives(path: &[u8]) {
    survives_with(path, 1 << 40, Features::default());
}

/// As [`survives`], with the rest of a line.
fn survives_with(path: &[u8], offset: u64, features: Features) {
    let path: Vec<u8> = path
        .iter()
        .flat_map(|&byte| escape(byte).map_or(vec![byte], |word| word.to_vec()))
        .collect();
    let table = Table {
        path: &path,
        offset,
        features,
    };
    with_table(&double_backslashes(&print(&table)), |again| {
        assert_eq!(again, Ok(table));
    });
}

/// Bytes that mean something to device-mapper, and others.
fn byte() -> impl Strategy<Value = u8> {
    prop_oneof![select(b"\\ \t\n\x0b\x0c\r\xa0\0/0".as_slice()), any::<u8>()]
}

/// Arguments that are often right.
fn argument() -> impl Strategy<Value = Vec<u8>> {
    let literal = |text: &str| Just(text.as_bytes().to_vec());
    prop_oneof![
        4 => select(FEATURES.as_slice()).prop_map(|name| name.as_bytes().to_vec()),
        3 => (0_usize..6).prop_map(|count| count.to_string().into_bytes()),
        1 => any::<u64>().prop_map(|number| number.to_string().into_bytes()),
        1 => any::<u128>().prop_map(|number| number.to_string().into_bytes()),
        1 => prop_oneof![literal("9223372036854775807"), literal("9223372036854775808")],
        1 => vec(byte(), 1..8),
    ]
}

/// Features that can be had together.
fn any_features() -> impl Strategy<Value = Features> {
    let any_io = || select([None, Some(IoMode::Buffered), Some(IoMode::Direct)].as_slice());
    let mapping = prop_oneof![
        Just((Mapping::Block, None)),
        any_io().prop_map(|io| (Mapping::File, io)),
        any_io().prop_map(|io| (Mapping::Auto, io)),
    ];
    (mapping, any::<bool>()).prop_map(|((mapping, io), no_discard)| Features {
        mapping,
        io,
        no_discard,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16_384))]

    #[test]
    fn raw_lines(text in vec(byte(), 0..64)) {
        line(&text);
    }

    #[test]
    fn likely_lines(path in vec(byte(), 1..16), rest in vec(argument(), 0..7)) {
        line(&rest.iter().fold(path, |line, arg| [line, arg.clone()].join(&b' ')));
    }

    #[test]
    fn right_counts(offset in 0_u64..1 << 63, names in vec(argument(), 0..5)) {
        let mut text = format!("/img {offset} {}", names.len()).into_bytes();
        for name in names {
            text.push(b' ');
            text.extend(name);
        }
        line(&text);
    }

    #[test]
    fn octal_digits_or_nearly(text in vec(select(b"\\\\\\012345678".as_slice()), 1..16)) {
        line(&[b"/".as_slice(), &text, b" 0"].concat());
    }

    #[test]
    fn any_table_survives_printing(
        path in vec(1..=u8::MAX, 1..64),
        offset in 0_u64..1 << 63,
        features in any_features(),
    ) {
        survives_with(&path, offset, features);
    }
}
