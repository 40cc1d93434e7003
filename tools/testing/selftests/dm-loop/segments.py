#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Where a file's sectors lie, and tables of a disk that is not the same everywhere.

usage: segments.py places FILE SECTOR…                      a sector of the disk for each
       segments.py table DISK SECTORS FILE TARGET SECTOR…   a table of DISK, linear but for
                                                            these sectors of FILE; "all" for all

TARGET is what stands there instead, such as "flakey {disk} {sector} 0 1 1 error_writes".
"""
import sys

import layout

SECTOR = 512


def runs(path):
    """(sector of the file, sector of the disk, how many)"""
    return [tuple(number // SECTOR for number in extent) for extent in layout.extents(path)]


def place(found, sector):
    for logical, physical, count in found:
        if logical <= sector < logical + count:
            return physical + sector - logical
    sys.exit(f"sector {sector} lies nowhere")


def table(disk, sectors, path, target, wanted):
    found = runs(path)
    if wanted == ["all"]:
        pieces = sorted((physical, count) for _, physical, count in found)
    else:
        pieces = sorted((place(found, int(sector)), 1) for sector in wanted)
    at = 0
    for start, count in pieces:
        if start > at:
            print(at, start - at, "linear", disk, at)
        print(start, count, target.format(disk=disk, sector=start))
        at = start + count
    print(at, sectors - at, "linear", disk, at)


def main(job, *words):
    if job == "places":
        for sector in words[1:]:
            print(place(runs(words[0]), int(sector)))
    elif job == "table" and len(words) > 4:
        table(words[0], int(words[1]), words[2], words[3], list(words[4:]))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
