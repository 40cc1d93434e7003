#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Replays what dm-log-writes has logged, up to a mark.

usage: logwrites.py marks LOG                      the marks, one a line
       logwrites.py replay LOG DISK POSITION MARK  up to MARK
       logwrites.py replay LOG DISK POSITION MARK SEED
                                                   and from there on some of what follows,
                                                   but not to the next mark

POSITION is a file that keeps how far DISK has come; without it, the log is replayed from its
start. The log holds a write only once a flush, or FUA, has made it durable, in that order:
see Documentation/admin-guide/device-mapper/log-writes.rst.
"""
import fcntl
import os
import random
import struct
import sys

SUPER = struct.Struct("<QQQL")
ENTRY = struct.Struct("<QQQQ")
MAGIC, VERSION = 0x6A736677736872, 1
FLUSH, FUA, DISCARD, MARK = 1, 2, 4, 8
BLKDISCARD = 0x1277


class Log:
    """Entries of a log, each (place of the next, sector, sectors, flags, place of the data, mark)."""

    def __init__(self, path):
        self.fd = os.open(path, os.O_RDONLY)
        magic, version, self.count, self.block = SUPER.unpack(os.pread(self.fd, SUPER.size, 0))
        if magic != MAGIC or version != VERSION:
            sys.exit(f"{path} is no log")

    def entries(self, number=0, place=None):
        """From the entry with this number, which lies at place, on."""
        place = place or self.block
        for number in range(number, self.count):
            head = os.pread(self.fd, self.block, place)
            sector, sectors, flags, length = ENTRY.unpack_from(head)
            place += self.block
            data = place
            if flags & MARK:
                sectors, mark = 0, head[ENTRY.size : ENTRY.size + length].split(b"\0")[0].decode()
            else:
                mark = None
            if not flags & DISCARD:
                place += sectors * self.block
            yield number + 1, place, (sector, sectors, flags, data, mark)


def apply(log, disk, entry):
    sector, sectors, flags, data, _ = entry
    start, length = sector * log.block, sectors * log.block
    if flags & DISCARD:
        fcntl.ioctl(disk, BLKDISCARD, struct.pack("<QQ", start, length))
    while length and not flags & DISCARD:
        part = os.pread(log.fd, min(length, 1 << 20), data)
        os.pwrite(disk, part, start)
        start, data, length = start + len(part), data + len(part), length - len(part)


def replay(log, path, position, mark, seed):
    number, place = 0, None
    if os.path.exists(position):
        with open(position, encoding="ascii") as file:
            number, place = map(int, file.read().split())
    disk = os.open(path, os.O_RDWR)
    seen, some = False, []
    for number, place, entry in log.entries(number, place):
        if seen:
            if entry[4]:
                break
            some.append((number, place, entry))
            continue
        apply(log, disk, entry)
        seen = entry[4] == mark
        if seen:
            last = number, place
            if seed is None:
                break
    if not seen:
        sys.exit(f"there is no mark {mark} from here on")
    if some:
        more = random.Random(seed).randint(0, len(some))
        for number, place, entry in some[:more]:
            apply(log, disk, entry)
            last = number, place
        print(f"{more} of {len(some)} writes after the mark")
    os.fsync(disk)
    with open(position, "w", encoding="ascii") as file:
        print(*last, file=file)


def main(job, path, *words):
    log = Log(path)
    if job == "marks":
        for _, _, entry in log.entries():
            if entry[4]:
                print(entry[4])
    elif job == "replay" and len(words) in (3, 4):
        replay(log, *words[:3], words[3] if len(words) == 4 else None)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
