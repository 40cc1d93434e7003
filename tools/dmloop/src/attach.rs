// SPDX-License-Identifier: GPL-2.0

//! `dmloop attach`

use crate::{
    backing::Backing,
    cli::{AttachArgs, OnOff},
    control::{Control, Line},
    device::is_good_name,
    failure::{words, Exit, Failure},
    interrupt,
    kmsg::Log,
    note, partscan, print,
    refusal::Refused,
    same,
    table::Table,
    udev,
};
use rustix::io::Errno;
use std::{thread, time::Duration};

/// What the names of devices that never become active begin with; the number of the process
/// follows.
pub(crate) const CHECK: &str = "dmloop-check-";

pub(crate) fn run(args: AttachArgs) -> Result<(), Failure> {
    if let Some(name) = args.name.as_deref().filter(|name| !is_good_name(name)) {
        return Err(Failure::usage(format!(
            "{name} cannot be the name of a device: use letters, digits, and any of #+-.:=@_, and no - at the beginning"
        )));
    }
    let file = Backing::new(&args.file)?;
    let sectors = file.sectors(args.offset, args.sizelimit)?;
    let control = Control::open()?;
    if args.nooverlap {
        if let Some(device) = same::part(&control, &file, &args, sectors)? {
            if args.partscan && partscan::parts_of(&control, &device).is_empty() {
                add_partitions(&control, &device.name)?;
            }
            return print(&format!("{}\n", device.node().display()));
        }
    }
    let table = table(&args, &file);
    let name = create(&control, &args, &file, &table, sectors)?;
    let result = interrupt::none("").and_then(|()| match args.partscan {
        true => add_partitions(&control, &name),
        false => Ok(()),
    });
    if matches!(&result, Err(failure) if failure.exit == Exit::Interrupted) {
        remove(&control, &name);
        return interrupt::none(&format!("interrupted: {name} is detached again"));
    }
    result?;
    if (file.data.len() - args.offset) % 512 != 0 && args.sizelimit.is_none() {
        note(&format!(
            "{} does not end with a sector of 512 bytes: the last bytes are left out",
            file.name()
        ));
    }
    if args.show || args.name.is_none() {
        print(&format!("{}\n", udev::node(&name).display()))?;
    }
    Ok(())
}

/// With --partscan. The device stays, whatever becomes of its partitions.
fn add_partitions(control: &Control, name: &str) -> Result<(), Failure> {
    partscan::add(control, name).map_err(|failure| {
        let words = format!(
            "{name} is attached, but not its partitions: {}",
            failure.message
        );
        Failure::new(failure.exit, words)
    })
}

/// The line of the table.
fn table(args: &AttachArgs, file: &Backing) -> Table {
    let features = [
        (args.block_mapped, "block_mapped"),
        (args.file_mapped, "file_mapped"),
        (args.direct_io == Some(OnOff::On), "direct_io"),
        (args.direct_io == Some(OnOff::Off), "buffered_io"),
        (args.no_discard, "no_discard"),
    ];
    Table {
        path: file.path.clone(),
        offset: args.offset,
        features: features
            .iter()
            .filter(|(wanted, _)| *wanted)
            .map(|(_, name)| (*name).to_owned())
            .collect(),
    }
}

/// Makes the device. A file that cannot be written is made one that cannot be written.
fn create(
    control: &Control,
    args: &AttachArgs,
    file: &Backing,
    table: &Table,
    sectors: u64,
) -> Result<String, Failure> {
    match try_create(
        control,
        args.name.as_deref(),
        file,
        table,
        sectors,
        args.read_only,
    )? {
        Ok(name) => Ok(name),
        Err(refused)
            if !args.read_only
                && matches!(refused.errno, Errno::ROFS | Errno::ACCESS | Errno::PERM)
                && file.open().is_ok() =>
        {
            let name = try_create(control, args.name.as_deref(), file, table, sectors, true)?
                .map_err(|refused| refused.explain(control))?;
            note(&format!(
                "{} cannot be written: {name} is read-only",
                file.name()
            ));
            Ok(name)
        }
        Err(refused) => Err(refused.explain(control)),
    }
}

/// Makes the device, or says why the kernel has refused the table.
fn try_create<'a>(
    control: &Control,
    wanted: Option<&str>,
    file: &'a Backing,
    table: &'a Table,
    sectors: u64,
    read_only: bool,
) -> Result<Result<String, Refused<'a>>, Failure> {
    let (name, number) = match wanted {
        Some(name) => (name.to_owned(), claim(control, name, read_only)?),
        None => claim_free(control, read_only)?,
    };
    let log = Log::from_now();
    let line = Line::only(sectors, table.to_ioctl());
    let loaded = control.load(&name, read_only, &[line]);
    if let Err(errno) = loaded {
        let message = log.refusal(number);
        remove(control, &name);
        return Ok(Err(Refused {
            file,
            table,
            sectors,
            errno,
            message,
        }));
    }
    if let Err(errno) = control.resume(&name, read_only) {
        remove(control, &name);
        return Err(Failure::errno(
            &format!("{name} cannot be activated"),
            errno,
        ));
    }
    udev::ensure_node(&name, number).map_err(|error| {
        Failure::io(
            &format!("{name} is attached, but {}", udev::node(&name).display()),
            &error,
        )
    })?;
    Ok(Ok(name))
}

/// Takes the name `name`.
fn claim(control: &Control, name: &str, read_only: bool) -> Result<(u32, u32), Failure> {
    control.create(name, "", read_only).map_err(|errno| match errno {
        Errno::BUSY => Failure::new(
            Exit::Busy,
            format!("there is a device {name} already: choose another name, or none for the first free one"),
        ),
        errno => Failure::errno(&format!("cannot make the device {name}"), errno),
    })
}

/// Takes the first free name of loop0, loop1… device-mapper sees to it that nobody else
/// gets the same.
fn claim_free(control: &Control, read_only: bool) -> Result<(String, (u32, u32)), Failure> {
    let failed = |errno| Failure::errno("cannot make a device", errno);
    let taken: std::collections::HashSet<String> = control
        .names()
        .map_err(failed)?
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    for number in 0..=u32::MAX {
        let name = format!("loop{number}");
        if taken.contains(&name) {
            continue;
        }
        match control.create(&name, "", read_only) {
            Ok(device) => return Ok((name, device)),
            Err(Errno::BUSY) => {}
            Err(errno) => return Err(failed(errno)),
        }
    }
    Err(Failure::failed("all names from loop0 on are taken"))
}

/// Removes a device that was just made. udev may be looking at it.
pub(crate) fn remove(control: &Control, name: &str) {
    for _ in 0..50 {
        match control.remove(name, false) {
            Err(Errno::BUSY) => thread::sleep(Duration::from_millis(100)),
            // Somebody was faster.
            Ok(()) | Err(Errno::NXIO) => return,
            Err(errno) => return left(name, errno),
        }
    }
    left(name, Errno::BUSY);
}

/// Tells of a device that could not be removed, which keeps its file in use.
fn left(name: &str, errno: Errno) {
    note(&format!(
        "the device {name} is left behind: {} (dmloop detach {name} removes it)",
        words(errno)
    ));
}

/// What the kernel would make of a table: its state, from a device that never becomes
/// active.
pub(crate) fn try_out<'a>(
    control: &Control,
    file: &'a Backing,
    table: &'a Table,
    sectors: u64,
    read_only: bool,
) -> Result<Result<String, Refused<'a>>, Failure> {
    let name = format!("{CHECK}{}", std::process::id());
    let number = claim(control, &name, read_only)?;
    let log = Log::from_now();
    let line = Line::only(sectors, table.to_ioctl());
    let result = control
        .load(&name, read_only, &[line])
        .map_err(|errno| Refused {
            file,
            table,
            sectors,
            errno,
            message: log.refusal(number),
        });
    let state = result.map(|()| {
        let lines = control.status(&name, crate::control::flag::QUERY_INACTIVE);
        let line = lines.ok().and_then(|(_, lines)| lines.into_iter().next());
        line.map_or_else(String::new, |line| {
            String::from_utf8_lossy(&line.rest).into_owned()
        })
    });
    remove(control, &name);
    Ok(state)
}
