// SPDX-License-Identifier: GPL-2.0

//! `dmloop map`

use crate::{
    backing::Backing,
    cli::MapArgs,
    control::Control,
    device::Device,
    extents::{self, Layout},
    failure::{Exit, Failure},
    identity::Identity,
    picture::{disk_bar, file_bar},
    print,
    printable::printable,
    size::human,
    svg, whole_file,
};
use rustix::termios::tcgetwinsize;
use serde_json::json;
use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
};

/// A part of a file.
struct Part {
    path: PathBuf,
    start: u64,
    end: u64,
    layout: Layout,
}

pub(crate) fn run(args: MapArgs) -> Result<(), Failure> {
    let parts = match device(&args.what)? {
        Some(device) => {
            let of = |target: &crate::device::Target| {
                Part::new(&target.table.path, target.table.offset, target.file_end())
            };
            device
                .targets
                .iter()
                .map(of)
                .collect::<Result<Vec<_>, _>>()?
        }
        None => vec![Part::new(&args.what, 0, u64::MAX)?],
    };
    if let Some(path) = &args.svg {
        draw(&parts, path)?;
    }
    if args.json {
        return print(&format!(
            "{:#}\n",
            json!({ "files": parts.iter().map(Part::json).collect::<Vec<_>>() })
        ));
    }
    let mut text = String::new();
    for part in &parts {
        part.table(&mut text);
        if !args.no_picture {
            part.picture(&mut text, width());
        }
    }
    print(&text)
}

/// Writes the drawing: whole or not at all, and in the place of no file that it shows.
fn draw(parts: &[Part], path: &Path) -> Result<(), Failure> {
    let [part] = parts else {
        return Err(Failure::usage(
            "a drawing shows one file, and the device is made of several parts",
        ));
    };
    if same_file(path, &part.path) {
        return Err(Failure::usage(format!(
            "{} is the file that is to be drawn: name another one",
            printable(path)
        )));
    }
    let drawing = svg::draw(&part.layout, &printable(&part.path), part.start, part.end);
    // What is no regular file cannot be replaced: /dev/stdout.
    let written = match fs::metadata(path) {
        Ok(data) if !data.is_file() => fs::write(path, drawing),
        _ => {
            // Where a link leads.
            let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
            whole_file::replace(&path, 0o666, |mut file| file.write_all(drawing.as_bytes()))
        }
    };
    written.map_err(|error| Failure::path(path, &error))
}

/// Whether both lead to the same file.
fn same_file(one: &Path, other: &Path) -> bool {
    let identity = |path| fs::metadata(path).map(|data| Identity::from(&data)).ok();
    identity(one).is_some() && identity(one) == identity(other)
}

/// The device that is meant, if it is one: a name without `/` is that of a device if there
/// is one, else that of a file.
fn device(what: &Path) -> Result<Option<Device>, Failure> {
    let word = what.to_string_lossy();
    if word.contains('/') {
        let is_device = fs::metadata(what).is_ok_and(|data| data.file_type().is_block_device());
        return if is_device {
            Device::find(&Control::open()?, &word).map(Some)
        } else {
            Ok(None)
        };
    }
    let found = Control::open().and_then(|control| Device::find(&control, &word));
    match found {
        Ok(device) => Ok(Some(device)),
        Err(failure) if what.exists() => {
            // A file then; and without the right to ask for devices, too.
            drop(failure);
            Ok(None)
        }
        Err(failure) if failure.exit == Exit::NoDevice => Err(Failure::new(
            Exit::NoDevice,
            format!("there is no device and no file {word}"),
        )),
        Err(failure) => Err(failure),
    }
}

/// The width of the terminal, if it is one.
fn width() -> usize {
    let columns = tcgetwinsize(std::io::stdout()).map_or(80, |size| size.ws_col);
    usize::from(columns).clamp(40, 240)
}

impl Part {
    fn new(path: &Path, start: u64, end: u64) -> Result<Self, Failure> {
        let backing = Backing::new(path)?;
        let layout = extents::of(&backing.open()?, &backing.path)?;
        let end = end.min(backing.data.len());
        Ok(Self {
            layout: layout.part(start, end),
            path: backing.path,
            start,
            end,
        })
    }

    fn json(&self) -> serde_json::Value {
        let extent = |extent: &extents::Extent| {
            json!({
                "file": extent.logical,
                "disk": extent.is_placed().then_some(extent.physical),
                "length": extent.len,
                "state": extent.kind.name(),
            })
        };
        json!({
            "file": self.path.to_string_lossy(),
            "start": self.start,
            "end": self.end,
            "extents": self.layout.0.iter().map(extent).collect::<Vec<_>>(),
        })
    }

    fn table(&self, text: &mut String) {
        let bytes = self.end.saturating_sub(self.start);
        let _ = writeln!(
            text,
            "{}: {} in {} extents",
            printable(&self.path),
            human(bytes),
            self.layout.0.len()
        );
        let _ = writeln!(
            text,
            "{:>8} {:>16} {:>16} {:>14}  STATE",
            "EXTENT", "FILE", "DISK", "LENGTH"
        );
        let mut at = self.start;
        for (index, extent) in self.layout.0.iter().enumerate() {
            self.hole(text, at, extent.logical);
            let disk = if extent.is_placed() {
                extent.physical.to_string()
            } else {
                "-".to_owned()
            };
            let _ = writeln!(
                text,
                "{index:>8} {:>16} {disk:>16} {:>14}  {}",
                extent.logical,
                extent.len,
                extent.kind.name()
            );
            at = extent.logical_end();
        }
        self.hole(text, at, self.end);
    }

    fn hole(&self, text: &mut String, from: u64, to: u64) {
        if from < to {
            let _ = writeln!(
                text,
                "{:>8} {from:>16} {:>16} {:>14}  hole",
                "-",
                "-",
                to - from
            );
        }
    }

    fn picture(&self, text: &mut String, width: usize) {
        let width = width - 2;
        let bar = file_bar(&self.layout, self.start, self.end, width);
        let _ = writeln!(
            text,
            "\nthe file; each character is {}, and where the shade changes, another extent begins:\n|{}|",
            human(bar.cell),
            bar.cells
        );
        if bar.cells.contains(['·', '░', '#']) {
            text.push_str("(· a hole, ░ unwritten, # several extents)\n");
        }
        if let Some((bar, start, end)) = disk_bar(&self.layout, width) {
            let _ = writeln!(
                text,
                "the disk from {} to {}; each character is {}, the darker the more of it is the file's:\n|{}|",
                human(start),
                human(end),
                human(bar.cell),
                bar.cells
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_by_its_links() {
        let folder = std::env::temp_dir().join(format!("dmloop-map-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (file, link, svg) = (folder.join("a"), folder.join("b"), folder.join("c.svg"));
        fs::write(&file, b"contents").unwrap();
        fs::hard_link(&file, &link).unwrap();
        assert!(same_file(&file, &link) && !same_file(&file, &svg));
        fs::remove_dir_all(folder).unwrap();
    }
}
