#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Writes a device that may not take all of it, and knows what it took.

usage: fill.py write DEVICE BYTES STEP SEED LIST
       fill.py verify DEVICE BYTES STEP SEED LIST

write: STEP bytes at a time, around the page cache, and goes on after an error. LIST gets
a line for each piece that failed: its place and the name of the errno. Prints how many
bytes were taken. verify: each piece that is not in LIST must hold what was written, and
each sector of one that is must hold that or zeroes.
"""
import errno
import mmap
import os
import sys

import pattern


def write(fd, size, step, seed, failures):
    buffer = mmap.mmap(-1, step)
    taken = 0
    for place in range(0, size, step):
        buffer[:] = pattern.pattern(seed, place, step)
        try:
            if os.pwrite(fd, buffer, place) != step:
                sys.exit(f"a short write at {place}")
            taken += step
        except OSError as error:
            print(place, errno.errorcode[error.errno], file=failures)
    print(taken)


def verify(fd, size, step, seed, failed):
    buffer = mmap.mmap(-1, step)
    for place in range(0, size, step):
        if os.preadv(fd, [buffer], place) != step:
            sys.exit(f"a short read at {place}")
        wanted = pattern.pattern(seed, place, step)
        if place not in failed:
            pattern.compare(buffer[:], wanted, place, "written")
            continue
        for sector in range(0, step, 512):
            got = buffer[sector : sector + 512]
            if got != bytes(512):
                pattern.compare(got, wanted[sector : sector + 512], place + sector, "failed")


def main(job, device, size, step, seed, path):
    size, step, seed = int(size), int(step), int(seed)
    flags = os.O_DIRECT | (os.O_WRONLY if job == "write" else os.O_RDONLY)
    fd = os.open(device, flags)
    if job == "write":
        with open(path, "w", encoding="ascii") as failures:
            write(fd, size, step, seed, failures)
        os.close(fd)
    else:
        with open(path, encoding="ascii") as failures:
            verify(fd, size, step, seed, {int(line.split()[0]) for line in failures})


if __name__ == "__main__":
    if len(sys.argv) != 7 or sys.argv[1] not in ("write", "verify"):
        sys.exit(__doc__)
    main(*sys.argv[1:])
