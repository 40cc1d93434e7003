// SPDX-License-Identifier: GPL-2.0

//! `dmloop list`

use crate::{
    cli::ListArgs,
    control::Control,
    device::{Device, Target},
    failure::Failure,
    print,
    printable::printable,
    size::human,
    status::Status,
};
use serde_json::{json, Map, Value};
use std::fs;
use tabled::{
    builder::Builder,
    settings::{object::Columns, Alignment, Padding, Style},
};

/// A column. JSON has its name in small letters.
struct Column {
    name: &'static str,
    /// Whether it is a number, for alignment.
    number: bool,
    value: fn(&Device, &Target) -> Value,
    /// Whether the value is a size, to be made readable.
    size: bool,
}

const COLUMNS: &[Column] = &[
    Column::text("NAME", |device, _| json!(device.node().to_string_lossy())),
    Column::size("SIZE", |_, target| json!(target.bytes())),
    Column::size("OFFSET", |_, target| json!(target.table.offset)),
    Column::size("SIZELIMIT", |_, target| json!(size_limit(target))),
    Column::text("RO", |device, _| json!(device.read_only)),
    Column::text("MAPPING", |device, target| match &target.status {
        _ if device.unfinished => json!("unfinished"),
        Some(Status::Block { .. }) => json!("block"),
        Some(Status::File { .. }) => json!("file"),
        None => Value::Null,
    }),
    Column::text("REASON", |_, target| match &target.status {
        Some(Status::File { reason, .. }) => json!(reason),
        _ => Value::Null,
    }),
    Column::number("EXTENTS", |_, target| match &target.status {
        Some(Status::Block { extents, .. }) => json!(extents),
        _ => Value::Null,
    }),
    Column::text("DISK", |_, target| match &target.status {
        Some(Status::Block { disk, .. }) => json!(disk_name(*disk)),
        _ => Value::Null,
    }),
    Column::text("DIO", |_, target| match &target.status {
        Some(Status::File { direct, .. }) => json!(direct),
        Some(Status::Block { .. }) => json!(true),
        None => Value::Null,
    }),
    Column::number("IN-FLIGHT", |_, target| match &target.status {
        Some(Status::File { in_flight, .. }) => json!(in_flight),
        _ => Value::Null,
    }),
    Column::text("AUTOCLEAR", |device, _| json!(device.deferred)),
    Column::text("SUSPENDED", |device, _| json!(device.suspended)),
    Column::number("OPEN", |device, _| json!(device.open_count)),
    Column::number("LOG-SEC", |device, _| {
        let text = fs::read_to_string(device.sysfs().join("queue/logical_block_size"));
        json!(text.ok().and_then(|text| text.trim().parse::<u64>().ok()))
    }),
    Column::text("MAJ:MIN", |device, _| json!(device.number_text())),
    Column::size("START", |_, target| json!(target.start.saturating_mul(512))),
    Column::text("BACK-FILE", |_, target| {
        json!(target.table.path.to_string_lossy())
    }),
];

/// What the table shows, and what JSON does.
const TABLE: &[&str] = &[
    "NAME",
    "SIZE",
    "OFFSET",
    "RO",
    "MAPPING",
    "REASON",
    "EXTENTS",
    "BACK-FILE",
];
const JSON: &[&str] = &[
    "NAME",
    "SIZELIMIT",
    "OFFSET",
    "AUTOCLEAR",
    "RO",
    "BACK-FILE",
    "DIO",
    "LOG-SEC",
    "SIZE",
    "MAPPING",
    "REASON",
    "EXTENTS",
    "DISK",
    "IN-FLIGHT",
    "MAJ:MIN",
    "START",
];

impl Column {
    const fn text(name: &'static str, value: fn(&Device, &Target) -> Value) -> Self {
        Self {
            name,
            number: false,
            value,
            size: false,
        }
    }

    const fn number(name: &'static str, value: fn(&Device, &Target) -> Value) -> Self {
        Self {
            name,
            number: true,
            value,
            size: false,
        }
    }

    const fn size(name: &'static str, value: fn(&Device, &Target) -> Value) -> Self {
        Self {
            name,
            number: true,
            value,
            size: true,
        }
    }

    fn of(name: &str) -> Result<&'static Self, Failure> {
        COLUMNS
            .iter()
            .find(|column| column.name.eq_ignore_ascii_case(name))
            .ok_or_else(|| {
                let names: Vec<&str> = COLUMNS.iter().map(|column| column.name).collect();
                Failure::usage(format!(
                    "there is no column {name}; there are {}",
                    names.join(", ")
                ))
            })
    }

    /// A cell of the table.
    fn cell(&self, device: &Device, target: &Target, bytes: bool) -> String {
        match (self.value)(device, target) {
            Value::Null => "-".to_owned(),
            Value::Bool(yes) => u8::from(yes).to_string(),
            Value::Number(number) if self.size && !bytes => {
                number.as_u64().map_or_else(|| number.to_string(), human)
            }
            Value::String(text) => printable(text.as_ref()),
            other => other.to_string(),
        }
    }
}

pub(crate) fn run(args: ListArgs) -> Result<(), Failure> {
    let defaults = if args.json { JSON } else { TABLE };
    let names = args.output.iter().map(|name| name.trim());
    let columns: Vec<&Column> = if args.output.is_empty() {
        defaults
            .iter()
            .map(|name| Column::of(name))
            .collect::<Result<_, _>>()?
    } else {
        names.map(Column::of).collect::<Result<_, _>>()?
    };
    let devices = devices(&args)?;
    let rows = devices
        .iter()
        .flat_map(|device| device.targets.iter().map(move |target| (device, target)));
    if args.json {
        let row = |(device, target): (&Device, &Target)| {
            let cell = |column: &&Column| {
                (
                    column.name.to_ascii_lowercase(),
                    (column.value)(device, target),
                )
            };
            Value::Object(columns.iter().map(cell).collect::<Map<_, _>>())
        };
        let all = json!({ "loopdevices": rows.map(row).collect::<Vec<_>>() });
        return print(&format!("{all:#}\n"));
    }
    let mut table = Builder::new();
    if !args.noheadings {
        table.push_record(columns.iter().map(|column| column.name));
    }
    let mut any = false;
    for (device, target) in rows {
        table.push_record(
            columns
                .iter()
                .map(|column| column.cell(device, target, args.bytes)),
        );
        any = true;
    }
    if any {
        print(&layout(table, &columns))
    } else {
        Ok(())
    }
}

/// The devices that are asked for.
fn devices(args: &ListArgs) -> Result<Vec<Device>, Failure> {
    let control = Control::open()?;
    let devices = if args.names.is_empty() {
        Device::all(&control)?
    } else {
        let find = |word: &String| Device::find_any(&control, word);
        args.names.iter().map(find).collect::<Result<_, _>>()?
    };
    match &args.associated {
        None => Ok(devices),
        Some(path) => {
            let data = fs::metadata(path).map_err(|error| Failure::path(path, &error))?;
            Ok(Device::on_file(&control, devices, &data))
        }
    }
}

/// Columns without frames, numbers to the right.
fn layout(table: Builder, columns: &[&Column]) -> String {
    let mut table = table.build();
    table.with(Style::empty()).with(Padding::new(0, 1, 0, 0));
    for (index, _) in columns
        .iter()
        .enumerate()
        .filter(|(_, column)| column.number)
    {
        table.modify(Columns::one(index), Alignment::right());
    }
    let lines: Vec<String> = table
        .to_string()
        .lines()
        .map(|line| line.trim_end().to_owned() + "\n")
        .collect();
    lines.concat()
}

/// As losetup has it: 0 where the device goes to the end of the file.
fn size_limit(target: &Target) -> u64 {
    let size = fs::metadata(&target.table.path).map_or(0, |data| data.len());
    let whole = size.saturating_sub(target.table.offset) / 512 * 512;
    if target.bytes() < whole {
        target.bytes()
    } else {
        0
    }
}

/// `/dev/NAME` of a device number.
fn disk_name((major, minor): (u32, u32)) -> String {
    let number = format!("{major}:{minor}");
    let link = fs::read_link(format!("/sys/dev/block/{number}")).ok();
    let name = link.and_then(|link| Some(link.file_name()?.to_string_lossy().into_owned()));
    name.map_or(number, |name| format!("/dev/{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Table;

    fn device() -> Device {
        Device {
            name: "x".to_owned(),
            number: (253, 7),
            read_only: true,
            suspended: false,
            deferred: false,
            open_count: 0,
            unfinished: false,
            targets: vec![Target {
                start: 0,
                len: 3,
                table: Table::parse(b"/a\\012b 512").unwrap(),
                status: Status::parse("file direct sparse 2"),
            }],
        }
    }

    #[test]
    fn cells() {
        let device = device();
        let cell = |name: &str, bytes| {
            Column::of(name)
                .unwrap()
                .cell(&device, &device.targets[0], bytes)
        };
        assert_eq!(cell("size", false), "1.5K");
        assert_eq!(cell("SIZE", true), "1536");
        assert_eq!(cell("RO", false), "1");
        assert_eq!(cell("EXTENTS", false), "-");
        assert_eq!(cell("BACK-FILE", false), "/a\\nb");
        assert_eq!(cell("REASON", false), "sparse");
        assert!(Column::of("NONE").is_err());
    }

    #[test]
    fn one_whose_maker_was_killed() {
        let mut device = device();
        device.unfinished = true;
        device.targets[0].status = None;
        let cell = |name: &str| {
            Column::of(name)
                .unwrap()
                .cell(&device, &device.targets[0], false)
        };
        assert_eq!(cell("MAPPING"), "unfinished");
        assert_eq!((cell("DIO").as_str(), cell("REASON").as_str()), ("-", "-"));
    }

    #[test]
    fn every_default_column_exists() {
        for name in TABLE.iter().chain(JSON) {
            assert!(Column::of(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn the_table_has_no_frames() {
        let columns = [
            Column::of("NAME").unwrap(),
            Column::of("SIZE").unwrap(),
            Column::of("RO").unwrap(),
        ];
        let mut table = Builder::new();
        table.push_record(["NAME", "SIZE", "RO"]);
        table.push_record(["a", "1", "0"]);
        assert_eq!(layout(table, &columns), "NAME SIZE RO\na       1 0\n");
    }
}
