#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""A file changes again and again while a device that shows it is read and written.

usage: churn.py DEVICE FILE BYTES SECONDS CHANGE…

FILE holds what pattern.py makes of seed OLD. Threads write seed NEW to places of DEVICE, read
places of it, and have the file system give blocks that the file has lost to a stranger, a
file of seed STRANGER beside it. Meanwhile FILE is changed: CHANGE is truncate (and made as
long again), punch, or clone (FILE gets blocks of FILE.old, which is of seed OLD). Each sector
that is read must be zeroes, or OLD or NEW at its place; reads and writes may fail with EIO.
Prints how many of each there were.
"""
import errno
import fcntl
import functools
import mmap
import os
import random
import struct
import sys
import threading
import time

import pattern

OLD, NEW, STRANGER = 1, 2, 9
FICLONERANGE = 0x4020940D
SECTOR, BLOCK, LARGEST = 512, 4096, 65536


class Churn:
    def __init__(self, device, file, size, seconds):
        self.device, self.file, self.size = device, file, size
        self.until = time.monotonic() + seconds
        self.wrong = []
        self.tally = {"read": 0, "written": 0, "failed": 0, "changed": 0}

    def goes_on(self):
        return not self.wrong and time.monotonic() < self.until

    def run(self, work):
        """In a thread: whatever it ends with is what went wrong."""
        try:
            work()
        except BaseException as error:
            self.wrong.append(f"{getattr(work, '__name__', 'change')}: {error}")

    def place(self):
        """A part of the file, in whole blocks."""
        length = random.choice((BLOCK, 4 * BLOCK, LARGEST))
        return random.randrange(0, self.size - length + 1, BLOCK), length

    def attempt(self, what, transfer, fd, buffer, place):
        try:
            done = transfer(fd, [buffer], place)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            self.tally["failed"] += 1
            return False
        if done != len(buffer):
            sys.exit(f"{what}: {done} bytes of {len(buffer)} at {place}")
        self.tally[what] += 1
        return True

    def read(self):
        fd = os.open(self.device, os.O_RDONLY | os.O_DIRECT)
        buffer = mmap.mmap(-1, LARGEST)
        while self.goes_on():
            place, length = self.place()
            if self.attempt("read", os.preadv, fd, memoryview(buffer)[:length], place):
                self.judge(buffer[:length], place)

    def judge(self, got, place):
        if got in [pattern.pattern(seed, place, len(got)) for seed in (OLD, NEW)]:
            return
        # Word by word: a sector that is written meanwhile may be read in parts.
        for at in range(0, len(got), SECTOR):
            words = struct.unpack_from("<64Q", got, at)
            if not {0, OLD, NEW}.issuperset(words[::2]) or not {0, (place + at) // SECTOR}.issuperset(words[1::2]):
                sys.exit(f"byte {place + at}: found {got[at : at + 16].hex(' ')}")

    def write(self):
        fd = os.open(self.device, os.O_WRONLY | os.O_DIRECT)
        buffer = mmap.mmap(-1, LARGEST)
        while self.goes_on():
            place, length = self.place()
            buffer[:length] = pattern.pattern(NEW, place, length)
            self.attempt("written", os.pwritev, fd, memoryview(buffer)[:length], place)

    def give_away(self):
        """Whoever gets what the file loses writes it at once."""
        name = self.file + ".stranger"
        data = pattern.pattern(STRANGER, 0, self.size)
        while self.goes_on():
            fd = os.open(name, os.O_RDWR | os.O_CREAT, 0o600)
            os.pwrite(fd, data, 0)
            os.fsync(fd)
            os.close(fd)
            os.unlink(name)

    def truncate(self, fd):
        os.ftruncate(fd, random.randrange(0, self.size, BLOCK))
        os.fsync(fd)
        os.ftruncate(fd, self.size)

    def punch(self, fd):
        place, length = self.place()
        # FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
        if libc().fallocate(fd, 3, place, length):
            sys.exit("cannot punch a hole")

    def clone(self, fd):
        place, length = self.place()
        origin = os.open(self.file + ".old", os.O_RDONLY)
        fcntl.ioctl(fd, FICLONERANGE, struct.pack("<qQQQ", origin, place, length, place))
        os.close(origin)

    def change(self, changes):
        fd = os.open(self.file, os.O_RDWR)
        while self.goes_on():
            getattr(self, random.choice(changes))(fd)
            self.tally["changed"] += 1


def libc():
    import ctypes

    library = ctypes.CDLL(None, use_errno=True)
    library.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return library


def main(device, file, size, seconds, *changes):
    churn = Churn(device, file, int(size), float(seconds))
    works = [churn.read, churn.read, churn.write, churn.write, churn.give_away]
    threads = [threading.Thread(target=churn.run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    churn.run(functools.partial(churn.change, changes))
    for thread in threads:
        thread.join()
    if churn.wrong:
        sys.exit("\n".join(churn.wrong))
    print(*(f"{count} {what}," for what, count in churn.tally.items()))
    if not all(churn.tally[what] for what in ("read", "written", "changed")):
        sys.exit("nothing was tried")


if __name__ == "__main__":
    if len(sys.argv) < 6:
        sys.exit(__doc__)
    main(*sys.argv[1:])
