// SPDX-License-Identifier: GPL-2.0

//! `dmloop`: files as block devices, through the device-mapper target `loop`.
//!
//! Each command has a module of its own; what they share:
//!
//! | module | |
//! | --- | --- |
//! | [`cli`] | the command line |
//! | `sys` | system calls that need `unsafe`; nothing else does |
//! | `control`, `udev` | device-mapper's ioctls, and waiting for udev |
//! | `device`, `identity` | the devices there are, and which files they are on |
//! | `table`, `status`, `reason` | what the target reads and prints |
//! | `backing`, `extents`, `mounts` | files, where they lie, and on which file system |
//! | `failure`, `interrupt` | errors and exit codes, and signals |

mod attach;
mod backing;
mod check;
pub mod cli;
mod control;
mod copy;
mod detach;
mod device;
mod evidence;
mod extents;
mod failure;
mod generator;
mod grow;
mod identity;
mod interrupt;
mod kmsg;
mod list;
mod map;
mod mounts;
mod partitions;
mod partscan;
mod picture;
mod prepare;
mod printable;
mod reason;
mod redact;
mod refusal;
mod report;
mod same;
mod secrets;
mod size;
mod stat;
mod status;
mod svg;
mod sys;
mod tab;
mod table;
mod udev;
mod users;
mod whole_file;
mod work;
mod write_out;

use clap::Parser;
use cli::{Cli, Command};
use failure::{Exit, Failure};
use std::{io::Write, process::ExitCode};

/// Does what the command line asks for.
pub fn main() -> ExitCode {
    let name = std::env::args_os().next().map(std::path::PathBuf::from);
    if name.is_some_and(|name| name.ends_with("dmloop-generator")) {
        return generator::main();
    }
    let cli = Cli::parse();
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.message.is_empty() {
                // There is nowhere to tell that stderr is gone.
                let _ = writeln!(std::io::stderr(), "dmloop: {}", failure.message);
            }
            ExitCode::from(failure.exit as u8)
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    // The others change nothing that could be left half done, or see to that themselves.
    if !matches!(
        command,
        Command::List(_) | Command::Map(_) | Command::Stat(_) | Command::Report(_)
    ) {
        interrupt::defer().map_err(|error| Failure::io("cannot handle signals", &error))?;
    }
    match command {
        Command::Attach(args) => attach::run(args),
        Command::Detach(args) => detach::run(args),
        Command::List(args) => list::run(args),
        Command::Check(args) => check::run(args),
        Command::Map(args) => map::run(args),
        Command::Stat(args) => stat::run(args),
        Command::Prepare(args) => prepare::run(args),
        Command::Report(args) => report::run(args),
        Command::Grow(args) => grow::run(args),
    }
}

/// Writes to standard output. A reader that has gone away is no failure: `dmloop map | head`.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            std::process::exit(Exit::Done as i32)
        }
        result => result.map_err(|error| Failure::io("cannot write the output", &error)),
    }
}

/// A warning or a note: what was done in another way than one might think.
fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "dmloop: {text}");
}
