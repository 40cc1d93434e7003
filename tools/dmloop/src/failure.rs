// SPDX-License-Identifier: GPL-2.0

//! What ends a command early: an exit code, and a sentence that says what to do.

use rustix::io::Errno;
use std::{io, path::Path};

use crate::printable::printable;

/// Exit codes, as the manual page lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// Something failed.
    Failed = 1,
    /// The command line makes no sense. (clap's own code.)
    Usage = 2,
    /// The file cannot be block-mapped.
    FileMapped = 3,
    /// There is no such device.
    NoDevice = 4,
    /// The device or the file is in use.
    Busy = 5,
    /// The kernel has no target `loop`, or no device-mapper.
    NoTarget = 6,
    /// Interrupted by a signal.
    Interrupted = 130,
}

/// Why a command ends early.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) exit: Exit,
    /// For the user. Nothing is printed if it is empty.
    pub(crate) message: String,
}

impl Failure {
    /// A failure with an exit code of its own.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
        }
    }

    /// An ordinary failure.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// A command line that makes no sense.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// `what` failed with `error`.
    pub(crate) fn io(what: &str, error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(errno) => Self::errno(what, Errno::from_raw_os_error(errno)),
            None => Self::failed(format!("{what}: {error}")),
        }
    }

    /// `what` failed with `errno`.
    pub(crate) fn errno(what: &str, errno: Errno) -> Self {
        let advice = match errno {
            Errno::ACCESS | Errno::PERM => " (are you root?)",
            Errno::NOSPC => " (make room on the file system)",
            _ => "",
        };
        let exit = match errno {
            Errno::BUSY | Errno::TXTBSY => Exit::Busy,
            _ => Exit::Failed,
        };
        Self::new(exit, format!("{what}: {}{advice}", words(errno)))
    }

    /// Opening or reading `path` failed.
    pub(crate) fn path(path: &Path, error: &io::Error) -> Self {
        Self::io(&printable(path), error)
    }
}

/// What the C library calls it: "No such file or directory".
pub(crate) fn words(errno: Errno) -> String {
    let text = io::Error::from(errno).to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_what_failed() {
        let failure = Failure::errno("/x", Errno::NOENT);
        assert_eq!(failure.message, "/x: No such file or directory");
        assert_eq!(failure.exit, Exit::Failed);
        let failure = Failure::errno("/x", Errno::ACCESS);
        assert_eq!(failure.message, "/x: Permission denied (are you root?)");
        assert_eq!(Failure::errno("/x", Errno::BUSY).exit, Exit::Busy);
    }

    /// Lists of exit codes, in words without their markup.
    fn listed(text: &str) -> Vec<(u8, String)> {
        let mut list: Vec<(u8, String)> = Vec::new();
        for line in text.lines() {
            let line = ["\\fB", "\\fR", "\\", "``", "\""]
                .iter()
                .fold(line.to_owned(), |line, markup| line.replace(markup, ""));
            let (first, rest) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
            match (first.parse(), list.last_mut()) {
                (Ok(code), _) => list.push((code, rest.trim().to_owned())),
                // The man page has them below.
                (Err(_), Some((_, words))) if words.is_empty() => {
                    line.trim().clone_into(words);
                }
                _ => {}
            }
        }
        list
    }

    #[test]
    fn exit_codes_are_the_same_everywhere() {
        let read = |path: &str| {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
            std::fs::read_to_string(path).unwrap()
        };
        let between = |text: &str, from: &str, to: &str| {
            let rest = text.split_once(from).unwrap().1;
            rest.split_once(to).unwrap().0.to_owned()
        };
        let help = listed(crate::cli::EXIT_CODES);
        let codes: Vec<u8> = help.iter().map(|(code, _)| *code).collect();
        let known = [
            Exit::Done,
            Exit::Failed,
            Exit::Usage,
            Exit::FileMapped,
            Exit::NoDevice,
            Exit::Busy,
            Exit::NoTarget,
            Exit::Interrupted,
        ];
        assert_eq!(codes, known.map(|exit| exit as u8));
        let man = read("dmloop.8.in");
        assert_eq!(listed(&between(&man, ".SH EXIT STATUS", ".SH FILES")), help);
        let page = read("../../Documentation/dmloop.rst");
        let table = between(&page, "code  meaning", "Installing");
        assert_eq!(listed(&table), help);
    }
}
