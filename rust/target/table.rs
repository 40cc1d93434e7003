// SPDX-License-Identifier: GPL-2.0

//! The grammar of a table line: `<path> <offset> [<#features> <feature>…]`.
//!
//! Pure: uses `core` alone. Device-mapper has already split the line at white space,
//! as `dm_split_args()` of [`drivers/md/dm-table.c`](srctree/drivers/md/dm-table.c)
//! does. `\` would keep it from that, but libdevmapper doubles each one on its way to
//! the kernel; so white space is written as `\` and three octal digits, as in
//! `/proc/mounts`: [`escape`] and [`unescape`].

/// What a table line asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Table<'a> {
    /// The backing file. Anything but NUL may stand in it.
    pub(crate) path: &'a [u8],
    /// Where in the file the device begins, in bytes: at most 2^63 - 1.
    pub(crate) offset: u64,
    /// What was asked for beyond that.
    pub(crate) features: Features,
}

/// How the file is to be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum Mapping {
    /// Block-mapped where that is safe.
    #[default]
    Auto,
    /// Block-mapped or not at all.
    Block,
    /// File-mapped even where block mapping would be safe.
    File,
}

/// How a file-mapped device reads and writes its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IoMode {
    /// Through the page cache.
    Buffered,
    /// Past the page cache.
    Direct,
}

/// The optional features of a table line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Features {
    /// How the file is to be mapped.
    pub(crate) mapping: Mapping,
    /// How a file-mapped device does its I/O, where that was asked for.
    pub(crate) io: Option<IoMode>,
    /// Do not offer discard.
    pub(crate) no_discard: bool,
}

/// What is wrong with a table line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TableError {
    /// Too few or too many arguments, or a count of features that does not fit.
    ArgumentCount,
    /// The offset is not a plain decimal number, or is too large.
    Offset,
    /// A feature is unknown, stands twice, or contradicts another.
    Feature,
}

// The features, as they stand in a table.

/// Asks for [`Mapping::Block`].
const BLOCK_MAPPED: &str = "block_mapped";
/// Asks for [`Mapping::File`].
const FILE_MAPPED: &str = "file_mapped";
/// Asks for [`IoMode::Buffered`].
const BUFFERED_IO: &str = "buffered_io";
/// Asks for [`IoMode::Direct`].
const DIRECT_IO: &str = "direct_io";
/// Sets [`Features::no_discard`].
const NO_DISCARD: &str = "no_discard";

impl<'a> Table<'a> {
    /// Reads the arguments of a table line, in order.
    pub(crate) fn parse(mut args: impl Iterator<Item = &'a [u8]>) -> Result<Self, TableError> {
        let path = args.next().ok_or(TableError::ArgumentCount)?;
        let offset = args.next().ok_or(TableError::ArgumentCount)?;
        let Some(count) = args.next() else {
            return Ok(Self {
                path,
                offset: parse_offset(offset)?,
                features: Features::default(),
            });
        };

        let offset = parse_offset(offset)?;
        let count = parse_decimal(count).ok_or(TableError::ArgumentCount)?;
        let mut features = Features::default();
        let mut seen = 0_u64;
        let mut wrong = false;
        for feature in args {
            seen = seen.saturating_add(1);
            wrong |= features.add(feature).is_err();
        }
        // The count comes first: with a wrong one it is not clear what is a feature.
        if seen != count {
            return Err(TableError::ArgumentCount);
        }
        if wrong {
            return Err(TableError::Feature);
        }
        Ok(Self {
            path,
            offset,
            features,
        })
    }
}

impl Features {
    /// Adds one feature by its name.
    fn add(&mut self, name: &[u8]) -> Result<(), TableError> {
        match core::str::from_utf8(name).map_err(|_| TableError::Feature)? {
            BLOCK_MAPPED => self.set_mapping(Mapping::Block),
            FILE_MAPPED => self.set_mapping(Mapping::File),
            BUFFERED_IO => self.set_io(IoMode::Buffered),
            DIRECT_IO => self.set_io(IoMode::Direct),
            NO_DISCARD if !self.no_discard => {
                self.no_discard = true;
                Ok(())
            }
            _ => Err(TableError::Feature),
        }
    }

    /// Sets the mapping, once, and not against an I/O mode that only file mapping has.
    fn set_mapping(&mut self, mapping: Mapping) -> Result<(), TableError> {
        if self.mapping != Mapping::Auto || (mapping == Mapping::Block && self.io.is_some()) {
            return Err(TableError::Feature);
        }
        self.mapping = mapping;
        Ok(())
    }

    /// Sets the I/O mode, once, and not of a device that must be block-mapped.
    fn set_io(&mut self, io: IoMode) -> Result<(), TableError> {
        if self.io.is_some() || self.mapping == Mapping::Block {
            return Err(TableError::Feature);
        }
        self.io = Some(io);
        Ok(())
    }

    /// The names of the features that were given, in a fixed order.
    pub(crate) fn names(self) -> impl Iterator<Item = &'static str> + Clone {
        let mapping = match self.mapping {
            Mapping::Auto => None,
            Mapping::Block => Some(BLOCK_MAPPED),
            Mapping::File => Some(FILE_MAPPED),
        };
        let io = self.io.map(|io| match io {
            IoMode::Buffered => BUFFERED_IO,
            IoMode::Direct => DIRECT_IO,
        });
        let no_discard = self.no_discard.then_some(NO_DISCARD);
        [mapping, io, no_discard].into_iter().flatten()
    }
}

/// How `byte` of a path is written, where it cannot stand for itself.
///
/// These are what the kernel's `isspace()` knows, the Latin-1 no-break space among
/// them: as a byte of a UTF-8 character it would cut the character in two. For
/// `dmsetup`, `#` begins a comment.
pub(crate) const fn escape(byte: u8) -> Option<[u8; 4]> {
    match byte {
        b'\t'..=b'\r' | b' ' | b'#' | 0xa0 | b'\\' => Some([
            b'\\',
            b'0' | (byte >> 6),
            b'0' | ((byte >> 3) & 7),
            b'0' | (byte & 7),
        ]),
        _ => None,
    }
}

/// The bytes of a path as it was meant: the way back from [`escape`].
///
/// `\` stands for itself unless three octal digits follow that make a byte of a path.
pub(crate) fn unescape(path: &[u8]) -> impl Iterator<Item = u8> + '_ {
    let mut rest = path;
    core::iter::from_fn(move || {
        let (&first, mut after) = rest.split_first()?;
        let mut byte = first;
        if let (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', others @ ..]) =
            (first, after)
        {
            let value = ((a & 7) << 6) | ((b & 7) << 3) | (c & 7);
            if value != 0 {
                (byte, after) = (value, others);
            }
        }
        rest = after;
        Some(byte)
    })
}

/// Reads a byte offset: what a `loff_t` can hold.
pub(super) fn parse_offset(text: &[u8]) -> Result<u64, TableError> {
    parse_decimal(text)
        .filter(|&offset| i64::try_from(offset).is_ok())
        .ok_or(TableError::Offset)
}

/// Reads a plain decimal number: digits and nothing else.
fn parse_decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.checked_sub(b'0').filter(|&digit| digit <= 9)?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}
