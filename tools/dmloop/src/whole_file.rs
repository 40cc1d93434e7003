// SPDX-License-Identifier: GPL-2.0

//! Files that are there as a whole or not at all.

use crate::interrupt;
use std::{
    fs::{self, File},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// Has `fill` write a file of the permissions `mode` under another name, and gives it the name
/// `path` then. A signal that comes meanwhile waits.
pub(crate) fn replace(
    path: &Path,
    mode: u32,
    fill: impl FnOnce(&File) -> io::Result<()>,
) -> io::Result<()> {
    interrupt::defer()?;
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}", std::process::id()));
    let file = File::options()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&draft)?;
    let result = fill(&file).and_then(|()| fs::rename(&draft, path));
    if result.is_err() {
        let _ = fs::remove_file(&draft);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn whole_or_not_at_all() {
        let folder = std::env::temp_dir().join(format!("dmloop-whole-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("a");
        for text in ["one", "two"] {
            replace(&path, 0o600, |mut file| file.write_all(text.as_bytes())).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        let half = |mut file: &File| file.write_all(b"half").and(Err(io::Error::other("full")));
        assert!(replace(&path, 0o600, half).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert!(replace(&folder.join("no/where"), 0o600, |_| Ok(())).is_err());
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        fs::remove_dir_all(folder).unwrap();
    }
}
