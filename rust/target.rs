// SPDX-License-Identifier: GPL-2.0

//! The loop target: which file, mapped how, and what becomes of each bio.
//!
//! The table syntax stands at [`Loop::ctr`]; the grammar is in [`table`], the messages
//! of refusals in [`refusal`], the mapped part of a file in [`window`], its place on
//! disk in [`placement`] and [`alignment`], and the two ways of a bio in [`block`] and
//! [`mod@file`].

#![deny(unsafe_code)]

mod alignment;
mod block;
mod file;
mod message;
mod placement;
mod refusal;
mod table;
mod tally;
mod window;

use self::{
    block::Block,
    file::File,
    message::Message,
    refusal::{report, Reason, Refusal},
    table::{Features, Mapping, Table},
    window::Window,
};
use crate::{
    block::{QueueLimits, SectorCount},
    dm::{
        Args, Bio, Constructor, CtrError, DeviceVisitor, MapResult, Operations, StatusKind,
        StatusWriter, Target, Version,
    },
    fs::{BackingFile, Identity, OpenError},
};
use core::{
    ffi::CStr,
    fmt::{self, Write},
};
use kernel::prelude::*;

/// The `loop` target.
pub(crate) struct Loop {
    /// The byte offset of the table line.
    offset: u64,
    /// The features of the table line.
    features: Features,
    /// How the file is mapped.
    backing: Backing,
}

/// How a file is mapped.
enum Backing {
    /// To the blocks on disk.
    Block(Block),
    /// Through the file system.
    File(File),
}

impl Backing {
    /// The file.
    fn file(&self) -> &BackingFile {
        match self {
            Self::Block(block) => block.file(),
            Self::File(file) => file.file(),
        }
    }

    /// Flushes, bios that were split, bios that failed here.
    fn counts(&self) -> [u64; 3] {
        match self {
            Self::Block(block) => block.counts(),
            Self::File(file) => file.counts(),
        }
    }
}

impl Operations for Loop {
    type Private = KBox<Self>;
    type Message = Message;

    const NAME: &'static CStr = c"loop";
    const VERSION: Version = [1, 0, 0];

    /// Constructs a mapping of a file: `<path> <offset> [<#features> <feature>…]`.
    ///
    /// - `path`: the backing file, as seen by the calling process;
    /// - `offset`: where in the file the device begins, in bytes;
    /// - `block_mapped`: block-map or fail;
    /// - `file_mapped`: file-map even where block mapping is possible;
    /// - `buffered_io`, `direct_io`: file-mapped, through the page cache or past it;
    /// - `no_discard`: do not offer discard.
    fn ctr(target: &mut Constructor<'_>, args: Args<'_>) -> Result<Self::Private, CtrError> {
        let path = args.get(0);
        Self::new(target, args).map_err(|refusal| report(refusal, path))
    }

    #[inline]
    fn map<'a>(private: &'a Self, target: Target<'a>, bio: Bio<'a>) -> MapResult {
        match &private.backing {
            Backing::Block(block) => block.map(target, bio),
            Backing::File(file) => file.map(target, bio),
        }
    }

    fn status(private: &Self, kind: StatusKind, out: &mut StatusWriter<'_>) -> fmt::Result {
        match kind {
            StatusKind::Info => match &private.backing {
                Backing::Block(block) => block.status(out),
                Backing::File(file) => file.status(out),
            },
            StatusKind::Table => {
                private.write_path(out)?;
                write!(out, " {}", private.offset)?;
                let features = private.features.names();
                match features.clone().count() {
                    0 => Ok(()),
                    count => {
                        write!(out, " {count}")?;
                        features
                            .into_iter()
                            .try_for_each(|name| write!(out, " {name}"))
                    }
                }
            }
            StatusKind::Ima => {
                let [major, minor, patch] = Self::VERSION;
                write!(
                    out,
                    "target_name=loop,target_version={major}.{minor}.{patch},file="
                )?;
                private.write_path(out)?;
                write!(out, ",offset={};", private.offset)
            }
        }
    }

    /// - `grow <bytes>`: makes the file of a block-mapped device at least that long, so
    ///   that a longer table can be loaded.
    /// - `stat`: tells how many flushes there were, bios that were split at the end of an
    ///   extent, and bios that failed here; and which file it is.
    fn parse(args: Args<'_>) -> Option<Message> {
        Message::parse(args.iter().map(CStr::to_bytes))
    }

    fn message(
        private: &Self,
        target: Target<'_>,
        message: Message,
        answer: &mut StatusWriter<'_>,
    ) -> Result {
        match (message, &private.backing) {
            // Whoever is to resume it would wait for us, and what is stopped perhaps we for it.
            (Message::Grow(_), _) if target.is_suspended() => Err(EBUSY),
            (Message::Grow(size), Backing::Block(block)) => block.grow(size),
            // Whoever wants it longer can make it so.
            (Message::Grow(_), Backing::File(_)) => Err(EINVAL),
            (Message::Stat, backing) => {
                let [flushes, splits, errors] = backing.counts();
                write!(answer, "flushes {flushes} splits {splits} errors {errors}")
                    .map_err(|_| ENOSPC)?;
                // Not where the file system has failed, of which the rest may tell.
                let Ok(Identity {
                    device: (major, minor),
                    inode,
                }) = backing.file().identity()
                else {
                    return Ok(());
                };
                write!(answer, " major {major} minor {minor} inode {inode}").map_err(|_| ENOSPC)
            }
        }
    }

    fn iterate_devices(private: &Self, visitor: &mut DeviceVisitor<'_>) -> c_int {
        match &private.backing {
            Backing::Block(block) => block.iterate_devices(visitor),
            Backing::File(file) => file.iterate_devices(visitor),
        }
    }

    fn postsuspend(private: &Self, target: Target<'_>) {
        match &private.backing {
            // The host device's own cache is flushed by whoever flushes the device.
            Backing::Block(_) => {}
            Backing::File(file) => file.postsuspend(target),
        }
    }

    fn io_hints(private: &Self, limits: QueueLimits<'_>) {
        match &private.backing {
            // Those of the host device are right.
            Backing::Block(_) => {}
            Backing::File(file) => file.io_hints(limits),
        }
    }
}

impl Loop {
    /// Opens and maps the file of a table line.
    fn new(target: &mut Constructor<'_>, args: Args<'_>) -> Result<KBox<Self>, Refusal> {
        let table = Table::parse(args.iter().map(CStr::to_bytes))?;
        let file = open(table.path, target.writable())?;
        Ok(KBox::new(
            Self {
                offset: table.offset,
                features: table.features,
                backing: Self::back(target, file, &table)?,
            },
            GFP_KERNEL,
        )?)
    }

    /// Maps `file` to its blocks, or through the file system where that is impossible
    /// or not wanted.
    fn back(
        target: &mut Constructor<'_>,
        file: BackingFile,
        table: &Table<'_>,
    ) -> Result<Backing, Refusal> {
        if file.device().is_some_and(|device| target.is_on(device)) {
            return Err(Refusal::OnItself);
        }
        let features = table.features;
        let (size, len) = (file.size(), target.len());
        let window = |block| {
            Window::new(table.offset, len, size, block).map_err(|error| Refusal::Window {
                error,
                offset: table.offset,
                sectors: len.get(),
                size,
            })
        };

        let auto = features.mapping == Mapping::Auto;
        let reason = if features.mapping == Mapping::File || features.io.is_some() {
            Reason::Requested
        } else {
            let block = window(file.logical_block())
                .and_then(|window| Block::new(target, file.clone(), window, features));
            match block {
                Ok(block) => return Ok(Backing::Block(block)),
                Err(refusal) => match refusal.reason().filter(|_| auto) {
                    Some(reason) => reason,
                    None => return Err(refusal),
                },
            }
        };
        let window = window(SectorCount::new(1))?;
        File::new(target, file, window, features, reason).map(Backing::File)
    }

    /// Writes the path of the file such that device-mapper reads it as one argument.
    fn write_path(&self, out: &mut StatusWriter<'_>) -> fmt::Result {
        out.write_escaped(|buffer| self.backing.file().path(buffer), table::escape)
    }
}

/// Opens the file at `path`, as a table line gives it.
fn open(path: &[u8], writable: bool) -> Result<BackingFile, Refusal> {
    let mut name = KVec::with_capacity(path.len().saturating_add(1), GFP_KERNEL)?;
    for byte in table::unescape(path) {
        name.push(byte, GFP_KERNEL)?;
    }
    name.push(0, GFP_KERNEL)?;
    let name = CStr::from_bytes_with_nul(&name).map_err(|_| OpenError::Failed(EINVAL))?;
    Ok(BackingFile::open(name, writable)?)
}
