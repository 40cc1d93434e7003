// SPDX-License-Identifier: GPL-2.0

//! The command line, from which help, manual pages and completions are made.

use crate::size;
use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use std::path::PathBuf;

/// What stands below the help, and as a section of the manual page.
pub const EXIT_CODES: &str = "\
Exit codes:
  0    done; check, prepare: the file can be block-mapped
  1    failed
  2    wrong usage
  3    check, prepare, attach --block-mapped: the file cannot be block-mapped
  4    there is no such device
  5    the device or the file is in use
  6    the kernel has no target \"loop\": the module dm-loop is not installed
  130  attach, detach, check, grow, prepare: interrupted; it can be run again";

/// Attach files as block devices, and see what is going on.
///
/// A file becomes a block device /dev/mapper/NAME through the device-mapper target "loop".
/// Where it lies fully written on a local file system it is block-mapped: I/O goes
/// straight to the disk. Otherwise it is file-mapped: I/O goes through the file system.
#[derive(Debug, Parser)]
#[command(
    name = "dmloop",
    version,
    propagate_version = true,
    max_term_width = 100
)]
#[command(after_help = EXIT_CODES, infer_subcommands = false)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Attach a file as a block device
    ///
    /// Without NAME, the device gets the first free name of loop0, loop1…, and its path is
    /// printed. A file that cannot be written is attached read-only.
    Attach(AttachArgs),
    /// Detach devices
    ///
    /// Detaches each device, and its partitions first. All of them are tried, even if one
    /// fails.
    Detach(DetachArgs),
    /// List devices
    ///
    /// A line for each part of each device. Columns that say nothing about a device show -.
    List(ListArgs),
    /// Ask the kernel whether a file would be block-mapped, and if not, why
    ///
    /// Has the kernel map the file for a moment, without making a device that can be used,
    /// and tells what came of it. On f2fs that may move blocks of the file.
    Check(CheckArgs),
    /// Make a file, or convert one, so that it can be block-mapped
    ///
    /// Allocates and writes what is not written yet, with the zeroes that it reads as;
    /// separates blocks that are shared with other files; on btrfs, replaces the file by a copy
    /// that is not copied on write. What the file contains never changes, and it may be
    /// interrupted at any time.
    Prepare(PrepareArgs),
    /// Show where a file lies on its disk
    ///
    /// Asks the file system, which need not be one that files are block-mapped on. On btrfs the
    /// places are addresses of its own, which it spreads over its disks.
    Map(MapArgs),
    /// Make a device and its file larger, while in use
    ///
    /// SIZE is that of the device, or with a + what is added. Under a block-mapped device the
    /// kernel makes the file longer: on ext2, ext3, ext4 and vfat, and on xfs where the disk
    /// writes zeroes by itself. Elsewhere the device has to be detached, its file made larger
    /// with `dmloop prepare --size`, and attached again.
    Grow(GrowArgs),
    /// Show the I/O of a device
    ///
    /// Reads, writes and discards as the kernel counts them for the device, since it was
    /// made; and flushes, I/O that was split at the end of an extent, and I/O that failed, as
    /// the target counts them, since its table was loaded. With --interval, in each interval.
    Stat(StatArgs),
    /// Gather what a bug report needs, in one archive
    ///
    /// Gathers versions, kernel configuration, tables, states, queue limits, file systems,
    /// layouts, attributes of the files, and recent lines of the kernel log. Says what the
    /// archive contains; nothing is sent anywhere.
    Report(ReportArgs),
}

/// `dmloop attach`
#[derive(Args, Debug)]
pub struct AttachArgs {
    /// The file
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// Name of the device: /dev/mapper/NAME
    pub name: Option<String>,
    /// Begin this far into the file: a multiple of 512, such as 32256 or 1M
    #[arg(short, long, value_name = "SIZE", value_parser = size::parse, default_value = "0")]
    pub offset: u64,
    /// Map no more than this much of the file
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub sizelimit: Option<u64>,
    /// Attach read-only
    #[arg(short, long)]
    pub read_only: bool,
    /// Print the path of the device (as is done anyway without NAME)
    #[arg(long)]
    pub show: bool,
    /// Fail unless the file can be block-mapped
    #[arg(long, conflicts_with_all = ["file_mapped", "direct_io"])]
    pub block_mapped: bool,
    /// Go through the file system even if the file could be block-mapped
    #[arg(long)]
    pub file_mapped: bool,
    /// Go through the file system, past its cache (on) or through it (off)
    #[arg(long, value_name = "on|off", hide_possible_values = true)]
    pub direct_io: Option<OnOff>,
    /// Do not offer discard
    #[arg(long)]
    pub no_discard: bool,
    /// Make devices of the partitions, too: NAMEp1, NAMEp2… (MBR and GPT)
    #[arg(short = 'P', long)]
    pub partscan: bool,
    /// If the same part of the file is attached already in the same way, print that device
    /// and make no other; fail if it is attached otherwise, or if a part that overlaps is
    #[arg(short = 'L', long)]
    pub nooverlap: bool,
}

/// A switch, in losetup's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnOff {
    /// On.
    On,
    /// Off.
    Off,
}

/// `dmloop detach`
#[derive(Args, Debug)]
pub struct DetachArgs {
    /// Devices, by name or path
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    pub names: Vec<String>,
    /// All devices of this target
    #[arg(short = 'D', long)]
    pub all: bool,
    /// If a device is in use, remove it as soon as it no longer is
    #[arg(long)]
    pub deferred: bool,
}

/// `dmloop list`
#[derive(Args, Debug)]
pub struct ListArgs {
    /// Only these devices, by name or path
    pub names: Vec<String>,
    /// As JSON, in the shape of `losetup --json`; sizes are in bytes
    #[arg(short = 'J', long)]
    pub json: bool,
    /// These columns: NAME, SIZE, OFFSET, SIZELIMIT, RO, MAPPING, REASON, EXTENTS, DISK, DIO,
    /// IN-FLIGHT, AUTOCLEAR, SUSPENDED, OPEN, LOG-SEC, MAJ:MIN, START, BACK-FILE
    #[arg(short, long, value_name = "COLUMNS", value_delimiter = ',')]
    pub output: Vec<String>,
    /// Only devices on this file
    #[arg(short = 'j', long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub associated: Option<PathBuf>,
    /// Sizes in bytes
    #[arg(short, long)]
    pub bytes: bool,
    /// No line of headings
    #[arg(short, long)]
    pub noheadings: bool,
}

/// `dmloop check`
#[derive(Args, Debug)]
pub struct CheckArgs {
    /// The file
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// Begin this far into the file
    #[arg(short, long, value_name = "SIZE", value_parser = size::parse, default_value = "0")]
    pub offset: u64,
    /// Map no more than this much of the file
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub sizelimit: Option<u64>,
    /// Say nothing; the exit code tells
    #[arg(short, long)]
    pub quiet: bool,
}

/// `dmloop prepare`
#[derive(Args, Debug)]
pub struct PrepareArgs {
    /// The file; it is made if it does not exist
    #[arg(value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// Make the file this large; never smaller than it is
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub size: Option<u64>,
    /// Show no progress
    #[arg(short, long)]
    pub quiet: bool,
}

/// `dmloop map`
#[derive(Args, Debug)]
pub struct MapArgs {
    /// A file, or the name or path of a device
    #[arg(value_hint = ValueHint::FilePath)]
    pub what: PathBuf,
    /// Write the picture to this file, for a document
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub svg: Option<PathBuf>,
    /// As JSON, in bytes
    #[arg(short = 'J', long)]
    pub json: bool,
    /// No picture
    #[arg(long)]
    pub no_picture: bool,
}

/// `dmloop grow`
#[derive(Args, Debug)]
pub struct GrowArgs {
    /// The device, by name or path
    pub name: String,
    /// The new size, or +SIZE
    pub size: String,
}

/// `dmloop stat`
#[derive(Args, Debug)]
pub struct StatArgs {
    /// The device, by name or path
    pub name: String,
    /// Print a line every so many seconds
    #[arg(short, long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86400))]
    pub interval: Option<u64>,
    /// End after so many lines
    #[arg(short, long, value_name = "LINES", requires = "interval")]
    pub count: Option<u64>,
    /// As JSON
    #[arg(short = 'J', long, conflicts_with = "interval")]
    pub json: bool,
}

/// `dmloop report`
#[derive(Args, Debug)]
pub struct ReportArgs {
    /// Only this device
    pub name: Option<String>,
    /// The archive, ending in .tar or .tar.gz [default: dmloop-report.tar.gz]
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// Replace names of files, folders, devices and of this machine by numbers
    #[arg(long)]
    pub redact: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn losetups_words() {
        let parse = |line: &str| Cli::try_parse_from(line.split(' '));
        assert!(parse("dmloop attach img -o 32256 --sizelimit 1M -r --show").is_ok());
        assert!(parse("dmloop attach img x --direct-io=on --partscan --nooverlap").is_ok());
        assert!(parse("dmloop attach img --block-mapped --file-mapped").is_err());
        assert!(parse("dmloop attach img --block-mapped --direct-io=off").is_err());
        assert!(parse("dmloop attach img -o -1").is_err());
        assert!(parse("dmloop detach").is_err());
        assert!(parse("dmloop detach --all x").is_err());
        assert!(parse("dmloop detach --all --deferred").is_ok());
        assert!(parse("dmloop list --json -o NAME,SIZE -j img").is_ok());
        assert!(parse("dmloop stat x --count 3").is_err());
    }
}
