// SPDX-License-Identifier: GPL-2.0

//! `dmloop attach --nooverlap`: what is attached of a file already.

use crate::{
    backing::Backing,
    cli::{AttachArgs, OnOff},
    control::Control,
    device::{Device, Target},
    failure::Failure,
    status::Status,
};

/// The device that shows the very same part of the file, in the very same
/// way.
pub(crate) fn part(
    control: &Control,
    file: &Backing,
    args: &AttachArgs,
    sectors: u64,
) -> Result<Option<Device>, Failure> {
    let offset = args.offset;
    let end = offset.saturating_add(sectors.saturating_mul(512));
    let mut overlapping = Vec::new();
    let mut unlike = None;
    for device in Device::on_file(control, Device::all(control)?, &file.data) {
        if let [target] = device.targets.as_slice() {
            if (target.table.offset, target.len) == (offset, sectors) {
                match difference(&device, target, args) {
                    None => return Ok(Some(device)),
                    Some(difference) => {
                        unlike.get_or_insert(format!("{}, which {difference}", device.name));
                    }
                }
            }
        }
        let overlaps = |target: &Target| target.table.offset < end && target.file_end() > offset;
        if device.targets.iter().any(overlaps) {
            overlapping.push(device.name);
        }
    }
    if let Some(unlike) = unlike {
        return Err(file.busy(&format!(
            "is attached already, as {unlike}: detach that first"
        )));
    }
    if overlapping.is_empty() {
        return Ok(None);
    }
    Err(file.busy(&format!(
        "is attached already, in a part that overlaps: {}",
        overlapping.join(", ")
    )))
}

/// In what a device is not as it would be made: to be read after "which".
fn difference(device: &Device, target: &Target, args: &AttachArgs) -> Option<&'static str> {
    let block = matches!(target.status, Some(Status::Block { .. }));
    let direct = match &target.status {
        Some(Status::File { direct, .. }) => Some(*direct),
        _ => None,
    };
    let differences = [
        (device.unfinished, "was never finished"),
        (device.deferred, "goes away when it is closed"),
        (device.read_only && !args.read_only, "is read-only"),
        (!device.read_only && args.read_only, "is not read-only"),
        (args.block_mapped && !block, "is not block-mapped"),
        (args.file_mapped && block, "is not file-mapped"),
        (
            args.direct_io == Some(OnOff::On) && direct != Some(true),
            "does not go past the page cache",
        ),
        (
            args.direct_io == Some(OnOff::Off) && direct != Some(false),
            "does not go through the page cache",
        ),
        (
            args.no_discard && !target.table.has("no_discard"),
            "offers discard",
        ),
        (
            !args.no_discard && target.table.has("no_discard"),
            "does not offer discard",
        ),
    ];
    differences
        .iter()
        .find(|(differs, _)| *differs)
        .map(|(_, words)| *words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Table;
    use clap::Parser;

    /// What `difference` says of a device with this state to these arguments.
    fn said(read_only: bool, features: &str, state: &str, args: &str) -> Option<&'static str> {
        let words = features.split_whitespace().map(str::to_owned);
        let target = Target {
            start: 0,
            len: 8,
            table: Table {
                path: "/x".into(),
                offset: 0,
                features: words.collect(),
            },
            status: Status::parse(state),
        };
        let device = Device {
            name: "x".to_owned(),
            number: (253, 0),
            read_only,
            suspended: false,
            deferred: false,
            open_count: 0,
            unfinished: state.is_empty(),
            targets: vec![target.clone()],
        };
        let line = format!("dmloop attach -L /x {args}");
        let cli = crate::cli::Cli::try_parse_from(line.split_whitespace()).unwrap();
        let crate::cli::Command::Attach(args) = cli.command else {
            panic!("not attach");
        };
        difference(&device, &target, &args)
    }

    #[test]
    fn devices_that_are_as_they_would_be_made() {
        let (block, direct, buffered) = (
            "block 1 254:0",
            "file direct sparse 0",
            "file buffered requested 0",
        );
        for (read_only, features, state, args) in [
            (false, "", block, ""),
            (false, "", direct, ""),
            (false, "", block, "--block-mapped"),
            (false, "", direct, "--file-mapped"),
            (false, "", direct, "--direct-io on"),
            (false, "buffered_io", buffered, "--direct-io off"),
            (true, "", block, "-r"),
            (false, "no_discard", block, "--no-discard"),
        ] {
            assert_eq!(
                said(read_only, features, state, args),
                None,
                "{state} {args}"
            );
        }
        for (read_only, features, state, args, wanted) in [
            (false, "", direct, "--block-mapped", "is not block-mapped"),
            (false, "", block, "--file-mapped", "is not file-mapped"),
            (false, "", block, "--direct-io on", "past the page cache"),
            (false, "", buffered, "--direct-io on", "past the page cache"),
            (
                false,
                "",
                direct,
                "--direct-io off",
                "through the page cache",
            ),
            (true, "", block, "", "is read-only"),
            (false, "", block, "-r", "is not read-only"),
            (false, "", block, "--no-discard", "offers discard"),
            (false, "no_discard", block, "", "does not offer discard"),
            (false, "", "", "", "was never finished"),
        ] {
            let said = said(read_only, features, state, args);
            assert!(
                said.is_some_and(|said| said.contains(wanted)),
                "{args}: {said:?}"
            );
        }
    }
}
