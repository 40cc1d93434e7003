// SPDX-License-Identifier: GPL-2.0

//! `dmloop check`

use crate::{
    attach::try_out,
    backing::Backing,
    cli::CheckArgs,
    control::Control,
    device::Device,
    extents,
    failure::{Exit, Failure},
    interrupt, print,
    reason::Reason,
    size::human,
    status::Status,
    table::Table,
};
use rustix::io::Errno;
use std::fmt::Write;

pub(crate) fn run(args: CheckArgs) -> Result<(), Failure> {
    let file = Backing::new(&args.file)?;
    let sectors = file.sectors(args.offset, args.sizelimit)?;
    let control = Control::open()?;
    let (text, mapped) = match attached(&control, &file)? {
        Some(verdict) => verdict,
        None => verdict(&control, &file, args.offset, sectors)?,
    };
    interrupt::none("interrupted")?;
    if !args.quiet {
        print(&text)?;
    }
    if mapped {
        Ok(())
    } else {
        Err(Failure::new(Exit::FileMapped, ""))
    }
}

/// Of a file that is attached: what it is attached as.
fn attached(control: &Control, file: &Backing) -> Result<Option<(String, bool)>, Failure> {
    let devices = Device::on_file(control, Device::all(control)?, &file.data);
    let Some((device, status)) = devices
        .iter()
        .find_map(|device| Some((device, device.targets.first()?.status.as_ref()?)))
    else {
        return Ok(None);
    };
    let (words, mapped) = describe(file, status, None);
    Ok(Some((
        format!("{}: is attached as {}, {words}", file.name(), device.name),
        mapped,
    )))
}

/// What the kernel makes of a file.
pub(crate) fn verdict(
    control: &Control,
    file: &Backing,
    offset: u64,
    sectors: u64,
) -> Result<(String, bool), Failure> {
    let table = Table {
        path: file.path.clone(),
        offset,
        features: Vec::new(),
    };
    let mut tried = try_out(control, file, &table, sectors, false)?;
    if matches!(&tried, Err(refused) if matches!(refused.errno, Errno::ROFS | Errno::ACCESS | Errno::PERM))
    {
        tried = try_out(control, file, &table, sectors, true)?;
    }
    let state = tried.map_err(|refused| refused.explain(control))?;
    let Some(status) = Status::parse(&state) else {
        return Err(Failure::failed(format!(
            "{}: the kernel says \"{state}\", which is not known here",
            file.name()
        )));
    };
    let (words, mapped) = describe(
        file,
        &status,
        file.better_limit(offset, sectors.saturating_mul(512)),
    );
    Ok((format!("{}: would be {words}", file.name()), mapped))
}

/// A state in words; whether it is block-mapped. `limit` is one that may do where the end of
/// the file is what does not fit.
fn describe(file: &Backing, status: &Status, limit: Option<u64>) -> (String, bool) {
    match status {
        Status::Block { extents, disk } => {
            let pieces = if *extents == 1 {
                "in one piece".to_owned()
            } else {
                format!("in {extents} pieces")
            };
            (
                format!("block-mapped, {pieces} on {}:{}\n", disk.0, disk.1),
                true,
            )
        }
        Status::File { reason, direct, .. } => {
            let io = if *direct {
                "past the page cache"
            } else {
                "through the page cache"
            };
            let mut text = format!("file-mapped, {io}\n");
            match Reason::of(reason) {
                Some(reason) => {
                    let _ = writeln!(text, "  because {} ({})", reason.because, reason.token);
                    text += &detail(file, reason);
                    if let Some(limit) = limit.filter(|_| reason.token == "misaligned") {
                        let _ = writeln!(text, "  it may do with --sizelimit {limit}");
                    }
                    let _ = writeln!(text, "  to mend it: {}", reason.mend(&file.path));
                }
                None => {
                    let _ = writeln!(text, "  because of \"{reason}\"");
                }
            }
            (text, false)
        }
    }
}

/// How much of the file is concerned.
fn detail(file: &Backing, reason: &Reason) -> String {
    let Ok(layout) = file.open().and_then(|open| extents::of(&open, &file.path)) else {
        return String::new();
    };
    let amount = layout.amount(file.data.len());
    let count = match reason.token {
        "sparse" | "unwritten" => amount.unwritten,
        "cow" | "fs_refused" => amount.shared,
        _ => 0,
    };
    if count == 0 {
        return String::new();
    }
    let what = if matches!(reason.token, "sparse" | "unwritten") {
        "not written"
    } else {
        "shared"
    };
    format!(
        "  {} of {} is {what}\n",
        human(count),
        human(file.data.len())
    )
}
