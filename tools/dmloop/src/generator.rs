// SPDX-License-Identifier: GPL-2.0

//! A generator for systemd: a unit for each line of `/etc/dmlooptab`. systemd runs it, by
//! the name of `dmloop-generator`, early at boot and at each daemon-reload.

use crate::tab::{self, Entry};
use std::{
    env,
    fmt::{Display, Write as _},
    fs,
    io::{self, ErrorKind},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::ExitCode,
};

const TAB: &str = "/etc/dmlooptab";

/// Writes the units into the folder that systemd names first.
pub(crate) fn main() -> ExitCode {
    let Some(folder) = env::args_os().nth(1).map(PathBuf::from) else {
        crate::note("usage: dmloop-generator FOLDER (systemd runs it)");
        return ExitCode::from(2);
    };
    // For tests; systemd sets nothing.
    let tab = env::var_os("DMLOOPTAB").map_or_else(|| PathBuf::from(TAB), PathBuf::from);
    let text = match fs::read(&tab) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return ExitCode::SUCCESS,
        Err(error) => {
            crate::note(&format!("{}: {error}", tab.display()));
            return ExitCode::FAILURE;
        }
    };
    let (entries, wrong) = tab::parse(&text);
    for why in &wrong {
        crate::note(&format!("{}: {why}", tab.display()));
    }
    let program = program();
    let mut status = ExitCode::SUCCESS;
    for entry in &entries {
        let failed = |why: &dyn Display| crate::note(&format!("{}: {why}", entry.name));
        if !fits(&entry.name) {
            failed(&"the name is too long for a unit of systemd");
        } else if let Err(error) = write(&folder, entry, &program) {
            failed(&error);
        } else {
            continue;
        }
        // The others are attached all the same.
        status = ExitCode::FAILURE;
    }
    status
}

/// Whether the names of all files that a device of this name gets are short enough: this is
/// the longest of them.
fn fits(name: &str) -> bool {
    format!("dev-mapper-{}.device.requires", escape(name)).len() <= 255
}

/// The tool itself: what the name of the generator is a link to.
fn program() -> String {
    let path = env::current_exe()
        .ok()
        .and_then(|path| path.to_str().map(str::to_owned));
    path.unwrap_or_else(|| "dmloop".to_owned())
}

fn write(folder: &Path, entry: &Entry, program: &str) -> io::Result<()> {
    let name = escape(&entry.name);
    let service = format!("dmloop@{name}.service");
    fs::write(folder.join(&service), unit(entry, program))?;
    let link = |from: String| {
        let from = folder.join(from);
        fs::create_dir_all(&from)?;
        symlink(Path::new("..").join(&service), from.join(&service))
    };
    // Attaching takes as long as it takes: a file system to check first, a large file to sync.
    let device = folder.join(format!("dev-mapper-{name}.device.d"));
    fs::create_dir_all(&device)?;
    fs::write(
        device.join("40-dmloop-timeout.conf"),
        "[Unit]\nJobTimeoutSec=infinity\n",
    )?;
    // Whoever needs the device gets it, noauto or not.
    link(format!("dev-mapper-{name}.device.requires"))?;
    if entry.auto {
        link("multi-user.target.wants".to_owned())?;
    }
    Ok(())
}

/// The unit. It begins as soon as the file can be reached, and ends before that is over.
fn unit(entry: &Entry, program: &str) -> String {
    let mut attach = quote(program);
    for word in ["attach", &entry.file.to_string_lossy(), &entry.name] {
        let _ = write!(attach, " {}", quote(word));
    }
    for option in &entry.options {
        let _ = write!(attach, " {}", quote(option));
    }
    format!(
        "# Made by dmloop-generator\n\
         [Unit]\n\
         Description=Loop device {name}\n\
         Documentation=man:dmlooptab(5) man:dmloop-attach(8)\n\
         SourcePath={TAB}\n\
         DefaultDependencies=no\n\
         IgnoreOnIsolate=true\n\
         RequiresMountsFor={file}\n\
         After=systemd-udevd.service systemd-remount-fs.service\n\
         Wants=blockdev@dev-mapper-{escaped}.target\n\
         Before=blockdev@dev-mapper-{escaped}.target umount.target\n\
         Conflicts=umount.target\n\
         \n\
         [Service]\n\
         Type=oneshot\n\
         RemainAfterExit=yes\n\
         TimeoutSec=infinity\n\
         ExecStart={attach}\n\
         ExecStop={program} detach {name_word}\n",
        name = entry.name.replace('%', "%%"),
        escaped = escape(&entry.name).replace('%', "%%"),
        // Here, $ stands for itself.
        file = quote(&entry.file.to_string_lossy()).replace("$$", "$"),
        program = quote(program),
        name_word = quote(&entry.name),
    )
}

/// A word for a unit. (There are no quotes, backslashes and control characters in it.)
fn quote(word: &str) -> String {
    format!("\"{}\"", word.replace('%', "%%").replace('$', "$$"))
}

/// As `systemd-escape` has it.
fn escape(name: &str) -> String {
    let mut out = String::new();
    for (index, byte) in name.bytes().enumerate() {
        match byte {
            b'.' if index == 0 => out.push_str("\\x2e"),
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b':' | b'_' | b'.' => {
                out.push(char::from(byte))
            }
            _ => {
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(line: &str) -> Entry {
        tab::parse(line.as_bytes()).0.remove(0)
    }

    #[test]
    fn names_in_units() {
        assert_eq!(escape("my-disk.1"), "my\\x2ddisk.1");
        assert_eq!(escape(".a#+"), "\\x2ea\\x23\\x2b");
    }

    #[test]
    fn names_that_are_too_long() {
        assert!(fits(&"a".repeat(127)));
        // Each takes four bytes in the name of a unit.
        assert!(!fits(&"-".repeat(127)));
        let longest = 255 - "dev-mapper-.device.requires".len();
        assert!(fits(&"a".repeat(longest)) && !fits(&"a".repeat(longest + 1)));
    }

    #[test]
    fn a_unit() {
        let text = unit(&entry("a-b /srv/50%\\040$x.img 1M ro"), "/usr/sbin/dmloop");
        assert!(text.contains("RequiresMountsFor=\"/srv/50%% $x.img\"\n"));
        assert!(text.contains("ExecStart=\"/usr/sbin/dmloop\" \"attach\" \"/srv/50%% $$x.img\" \"a-b\" \"--offset=1M\" \"--read-only\"\n"));
        assert!(text.contains("Before=blockdev@dev-mapper-a\\x2db.target umount.target\n"));
        assert!(text.contains("ExecStop=\"/usr/sbin/dmloop\" detach \"a-b\"\n"));
    }

    #[test]
    fn files_and_links() {
        let folder = env::temp_dir().join(format!("dmloop-units-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        write(&folder, &entry("a /a"), "dmloop").unwrap();
        write(&folder, &entry("b /b 0 noauto"), "dmloop").unwrap();
        assert!(folder
            .join("multi-user.target.wants/dmloop@a.service")
            .is_file());
        assert!(!folder
            .join("multi-user.target.wants/dmloop@b.service")
            .exists());
        for name in ["a", "b"] {
            let link = format!("dev-mapper-{name}.device.requires/dmloop@{name}.service");
            assert!(folder.join(link).is_file());
            let conf = format!("dev-mapper-{name}.device.d/40-dmloop-timeout.conf");
            assert!(folder.join(conf).is_file());
        }
        fs::remove_dir_all(folder).unwrap();
    }
}
