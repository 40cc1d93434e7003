#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Maps a file into memory, and looks at it before, during and after a device writes to it.

usage: mapped-reader.py FILE TABLE
"""
import mmap
import os
import subprocess
import sys

BLOCK = 4096


def dmsetup(*arguments):
    subprocess.run(["dmsetup", *arguments], check=True)


def main(path, table):
    with open(path, "r+b") as file:
        file.write(b"A" * BLOCK)
    with open(path, "rb") as file:
        view = mmap.mmap(file.fileno(), BLOCK, mmap.MAP_SHARED, mmap.PROT_READ)
    if view[:] != b"A" * BLOCK:
        sys.exit("the mapping does not show the file")
    dmsetup("create", "t0", "--table", table)
    fd = os.open("/dev/mapper/t0", os.O_WRONLY | os.O_DIRECT)
    buffer = mmap.mmap(-1, BLOCK)
    for letter in b"B", b"C":
        buffer[:] = letter * BLOCK
        if os.pwrite(fd, buffer, 0) != BLOCK:
            sys.exit("short write")
        # Either is right as long as the device exists; it fills the page cache.
        view[0]
    os.close(fd)
    dmsetup("remove", "--retry", "t0")
    if view[:] != b"C" * BLOCK:
        sys.exit(f"the mapping shows {view[:1]}, and not what the device wrote last")


main(*sys.argv[1:])
