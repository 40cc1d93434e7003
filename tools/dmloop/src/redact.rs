// SPDX-License-Identifier: GPL-2.0

//! Hiding names: each is replaced by a number, the same one everywhere.

use std::collections::BTreeMap;

/// Names shorter than this occur as words of their own: they count only where a name stands,
/// behind one of [`LEADERS`].
const SHORT: usize = 3;
const LEADERS: &[char] = &['/', '"', '-'];

/// Words that say nothing about anybody.
const COMMON: &[&str] = &[
    "dev", "mapper", "proc", "sys", "run", "tmp", "var", "mnt", "media", "home", "root", "usr",
    "opt", "srv", "etc", "lib", "boot", "control", "loop", "block", "file", "none", "data",
];

/// Names to be hidden.
#[derive(Debug, Default)]
pub(crate) struct Names(BTreeMap<String, String>);

impl Names {
    /// Hides each part of a path.
    pub(crate) fn add_path(&mut self, path: &str) {
        for part in path.split('/') {
            self.add(part, "name");
        }
    }

    /// Hides a word, which becomes `KIND-NUMBER`.
    pub(crate) fn add(&mut self, word: &str, kind: &str) {
        let numbered = word
            .strip_prefix("loop")
            .is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()));
        if word.is_empty() || COMMON.contains(&word) || numbered || self.0.contains_key(word) {
            return;
        }
        let number = self.0.len() + 1;
        self.0.insert(word.to_owned(), format!("{kind}-{number}"));
        // As it stands in tables and in mountinfo.
        let escaped = String::from_utf8_lossy(&crate::table::escape(word.as_bytes())).into_owned();
        if escaped != word {
            self.0.insert(escaped, format!("{kind}-{number}"));
        }
    }

    /// `text` without the names.
    pub(crate) fn hide(&self, text: &str) -> String {
        // The longest first: one may be part of another.
        let mut words: Vec<(&String, &String)> = self.0.iter().collect();
        words.sort_by_key(|(word, _)| std::cmp::Reverse(word.len()));
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        let mut before = None;
        'text: while let Some(first) = rest.chars().next() {
            for (word, stand_in) in &words {
                let begins = match before {
                    Some(char) if word.len() < SHORT => LEADERS.contains(&char),
                    Some(char) => !is_word(char),
                    None => word.len() >= SHORT,
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
            "host-4: /home/name-1/name-2 (name-1)"
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

    proptest! {
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
