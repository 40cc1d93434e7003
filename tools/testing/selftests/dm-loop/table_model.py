# SPDX-License-Identifier: GPL-2.0
"""What must become of a table line: a model of the grammar and of the refusals.

A line goes through three hands, each of which is modelled here: dmsetup, which cuts it at
'#'; libdevmapper, which doubles each backslash; and the kernel's dm_split_args(), which
splits it at white space and takes a backslash away. Then come the target's own rules.
"""
import errno
import os
import re
import stat

SECTOR = 512
PAGE = 4096
SPACE = b"\t\n\v\f\r \xa0"
FEATURES = [b"block_mapped", b"file_mapped", b"buffered_io", b"direct_io", b"no_discard"]


class Refused(Exception):
    """The errno and the message that a line must be refused with."""

    def __init__(self, number, message):
        super().__init__(number, message)
        self.number, self.message = number, message


class Unknown(Exception):
    """Nothing is foretold of this line, but that it does no harm."""


class Made:
    """The device that a line must make."""

    def __init__(self, path, offset, sectors, features, kind):
        self.path, self.offset, self.sectors, self.features, self.kind = path, offset, sectors, features, kind

    def table(self):
        """What `dmsetup table` must print."""
        names = [name for name in FEATURES if name in self.features]
        tail = b" %d %s" % (len(names), b" ".join(names)) if names else b""
        return b"0 %d loop %s %d%s" % (self.sectors, escaped(self.path), self.offset, tail)


def escaped(path):
    """A path as the target prints it, for dmsetup and the kernel to read as one word."""
    return re.sub(rb"[\t-\r #\xa0\\]", lambda found: b"\\%03o" % found[0][0], path)


def through_dmsetup(params):
    """What the kernel gets to see of what stands in a line given to dmsetup."""
    return params.split(b"#")[0].replace(b"\\", b"\\\\")


def split(params):
    """dm_split_args()."""
    text = params.split(b"\0")[0]
    words, at = [], 0
    while True:
        while at < len(text) and text[at] in SPACE:
            at += 1
        if at == len(text):
            return words
        word = bytearray()
        while at < len(text) and text[at] not in SPACE:
            if text[at] == ord("\\") and at + 1 < len(text):
                at += 1
            word.append(text[at])
            at += 1
        words.append(bytes(word))


def decimal(word, limit=2**64 - 1):
    """A plain decimal number up to limit, or None."""
    if not word or word.strip(b"0123456789"):
        return None
    # (Python will not convert thousands of digits.)
    digits = word.lstrip(b"0") or b"0"
    return int(digits) if len(digits) <= 20 and int(digits) <= limit else None


def grammar(words):
    """The path, the offset and the features, or Refused."""
    count_wrong = Refused(errno.EINVAL, "Invalid argument count")
    if len(words) < 2:
        raise count_wrong
    offset = decimal(words[1], 2**63 - 1)
    if offset is None:
        raise Refused(errno.EINVAL, "Invalid offset")
    if len(words) > 2 and decimal(words[2]) != len(words) - 3:
        raise count_wrong
    features = words[3:]
    given = set(features)
    contradictory = ({b"block_mapped", b"file_mapped"}, {b"buffered_io", b"direct_io"},
                     {b"block_mapped", b"buffered_io"}, {b"block_mapped", b"direct_io"})
    if len(given) != len(features) or given - set(FEATURES) or any(pair <= given for pair in contradictory):
        raise Refused(errno.EINVAL, "Invalid feature argument")
    path = re.sub(rb"\\([0-3][0-7][0-7])",
                  lambda found: bytes([int(found[1], 8)]) if int(found[1], 8) else found[0], words[0])
    return path, offset, given


def found(path, files):
    """The real path of what a path leads to, if it is a file that we know."""
    try:
        # Without opening it, as the target does it.
        mode = os.stat(path).st_mode
    except OSError as error:
        raise Refused(error.errno, "Cannot open backing file") from error
    if not stat.S_ISREG(mode):
        raise Refused(errno.EINVAL, "Backing file is not a regular file")
    real = os.path.realpath(path)
    if real not in files:
        raise Unknown
    return real


def outcome(params, sectors, files):
    """Made for these parameters as the kernel sees them, or Refused or Unknown.

    files: for each path its size and why it cannot be block-mapped, or None if it can.
    """
    path, offset, features = grammar(split(params))
    path = found(path, files)
    size, why_not = files[path]
    if offset % SECTOR:
        raise Refused(errno.EINVAL, "Offset or length is not a multiple of the logical block size")
    if offset + sectors * SECTOR > size:
        raise Refused(errno.EINVAL, "Device does not fit in the backing file")
    if not why_not and offset + sectors * SECTOR > size // PAGE * PAGE:
        why_not = "file layout is misaligned"
    if b"block_mapped" in features:
        if why_not:
            raise Refused(errno.EOPNOTSUPP, f"Cannot block-map: {why_not}")
        kind = "block"
    elif features & {b"file_mapped", b"buffered_io", b"direct_io"}:
        kind = "file buffered" if b"buffered_io" in features else "file direct"
    else:
        kind = "file direct" if why_not else "block"
    return Made(path, offset, sectors, features, kind)
