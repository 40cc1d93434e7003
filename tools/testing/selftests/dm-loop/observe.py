#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""What can be read from a device at the moment, and what becomes of writes.

usage: observe.py read DEVICE STEP         a line for each STEP bytes: a hash, or the errno
       observe.py write DEVICE STEP SEED   the same for writes of what pattern.py makes

The page cache of the device is not used.
"""
import errno
import hashlib
import mmap
import os
import sys

import pattern


def attempts(device, step, flags, attempt):
    fd = os.open(device, flags | os.O_DIRECT)
    size = os.lseek(fd, 0, os.SEEK_END)
    for place in range(0, size, step):
        try:
            print(place, attempt(fd, place, min(step, size - place)))
        except OSError as error:
            print(place, errno.errorcode[error.errno])
    os.close(fd)


def main(job, device, step, seed=None):
    step = int(step)
    buffer = mmap.mmap(-1, step)

    def read(fd, place, length):
        done = os.preadv(fd, [memoryview(buffer)[:length]], place)
        return f"{done} {hashlib.md5(buffer[:done]).hexdigest()[:12]}"

    def write(fd, place, length):
        buffer[:length] = pattern.pattern(int(seed), place, length)
        return str(os.pwrite(fd, memoryview(buffer)[:length], place))

    if job == "read":
        attempts(device, step, os.O_RDONLY, read)
    else:
        attempts(device, step, os.O_WRONLY, write)


if __name__ == "__main__":
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    main(*sys.argv[1:])
