// SPDX-License-Identifier: GPL-2.0

//! Hiding names: each is replaced by a number, the same one everywhere.

use crate::{printable::printable, table::escape};
use std::{collections::BTreeMap, ffi::OsStr, fmt::Write, os::unix::ffi::OsStrExt, path::Path};

/// Names shorter than this occur as words of their own: they count only where a name stands,
/// behind one of [`LEADERS`], and numbers only where a path goes on.
const SHORT: usize = 3;
const LEADERS: &[char] = &['/', '"', '-'];

/// Words that say nothing about anybody.
const COMMON: &[&str] = &[
    "dev", "mapper", "proc", "sys", "run", "tmp", "var", "mnt", "media", "home", "root", "usr",
    "opt", "srv", "etc", "lib", "boot", "control", "loop", "block", "file", "none", "data", "disk",
    "shm", "lock", "user", "self", "fd", ".", "..",
];

/// Names to be hidden.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// What is put in the place of each, in each way of writing it.
    words: BTreeMap<String, String>,
    count: usize,
}

impl Names {
    /// Hides each part of a path.
    pub(crate) fn add_path(&mut self, path: impl AsRef<OsStr>) {
        for part in path.as_ref().as_bytes().split(|&byte| byte == b'/') {
            self.add(OsStr::from_bytes(part), "name");
        }
    }

    /// Hides a word, which becomes `KIND-NUMBER`.
    pub(crate) fn add(&mut self, word: impl AsRef<OsStr>, kind: &str) {
        let word = word.as_ref();
        let text = word.to_string_lossy().into_owned();
        let numbered = text
            .strip_prefix("loop")
            .is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()));
        if text.is_empty() || COMMON.contains(&&*text) || numbered || self.words.contains_key(&text)
        {
            return;
        }
        self.count += 1;
        let stand_in = format!("{kind}-{}", self.count);
        for word in spellings(word) {
            self.words.entry(word).or_insert_with(|| stand_in.clone());
        }
    }

    /// `text` without the names.
    pub(crate) fn hide(&self, text: &str) -> String {
        // The longest first: one may be part of another.
        let mut words: Vec<(&String, &String)> = self.words.iter().collect();
        words.sort_by_key(|(word, _)| std::cmp::Reverse(word.len()));
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        let mut before = None;
        'text: while let Some(first) = rest.chars().next() {
            for (word, stand_in) in &words {
                let number = word.bytes().all(|byte| byte.is_ascii_digit());
                let short = word.len() < SHORT || number;
                let begins = match before {
                    Some(char) if number => char == '/',
                    Some(char) if short => LEADERS.contains(&char),
                    Some(char) => !is_word(char),
                    None => !short,
                };
                let after = rest.strip_prefix(word.as_str()).filter(|_| begins);
                if let Some(after) =
                    after.filter(|after| !after.chars().next().is_some_and(is_word))
                {
                    out.push_str(stand_in);
                    before = word.chars().last();
                    rest = after;
                    continue 'text;
                }
            }
            out.push(first);
            before = Some(first);
            rest = &rest[first.len_utf8()..];
        }
        out
    }
}

/// In which ways a report writes `word`: as it is; as in tables and in mountinfo; for the
/// eye; as Rust shows paths and strings; as the kernel log does.
fn spellings(word: &OsStr) -> Vec<String> {
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let unquoted = |text: String| text.get(1..text.len() - 1).unwrap_or_default().to_owned();
    let mut logged = String::new();
    for &byte in word.as_bytes() {
        match byte {
            b' '..=b'~' if byte != b'\\' => logged.push(char::from(byte)),
            _ => {
                let _ = write!(logged, "\\x{byte:02x}");
            }
        }
    }
    vec![
        lossy(word.as_bytes()),
        lossy(&escape(word.as_bytes())),
        printable(Path::new(word)),
        unquoted(format!("{:?}", lossy(word.as_bytes()))),
        unquoted(format!("{word:?}")),
        logged,
    ]
}

/// Whether a name goes on at such a character.
fn is_word(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names() -> Names {
        let mut names = Names::default();
        names.add_path("/home/alice/secret plans.img");
        names.add("alicebox", "host");
        names
    }

    #[test]
    fn the_same_everywhere() {
        let names = names();
        assert_eq!(
            names.hide("alicebox: /home/alice/secret plans.img (alice)"),
            "host-3: /home/name-1/name-2 (name-1)"
        );
        assert_eq!(
            names.hide("0 8 loop /home/alice/secret\\040plans.img 0"),
            "0 8 loop /home/name-1/name-2 0"
        );
    }

    #[test]
    fn what_only_looks_like_one() {
        assert_eq!(
            names().hide("malice alices /dev/mapper"),
            "malice alices /dev/mapper"
        );
        let mut names = Names::default();
        names.add_path("/dev/mapper/loop0/x/ab");
        assert_eq!(
            names.hide("/dev/mapper/loop0 ab x: /x/ab/c \"ab\""),
            "/dev/mapper/loop0 ab x: /name-1/name-2/c \"name-2\""
        );
    }

    #[test]
    fn numbers_are_names_only_in_paths() {
        let mut names = Names::default();
        names.add_path("/run/user/1000");
        assert_eq!(
            names.hide("size 1000 at /run/user/1000, file-1000"),
            "size 1000 at /run/user/name-1, file-1000"
        );
    }

    #[test]
    fn however_they_are_written() {
        let odd = OsStr::from_bytes(b"it's \"odd\" \\ \n\xff \xc3\xbc#");
        let mut names = Names::default();
        names.add_path(Path::new("/srv").join(odd));
        let path = Path::new("/srv").join(odd);
        let table = String::from_utf8_lossy(&escape(path.as_os_str().as_bytes())).into_owned();
        for text in [
            path.to_string_lossy().into_owned(),
            printable(&path),
            format!("{path:?}"),
            format!("{:?}", path.to_string_lossy()),
            table,
            "/srv/it's \"odd\" \\x5c \\x0a\\xff \\xc3\\xbc#".to_owned(),
        ] {
            let hidden = names.hide(&text);
            assert_eq!(hidden.trim_matches('"'), "/srv/name-1", "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_odd_name_is_left(name in "[a-z]{3}[ -~äß\\n]{1,9}[a-z]{3}", noise in "[ :/\\n]{0,5}") {
            prop_assume!(!name.contains('/'));
            let mut names = Names::default();
            names.add(&name, "name");
            let path = Path::new(&name);
            for text in [name.clone(), format!("{path:?}"), printable(path)] {
                let hidden = names.hide(&format!("{noise}{text}{noise}"));
                prop_assert_eq!(hidden.replace('"', ""), format!("{noise}name-1{noise}"));
            }
        }

        #[test]
        fn no_name_is_left(parts in proptest::collection::vec("[a-z]{4,9}", 1..5), noise in "[ 0-9:/\\n]{0,5}") {
            let mut names = Names::default();
            let path = format!("/{}", parts.join("/"));
            names.add_path(&path);
            let hidden = names.hide(&format!("{noise}{path}{noise}"));
            for part in parts.iter().filter(|part| !COMMON.contains(&part.as_str())) {
                prop_assert!(!hidden.split(|char| !is_word(char)).any(|word| word == part && word != "name"));
            }
        }
    }
}
