#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Makes a file in many pieces on an ext4 that is not mounted, without writing it.

usage: pieces.py DEVICE NAME PIECES

Each piece is one block of 4096 bytes; the next block on disk is another file's. debugfs
allocates them, but as blocks that were never written; that mark is taken away here, which
no checksum must forbid (mkfs.ext4 -O ^metadata_csum).
"""
import os
import re
import struct
import subprocess
import sys

BLOCK = 4096
MAGIC = 0xF30A
HEADER = struct.Struct("<HHHHI")
UNWRITTEN = 1 << 15


def debugfs(device, commands):
    done = subprocess.run(["debugfs", "-w", "-f", "-", device], input=commands, check=True, capture_output=True, text=True)
    return done.stdout


def allocate(device, name, pieces):
    """Returns where the inode of the file is, in bytes."""
    commands = [f"write /dev/null {name}", f"write /dev/null {name}.other"]
    for number in range(pieces):
        commands += [f"fallocate {name} {number} {number}", f"fallocate {name}.other {number} {number}"]
    commands += [f"sif {name} size {pieces * BLOCK}", f"imap {name}"]
    said = debugfs(device, "\n".join(commands) + "\n")
    block, offset = re.findall(r"located at block (\d+), offset 0x([0-9a-f]+)", said)[-1]
    return int(block) * BLOCK + int(offset, 16)


def make_written(disk, place, room):
    """Of a node of the extent tree, and all below it. Returns how many extents there are."""
    node = bytearray(os.pread(disk, room, place))
    magic, entries, _, depth, _ = HEADER.unpack_from(node)
    if magic != MAGIC:
        sys.exit(f"no extents at {place}")
    found = 0
    for at in range(HEADER.size, HEADER.size * (entries + 1), HEADER.size):
        if depth:
            low, high = struct.unpack_from("<IH", node, at + 4)
            found += make_written(disk, (high << 32 | low) * BLOCK, BLOCK)
        else:
            (length,) = struct.unpack_from("<H", node, at + 4)
            struct.pack_into("<H", node, at + 4, length - UNWRITTEN if length > UNWRITTEN else length)
            found += 1
    if not depth:
        os.pwrite(disk, node, place)
    return found


def main(device, name, pieces):
    inode = allocate(device, name, pieces)
    disk = os.open(device, os.O_RDWR)
    # The root of the tree is where the numbers of blocks once were.
    found = make_written(disk, inode + 40, 60)
    os.fsync(disk)
    if found < pieces * 99 // 100:
        sys.exit(f"{name} came to lie in {found} pieces, not {pieces}")


main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
