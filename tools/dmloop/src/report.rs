// SPDX-License-Identifier: GPL-2.0

//! `dmloop report`

use crate::{
    cli::ReportArgs,
    control::Control,
    device::Device,
    evidence::{self, Piece},
    failure::Failure,
    print,
    printable::printable,
    secrets, whole_file,
};
use flate2::{write::GzEncoder, Compression};
use std::{
    fmt::Write as _,
    io::Write,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

pub(crate) fn run(args: ReportArgs) -> Result<(), Failure> {
    let path = args
        .output
        .unwrap_or_else(|| PathBuf::from("dmloop-report.tar.gz"));
    let name = path.to_string_lossy().into_owned();
    let packed = name.ends_with(".tar.gz") || name.ends_with(".tgz");
    if !packed && !name.ends_with(".tar") {
        return Err(Failure::usage(format!(
            "{name}: the archive is a .tar or a .tar.gz"
        )));
    }
    let control = Control::open()?;
    let devices = match &args.name {
        Some(name) => vec![Device::find_any(&control, name)?],
        None => Device::all(&control)?,
    };
    let mut pieces = evidence::machine(&control);
    for device in &devices {
        pieces.extend(evidence::about(&control, device));
    }
    if args.redact {
        let mut names = secrets::all(&control, &devices);
        for (_, _, text) in &pieces {
            secrets::told(text, &mut names);
        }
        for (name, _, text) in &mut pieces {
            // The names of pieces are ours, but for that of the device.
            if name.contains('/') {
                *name = names.hide(name);
            }
            *text = names.hide(text);
        }
    }
    let contents = contents(&pieces, args.redact);
    pieces.insert(0, ("README".to_owned(), "this list", contents.clone()));
    pack(&path, packed, &pieces).map_err(|error| Failure::path(&path, &error))?;
    print(&format!("{} contains:\n{contents}", printable(&path)))
}

fn contents(pieces: &[Piece], redacted: bool) -> String {
    let mut text = String::new();
    for (name, what, _) in pieces {
        let _ = writeln!(text, "  {name:<30} {what}");
    }
    text.push_str(if redacted {
        "Names of files, folders, devices and of this machine are replaced by numbers. Look it through all the same.\n"
    } else {
        "It names files, folders and this machine (--redact hides that). No contents of files are in it.\n"
    });
    text
}

/// Writes the archive.
fn pack(path: &Path, packed: bool, pieces: &[Piece]) -> std::io::Result<()> {
    // Lines of the kernel log are in it, which not everybody may read.
    whole_file::replace(path, 0o600, |file| {
        if packed {
            write_all(GzEncoder::new(file, Compression::default()), pieces)?.finish()?;
        } else {
            write_all(file, pieces)?;
        }
        file.sync_all()
    })
}

fn write_all<W: Write>(out: W, pieces: &[Piece]) -> std::io::Result<W> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs());
    let mut archive = tar::Builder::new(out);
    for (name, _, text) in pieces {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(now);
        archive.append_data(
            &mut header,
            format!("dmloop-report/{name}"),
            text.as_bytes(),
        )?;
    }
    archive.into_inner()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive() {
        let pieces = [
            ("a".to_owned(), "x", "one\n".to_owned()),
            ("b/c".to_owned(), "y", String::new()),
        ];
        let bytes = write_all(Vec::new(), &pieces).unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let names: Vec<String> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                entry
                    .unwrap()
                    .path()
                    .unwrap()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        assert_eq!(names, ["dmloop-report/a", "dmloop-report/b/c"]);
    }

    #[test]
    fn contents_name_each_piece() {
        let pieces = [("a".to_owned(), "what a is", String::new())];
        assert!(contents(&pieces, false).contains("what a is"));
        assert!(contents(&pieces, true).contains("replaced by numbers"));
    }
}
