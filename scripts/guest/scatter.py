#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Puts one file into an empty FAT32 file system, its clusters in as many pieces as told.

usage: scatter.py DEVICE CLUSTERS PIECES

The file is named FILE. Its pieces are of nearly equal length, and lie on the disk one
after the other in random order. To write the chain of clusters down is a matter of
seconds; to have a file system come to a million pieces by itself would take hours.
"""
import array
import os
import random
import struct
import sys

ROOT = 2  # the cluster of the root folder
FIRST = 3  # the first of the file
LAST_IN_CHAIN = 0x0FFFFFFF
MEDIUM = 0x0FFFFFF8


def chain(clusters, pieces):
    """The FAT: which cluster follows each one; and where the file begins."""
    bounds = [number * clusters // pieces for number in range(pieces + 1)]
    order = list(range(pieces))
    random.Random(1).shuffle(order)
    fat = array.array("I", [MEDIUM, LAST_IN_CHAIN, LAST_IN_CHAIN])
    fat.extend(range(FIRST + 1, FIRST + clusters + 1))
    for piece, following in zip(order, order[1:] + [None]):
        fat[FIRST + bounds[piece + 1] - 1] = LAST_IN_CHAIN if following is None else FIRST + bounds[following]
    return fat, FIRST + bounds[order[0]]


def main(device, clusters, pieces):
    disk = os.open(device, os.O_RDWR)
    boot = os.pread(disk, 512, 0)
    sector, per_cluster, reserved, copies = struct.unpack_from("<HBHB", boot, 11)
    (fat_sectors,) = struct.unpack_from("<I", boot, 36)
    cluster = sector * per_cluster
    fat, first = chain(clusters, pieces)
    if fat_sectors * sector < len(fat) * 4 or clusters * cluster >= 1 << 32:
        sys.exit(f"{device} has no room for {clusters} clusters")
    for copy in range(copies):
        os.pwrite(disk, fat.tobytes(), (reserved + copy * fat_sectors) * sector)
    # Name, attributes, dates, the halves of the first cluster, length.
    entry = struct.pack("<11sB8xH4xHI", b"FILE       ", 0x20, first >> 16, first & 0xFFFF, clusters * cluster)
    root = reserved + copies * fat_sectors
    os.pwrite(disk, entry.ljust(cluster, b"\0"), root * sector)
    os.fsync(disk)
    # Where the data of cluster FIRST is, in sectors of 512 bytes.
    print((root + (FIRST - ROOT) * per_cluster) * (sector // 512))


main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
