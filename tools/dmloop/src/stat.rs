// SPDX-License-Identifier: GPL-2.0

//! `dmloop stat`

use crate::{
    cli::StatArgs,
    control::Control,
    device::Device,
    failure::{Exit, Failure},
    identity::pairs,
    print,
    size::human,
    status::Status,
};
use rustix::io::Errno;
use serde_json::json;
use std::{fmt::Write, fs, io, thread, time::Duration};

/// What the kernel has counted: `Documentation/block/stat.rst`, and the target itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    reads: u64,
    read_bytes: u64,
    read_ms: u64,
    writes: u64,
    written_bytes: u64,
    write_ms: u64,
    in_flight: u64,
    busy_ms: u64,
    discards: u64,
    discarded_bytes: u64,
    flushes: u64,
    splits: u64,
    errors: u64,
}

impl Counts {
    fn of(control: &Control, device: &Device) -> io::Result<Self> {
        let invalid = || io::Error::from(io::ErrorKind::InvalidData);
        let text = fs::read_to_string(device.sysfs().join("stat"))?;
        let mut counts = Self::parse(&text).ok_or_else(invalid)?;
        for target in &device.targets {
            let answer = control.message(&device.name, target.start, "stat")?;
            counts.add_answer(&answer).ok_or_else(invalid)?;
        }
        Ok(counts)
    }

    /// Adds what a target has answered.
    fn add_answer(&mut self, answer: &str) -> Option<()> {
        for (name, number) in pairs(answer)? {
            let count = match name {
                "flushes" => &mut self.flushes,
                "splits" => &mut self.splits,
                "errors" => &mut self.errors,
                _ => continue,
            };
            *count = count.saturating_add(number);
        }
        Some(())
    }

    fn parse(text: &str) -> Option<Self> {
        let words: Option<Vec<u64>> = text
            .split_ascii_whitespace()
            .map(|word| word.parse().ok())
            .collect();
        let words = words?;
        let word = |index: usize| words.get(index).copied();
        let bytes = |index: usize| word(index)?.checked_mul(512);
        Some(Self {
            reads: word(0)?,
            read_bytes: bytes(2)?,
            read_ms: word(3)?,
            writes: word(4)?,
            written_bytes: bytes(6)?,
            write_ms: word(7)?,
            in_flight: word(8)?,
            busy_ms: word(9)?,
            discards: word(11).unwrap_or(0),
            discarded_bytes: bytes(13).unwrap_or(0),
            ..Self::default()
        })
    }

    /// What came since `before`. In flight is what it is now.
    fn since(&self, before: &Self) -> Self {
        let less = u64::wrapping_sub;
        Self {
            reads: less(self.reads, before.reads),
            read_bytes: less(self.read_bytes, before.read_bytes),
            read_ms: less(self.read_ms, before.read_ms),
            writes: less(self.writes, before.writes),
            written_bytes: less(self.written_bytes, before.written_bytes),
            write_ms: less(self.write_ms, before.write_ms),
            in_flight: self.in_flight,
            busy_ms: less(self.busy_ms, before.busy_ms),
            discards: less(self.discards, before.discards),
            discarded_bytes: less(self.discarded_bytes, before.discarded_bytes),
            // A new table begins at 0.
            flushes: self.flushes.saturating_sub(before.flushes),
            splits: self.splits.saturating_sub(before.splits),
            errors: self.errors.saturating_sub(before.errors),
        }
    }
}

pub(crate) fn run(args: StatArgs) -> Result<(), Failure> {
    let control = Control::open()?;
    let device = Device::find(&control, &args.name)?;
    match args.interval {
        Some(seconds) => watch(&control, &device, seconds, args.count),
        None => once(&control, &device, args.json),
    }
}

fn counts(control: &Control, device: &Device) -> Result<Counts, Failure> {
    let gone = |error: &io::Error| {
        error.kind() == io::ErrorKind::NotFound
            || error.raw_os_error() == Some(Errno::NXIO.raw_os_error())
    };
    Counts::of(control, device).map_err(|error| match error {
        error if gone(&error) => Failure::new(
            Exit::NoDevice,
            format!("the device {} is gone", device.name),
        ),
        error => Failure::io(&format!("the statistics of {}", device.name), &error),
    })
}

fn once(control: &Control, device: &Device, json: bool) -> Result<(), Failure> {
    let counts = counts(control, device)?;
    let waiting: u64 = device.targets.iter().map(in_workers).sum();
    if json {
        let all = json!({
            "name": device.node().to_string_lossy(),
            "reads": counts.reads, "read-bytes": counts.read_bytes, "read-ms": counts.read_ms,
            "writes": counts.writes, "written-bytes": counts.written_bytes, "write-ms": counts.write_ms,
            "discards": counts.discards, "discarded-bytes": counts.discarded_bytes,
            "flushes": counts.flushes, "splits": counts.splits, "errors": counts.errors,
            "in-flight": counts.in_flight, "in-workers": waiting, "busy-ms": counts.busy_ms,
        });
        return print(&format!("{all:#}\n"));
    }
    let mut text = format!("{}\n", device.node().display());
    let mut line = |what: &str, count: u64, bytes: u64, ms: u64| {
        let mean = if count == 0 {
            "-".to_owned()
        } else {
            mean_ms(ms, count)
        };
        let _ = writeln!(
            text,
            "  {what:<9} {count:>12}  {:>9}  mean {mean:>9}",
            human(bytes)
        );
    };
    line("reads", counts.reads, counts.read_bytes, counts.read_ms);
    line(
        "writes",
        counts.writes,
        counts.written_bytes,
        counts.write_ms,
    );
    let _ = writeln!(
        text,
        "  {:<9} {:>12}  {:>9}",
        "discards",
        counts.discards,
        human(counts.discarded_bytes)
    );
    for (what, count) in [
        ("flushes", counts.flushes),
        ("splits", counts.splits),
        ("errors", counts.errors),
        ("in flight", counts.in_flight),
    ] {
        let _ = writeln!(text, "  {what:<9} {count:>12}");
    }
    if device
        .targets
        .iter()
        .any(|target| matches!(target.status, Some(Status::File { .. })))
    {
        let _ = writeln!(text, "  {:<9} {waiting:>12}", "  workers");
    }
    let _ = writeln!(text, "  {:<9} {:>10}ms", "busy", counts.busy_ms);
    print(&text)
}

/// Bios of a file-mapped target that have not ended.
fn in_workers(target: &crate::device::Target) -> u64 {
    match &target.status {
        Some(Status::File { in_flight, .. }) => *in_flight,
        _ => 0,
    }
}

fn mean_ms(ms: u64, count: u64) -> String {
    let micros = ms.saturating_mul(1000) / count.max(1);
    format!("{}.{:03}ms", micros / 1000, micros % 1000)
}

/// A line each interval, until interrupted or `lines` are printed.
fn watch(
    control: &Control,
    device: &Device,
    seconds: u64,
    lines: Option<u64>,
) -> Result<(), Failure> {
    let mut before = counts(control, device)?;
    let mut printed = 0;
    while lines.is_none_or(|lines| printed < lines) {
        // As often as a screen is full.
        if printed % 20 == 0 {
            print(&format!(
                "{:>10} {:>10} {:>10} {:>10} {:>10} {:>9} {:>8} {:>6} {:>9} {:>5}\n",
                "reads/s",
                "read/s",
                "writes/s",
                "written/s",
                "discards/s",
                "flushes/s",
                "splits/s",
                "errors",
                "in-flight",
                "busy"
            ))?;
        }
        thread::sleep(Duration::from_secs(seconds));
        let now = counts(control, device)?;
        let step = now.since(&before);
        let busy = step.busy_ms.saturating_mul(100) / seconds.saturating_mul(1000).max(1);
        print(&format!(
            "{:>10} {:>10} {:>10} {:>10} {:>10} {:>9} {:>8} {:>6} {:>9} {:>4}%\n",
            step.reads / seconds,
            human(step.read_bytes / seconds),
            step.writes / seconds,
            human(step.written_bytes / seconds),
            step.discards / seconds,
            step.flushes / seconds,
            step.splits / seconds,
            step.errors,
            step.in_flight,
            busy.min(100)
        ))?;
        before = now;
        printed += 1;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_the_kernel_prints_it() {
        let text = "     107        0     3016       12       5        1       40       7        2       19       20        3        0       64        1        0        0\n";
        let counts = Counts::parse(text).unwrap();
        assert_eq!(
            (counts.reads, counts.read_bytes, counts.read_ms),
            (107, 3016 * 512, 12)
        );
        assert_eq!(
            (counts.writes, counts.written_bytes, counts.write_ms),
            (5, 40 * 512, 7)
        );
        assert_eq!((counts.in_flight, counts.busy_ms), (2, 19));
        assert_eq!((counts.discards, counts.discarded_bytes), (3, 64 * 512));
        // Old kernels do not count discards.
        assert!(Counts::parse("1 0 8 1 1 0 8 1 0 1 1").is_some());
        assert_eq!(Counts::parse("1 2 3"), None);
        assert_eq!(Counts::parse("x"), None);
    }

    #[test]
    fn answers_of_targets() {
        let mut counts = Counts::default();
        for answer in [
            "flushes 3 splits 2 errors 1",
            "",
            "new 9 errors 18446744073709551615",
        ] {
            assert_eq!(counts.add_answer(answer), Some(()), "{answer}");
        }
        assert_eq!(
            (counts.flushes, counts.splits, counts.errors),
            (3, 2, u64::MAX)
        );
        for answer in ["flushes", "flushes x", "flushes 1 splits"] {
            assert_eq!(counts.add_answer(answer), None, "{answer}");
        }
    }

    #[test]
    fn differences() {
        let before = Counts {
            reads: 5,
            in_flight: 9,
            ..Counts::default()
        };
        let now = Counts {
            reads: 8,
            in_flight: 1,
            ..Counts::default()
        };
        let step = now.since(&before);
        assert_eq!((step.reads, step.in_flight), (3, 1));
        assert_eq!(mean_ms(3, 2), "1.500ms");
    }
}
