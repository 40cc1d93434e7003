#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Where the blocks of a file lie on its disk, as the file system says.

usage: layout.py count FILE [BYTES]  the number of contiguous pieces, of the first BYTES
       layout.py show FILE [BYTES]   each: byte in the file, byte on the disk, length

FIEMAP is asked where there is one, else FIBMAP. btrfs answers with addresses of its own,
which its chunk tree translates to places on the disk.
"""
import array
import fcntl
import os
import struct
import sys

FIBMAP = 1
FIGETBSZ = 2
BLKSSZGET = 0x1268
FS_IOC_FIEMAP = 0xC020660B
FIEMAP_FLAG_SYNC = 1
FIEMAP_EXTENT_LAST = 1
FIEMAP_EXTENT_UNWRITTEN = 0x800
BTRFS_IOC_TREE_SEARCH = 0xD0009411
CHUNK_TREE = 3
CHUNK_ITEM = 228


def logical_block_size(fd):
    answer = array.array("i", [0])
    fcntl.ioctl(fd, BLKSSZGET, answer)
    return answer[0]


def fiemap(fd):
    """Yields (logical, physical, length, flags) in bytes, in ascending order."""
    header, entry, batch = struct.Struct("<QQLLLL"), struct.Struct("<QQQQQLLLL"), 512
    start, last = 0, False
    while not last:
        request = bytearray(header.size + batch * entry.size)
        header.pack_into(request, 0, start, 2**64 - 1 - start, FIEMAP_FLAG_SYNC, 0, batch, 0)
        fcntl.ioctl(fd, FS_IOC_FIEMAP, request)
        mapped = header.unpack_from(request)[3]
        if not mapped:
            return
        for i in range(mapped):
            logical, physical, length, _, _, flags, *_ = entry.unpack_from(request, header.size + i * entry.size)
            yield logical, physical, length, flags
            start, last = logical + length, bool(flags & FIEMAP_EXTENT_LAST)


def fibmap(fd):
    """The same, block by block, for file systems without FIEMAP."""
    size = array.array("i", [0])
    fcntl.ioctl(fd, FIGETBSZ, size)
    block = size[0]
    for number in range(-(-os.fstat(fd).st_size // block)):
        answer = array.array("i", [number])
        fcntl.ioctl(fd, FIBMAP, answer)
        if answer[0]:
            yield number * block, (answer[0] & 0xFFFFFFFF) * block, block, 0


def chunks(fd):
    """The chunk tree of a btrfs of one disk: (first address, length, byte on the disk)."""
    key = struct.Struct("<7Q4L4Q")
    search = bytearray(4096)
    key.pack_into(search, 0, CHUNK_TREE, 0, 2**64 - 1, 0, 2**64 - 1, 0, 2**64 - 1, CHUNK_ITEM, CHUNK_ITEM, 4096, 0, 0, 0, 0, 0)
    fcntl.ioctl(fd, BTRFS_IOC_TREE_SEARCH, search)
    found = key.unpack_from(search)[9]
    place, answer = key.size, []
    for _ in range(found):
        _, _, address, kind, length = struct.unpack_from("<QQQLL", search, place)
        place += 32
        if kind == CHUNK_ITEM:
            size = struct.unpack_from("<Q", search, place)[0]
            stripes = struct.unpack_from("<H", search, place + 44)[0]
            # Data is stored once on one disk; other chunks may be stored twice.
            if stripes == 1:
                answer.append((address, size, struct.unpack_from("<Q", search, place + 56)[0]))
        place += length
    return answer


def translate(pieces, table):
    """Splits btrfs's pieces at chunk borders and gives them places on the disk."""
    for logical, address, length, flags in pieces:
        while length:
            inside = [c for c in table if c[0] <= address < c[0] + c[1]]
            if not inside:
                sys.exit(f"no chunk of one stripe holds address {address}")
            first, size, place = inside[0]
            part = min(length, first + size - address)
            yield logical, place + address - first, part, flags
            logical, address, length = logical + part, address + part, length - part


def raw_extents(path):
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    try:
        try:
            pieces = list(fiemap(fd))
        except OSError:
            pieces = list(fibmap(fd))
        try:
            table = chunks(fd)
        except OSError:
            table = None
        if table is not None:
            pieces = list(translate(pieces, table))
    finally:
        os.close(fd)
    return pieces


def extents(path):
    """[(logical, physical, length)] in bytes; what touches is joined."""
    joined = []
    for logical, physical, length, flags in raw_extents(path):
        if flags & FIEMAP_EXTENT_UNWRITTEN:
            sys.exit(f"{path}: unwritten at {logical}")
        if joined and sum(joined[-1][::2]) == logical and joined[-1][1] + joined[-1][2] == physical:
            joined[-1][2] += length
        else:
            joined.append([logical, physical, length])
    return joined


def main(job, path, size=2**63):
    found = [one for one in extents(path) if one[0] < int(size)]
    if job == "count":
        print(len(found))
    else:
        for one in found:
            print(*one)


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4) or sys.argv[1] not in ("count", "show"):
        sys.exit(__doc__)
    main(*sys.argv[1:])
