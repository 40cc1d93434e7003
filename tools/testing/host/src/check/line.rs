// SPDX-License-Identifier: GPL-2.0

//! Table lines, from the raw line to what it means and back.

use crate::{
    model::{
        args::{double_backslashes, is_space, split},
        grammar::{self, meant, Line, Wrong},
    },
    target::table::{escape, unescape, Table, TableError},
};

/// Reads `line` as device-mapper and the target would, compares the meaning with the
/// model's, and checks that what is printed of it means the same again.
pub fn line(line: &[u8]) {
    let args = split(line);
    for arg in &args {
        check_escape(arg);
        assert_eq!(unescape(arg).collect::<Vec<u8>>(), meant(arg));
    }

    let parsed = Table::parse(args.iter().map(Vec::as_slice));
    let found = match &parsed {
        Ok(table) => Ok(Line {
            path: table.path.to_vec(),
            offset: table.offset,
            features: table.features.names().collect(),
        }),
        Err(TableError::ArgumentCount) => Err(Wrong::Count),
        Err(TableError::Offset) => Err(Wrong::Offset),
        Err(TableError::Feature) => Err(Wrong::Feature),
    };
    assert_eq!(found, grammar::read(&args));

    if let Ok(table) = parsed {
        let printed = split(&double_backslashes(&print(&table)));
        let again = Table::parse(printed.iter().map(Vec::as_slice)).expect("printed");
        assert_eq!(meant(again.path), meant(table.path));
        assert_eq!(
            (again.offset, again.features),
            (table.offset, table.features)
        );
    }
}

/// `arg`, escaped, is one argument on its way through libdevmapper and device-mapper,
/// and means itself.
fn check_escape(arg: &[u8]) {
    for &byte in arg {
        let needs = is_space(byte) || byte == b'\\' || byte == b'#';
        assert_eq!(escape(byte).is_some(), needs);
    }
    // Between others, where a cut or a join would show.
    let mut line = b"before ".to_vec();
    line.extend(escaped(arg));
    line.extend(b" after");
    let args = split(&double_backslashes(&line));
    assert_eq!(args.len(), 3, "{args:?}");
    assert_eq!(unescape(&args[1]).collect::<Vec<u8>>(), arg);
}

/// `bytes` as they are written in a table line.
fn escaped(bytes: &[u8]) -> impl Iterator<Item = u8> + '_ {
    bytes.iter().flat_map(|&byte| match escape(byte) {
        Some(word) => word.to_vec(),
        None => vec![byte],
    })
}

/// The line that the status of a device with `table` shows.
pub(crate) fn print(table: &Table<'_>) -> Vec<u8> {
    let path: Vec<u8> = unescape(table.path).collect();
    let mut line: Vec<u8> = escaped(&path).collect();
    line.extend(format!(" {}", table.offset).bytes());
    let count = table.features.names().count();
    if count > 0 {
        line.extend(format!(" {count}").bytes());
        for name in table.features.names() {
            line.extend(format!(" {name}").bytes());
        }
    }
    line
}
