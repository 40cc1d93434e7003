// SPDX-License-Identifier: GPL-2.0

//! `/etc/dmlooptab`: what is attached at boot. A line for each device:
//!
//! ```text
//! NAME FILE [OFFSET [OPTION,…]]
//! ```

use crate::{device::is_good_name, size, table::unescape};
use std::{ffi::OsString, os::unix::ffi::OsStringExt, path::PathBuf};

/// A line of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Name of the device.
    pub(crate) name: String,
    /// The file, absolute.
    pub(crate) file: PathBuf,
    /// Options for `dmloop attach`.
    pub(crate) options: Vec<String>,
    /// Whether it is attached at boot, and not only when something needs it.
    pub(crate) auto: bool,
}

/// Reads the file: entries, and what is wrong with the lines that are none.
pub(crate) fn parse(text: &[u8]) -> (Vec<Entry>, Vec<String>) {
    let mut entries: Vec<Entry> = Vec::new();
    let mut wrong = Vec::new();
    for (number, line) in (1..).zip(text.split(|&byte| byte == b'\n')) {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        match parse_line(line) {
            Ok(entry) if entries.iter().any(|other| other.name == entry.name) => {
                wrong.push(format!("line {number}: there is a {} already", entry.name));
            }
            Ok(entry) => entries.push(entry),
            Err(why) => wrong.push(format!("line {number}: {why}")),
        }
    }
    (entries, wrong)
}

fn parse_line(line: &[u8]) -> Result<Entry, String> {
    let words: Vec<&[u8]> = line
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
        .collect();
    let (name, file, rest) = match words.as_slice() {
        [name, file, rest @ ..] if rest.len() <= 2 => (name, file, rest),
        _ => return Err("a line is NAME FILE [OFFSET [OPTIONS]]".to_owned()),
    };
    let name = String::from_utf8_lossy(name).into_owned();
    if !is_good_name(&name) {
        return Err(format!("{name} cannot be the name of a device"));
    }
    let file = unescape(file);
    // What would need to be quoted in units in more than one way.
    if file
        .iter()
        .any(|byte| byte.is_ascii_control() || b"\"\\'".contains(byte))
    {
        return Err(
            "quotes, backslashes and control characters cannot be in the name of the file"
                .to_owned(),
        );
    }
    let file = PathBuf::from(OsString::from_vec(file));
    if !file.is_absolute() || file.to_str().is_none() {
        return Err("the name of the file begins with / and is UTF-8".to_owned());
    }
    let text = |index: usize| {
        rest.get(index)
            .map(|word| String::from_utf8_lossy(word).into_owned())
    };
    let mut entry = Entry {
        name,
        file,
        options: Vec::new(),
        auto: true,
    };
    if let Some(offset) = text(0).filter(|offset| offset != "-") {
        size::parse(&offset)?;
        entry.options.push(format!("--offset={offset}"));
    }
    for option in text(1)
        .filter(|options| options != "-")
        .iter()
        .flat_map(|options| options.split(','))
    {
        entry.add(option)?;
    }
    Ok(entry)
}

impl Entry {
    fn add(&mut self, option: &str) -> Result<(), String> {
        match option.split_once('=').unwrap_or((option, "")) {
            ("" | "defaults" | "auto" | "rw", "") => return Ok(()),
            ("noauto", "") => {
                self.auto = false;
                return Ok(());
            }
            ("ro" | "read-only", "") => self.options.push("--read-only".to_owned()),
            ("block-mapped" | "file-mapped" | "no-discard" | "partscan", "") => {
                self.options.push(format!("--{option}"));
            }
            ("direct-io", "on" | "off") => self.options.push(format!("--{option}")),
            ("sizelimit", limit) => {
                size::parse(limit)?;
                self.options.push(format!("--{option}"));
            }
            _ => return Err(format!("what is the option {option}?")),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::Path;

    #[test]
    fn lines() {
        let text = b"# a comment\n\nswap0  /swap.img\t- block-mapped\n part1 /my\\040disk.img 32256 ro,sizelimit=1M,noauto\nx /x 0 -\n";
        let (entries, wrong) = parse(text);
        assert_eq!(wrong, Vec::<String>::new());
        assert_eq!(entries.len(), 3);
        assert_eq!((entries[0].name.as_str(), entries[0].auto), ("swap0", true));
        assert_eq!(entries[0].options, ["--block-mapped"]);
        assert_eq!(entries[1].file, Path::new("/my disk.img"));
        assert_eq!(
            entries[1].options,
            ["--offset=32256", "--read-only", "--sizelimit=1M"]
        );
        assert!(!entries[1].auto);
        assert_eq!(entries[2].options, ["--offset=0"]);
    }

    #[test]
    fn wrong_lines() {
        for line in [
            "x",
            "x relative",
            "x /x y",
            "x /x 0 what",
            "x /x 0 ro 5",
            "a/b /x",
            "x /x\\042",
            "x /x 0 direct-io=maybe",
            "x /x 0 ro=1",
        ] {
            let (entries, wrong) = parse(line.as_bytes());
            assert_eq!((entries.len(), wrong.len()), (0, 1), "{line}");
            assert!(wrong[0].starts_with("line 1: "));
        }
        let (entries, wrong) = parse(b"x /a\nx /b\n");
        assert_eq!(
            (entries.len(), wrong.as_slice()),
            (1, ["line 2: there is a x already".to_owned()].as_slice())
        );
    }

    proptest! {
        #[test]
        fn never_panics(text: Vec<u8>) {
            let _ = parse(&text);
        }
    }
}
