#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Makes two files whose blocks alternate on the disk.

usage: fragment.py FILE OTHER BYTES SEED

Both get one block in turn, and not in ascending order where the file system can leave
out some for later, so that the order on the disk is another than in the file. Each is
allocated with fallocate, where there is one, as that takes no more than it is asked for,
and then written around the page cache, as some choose the place only then. FILE gets the
contents that pattern.py makes with SEED.
"""
import ctypes
import mmap
import os
import random
import sys

import pattern

fallocate = ctypes.CDLL(None, use_errno=True).fallocate64
fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]


def can_have_holes(fd, size):
    """Whether an unwritten file of that size takes no space."""
    os.ftruncate(fd, size)
    holes = os.fstat(fd).st_blocks == 0
    os.ftruncate(fd, 0)
    return holes


def main(file, other, size, seed):
    # One processor: some file systems keep a stock of blocks for each.
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_DIRECT
    files = [os.open(path, flags, 0o600) for path in (file, other)]
    step = os.statvfs(file).f_bsize
    buffer = mmap.mmap(-1, step)
    places = list(range(0, size, step))
    if can_have_holes(files[0], size):
        random.Random(1).shuffle(places)
    for place in places:
        for fd in files:
            fallocate(fd, 0, place, step)
        buffer[:] = pattern.pattern(seed, place, step)
        for fd in files:
            if os.pwrite(fd, buffer, place) != step:
                sys.exit(f"short write at {place}")
    for fd in files:
        os.ftruncate(fd, size)
        os.fsync(fd)
        os.close(fd)


main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
