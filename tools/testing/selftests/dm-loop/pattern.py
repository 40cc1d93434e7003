#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Writes contents that tell where they belong, and knows them again.

usage: pattern.py JOB [-- JOB]…

  write [--direct] PATH START LENGTH SEED [ORIGIN]
  verify [--direct] PATH START LENGTH SEED [ORIGIN]
  zeros [--direct] PATH START LENGTH
  verify-disk FILE START LENGTH SEED DISK

Every 512 bytes of a file hold their number in it and SEED, 32 times. START and LENGTH
are bytes of PATH, which may be a device that shows a file from its byte ORIGIN on.
--direct goes around the page cache. verify-disk reads what FILE holds from the raw DISK
below the file system, at the places where FIEMAP or FIBMAP says that it lies. A device
is synced after it is written, a file is not: whoever maps it has to do that.
"""
import mmap
import os
import struct
import sys

import layout

SECTOR = 512
CHUNK = 1 << 20
# With room for rounding a chunk outwards to blocks.
BUFFER = mmap.mmap(-1, CHUNK + (1 << 16))


def pattern(seed, start, length):
    """The bytes [start, start + length) of a file written with seed."""
    first = start // SECTOR
    last = -(-(start + length) // SECTOR)
    pack = struct.Struct("<QQ").pack
    whole = b"".join([pack(seed, sector) * 32 for sector in range(first, last)])
    skip = start - first * SECTOR
    return whole[skip : skip + length]


def compare(got, wanted, place, what):
    """Ends the program if the two differ: says where, and what was found there."""
    if got == wanted:
        return
    at = next((i for i, (a, b) in enumerate(zip(got, wanted)) if a != b), min(len(got), len(wanted)))
    found, asked = (text[at : at + 16].hex(" ") or "nothing" for text in (got, wanted))
    sys.exit(f"{what}: byte {place + at}: found {found}, not {asked}")


def pieces(start, length):
    while length:
        size = min(length, CHUNK)
        yield start, size
        start += size
        length -= size


def read(fd, place, size):
    """Reads until size or the end, into the buffer."""
    done = os.preadv(fd, [memoryview(BUFFER)[:size]], place)
    return BUFFER[:done]


def write(path, start, length, seed, origin, direct):
    # No O_CREAT on a device's name: a regular file would take its place.
    device = path.startswith("/dev/")
    flags = os.O_WRONLY | (os.O_DIRECT if direct else 0) | (0 if device else os.O_CREAT)
    fd = os.open(path, flags, 0o600)
    for place, size in pieces(start, length):
        BUFFER[:size] = pattern(seed, origin + place, size)
        done = os.pwrite(fd, memoryview(BUFFER)[:size], place)
        if done != size:
            sys.exit(f"{path}: wrote {done} of {size} bytes at {place}")
    if device:
        os.fsync(fd)
    os.close(fd)


def verify(path, start, length, seed, origin, direct):
    """A seed of None stands for zeros."""
    fd = os.open(path, os.O_RDONLY | (os.O_DIRECT if direct else 0))
    for place, size in pieces(start, length):
        wanted = bytes(size) if seed is None else pattern(seed, origin + place, size)
        compare(read(fd, place, size), wanted, place, path)
    os.close(fd)


def verify_disk(path, start, length, seed, disk):
    fd = os.open(disk, os.O_RDONLY | os.O_DIRECT)
    block = layout.logical_block_size(fd)
    done = start
    for logical, physical, size in layout.extents(path):
        begin, end = max(logical, start), min(logical + size, start + length)
        if begin >= end:
            continue
        if begin != done:
            break
        for place, part in pieces(begin, end - begin):
            address = physical + place - logical
            low = address // block * block
            high = -(-(address + part) // block) * block
            got = read(fd, low, high - low)[address - low :][:part]
            compare(got, pattern(seed, place, part), place, f"{path} on {disk} at {address}")
        done = end
    if done != start + length:
        sys.exit(f"{path}: byte {done} lies nowhere")
    os.close(fd)


def run(words):
    direct = "--direct" in words
    job, path, *numbers = [word for word in words if word != "--direct"]
    if job == "verify-disk":
        start, length, seed = map(int, numbers[:3])
        verify_disk(path, start, length, seed, numbers[3])
    elif job == "zeros":
        start, length = map(int, numbers)
        verify(path, start, length, None, 0, direct)
    elif job in ("write", "verify"):
        start, length, seed, origin = map(int, (numbers + ["0"])[:4])
        globals()[job](path, start, length, seed, origin, direct)
    else:
        sys.exit(__doc__)


def main(words):
    while "--" in words:
        end = words.index("--")
        run(words[:end])
        words = words[end + 1 :]
    run(words)


if __name__ == "__main__":
    main(sys.argv[1:])
