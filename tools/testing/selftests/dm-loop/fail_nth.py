#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Fails the 1st, 2nd, 3rd… allocation of a table load, until one load is not touched.

usage: fail_nth.py DEVICE LIMIT FILE SECTORS PARAMS

DEVICE has been made without a table. Each time: the load fails with an errno that is passed
on, or works and is the device that was asked for; either way the file is free afterwards.
Where the module has refused for lack of memory, the kernel log says so. Prints how many allocations failed, how many of the loads failed with which errno, and how
many worked nevertheless.
"""
import collections
import errno
import hashlib
import os
import sys

import kernel_log
import raw_table

FAIL_NTH = "/proc/self/fail-nth"


def digest(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def is_free(path, first):
    """Of a file that is claimed, this is refused."""
    fd = os.open(path, os.O_WRONLY)
    try:
        os.pwrite(fd, first, 0)
        # Nothing of it is left for the next load to write back, as that may fail, too.
        os.fsync(fd)
    except OSError as error:
        sys.exit(f"{path} is still in use: {error}")
    finally:
        os.close(fd)


def references():
    with open("/sys/module/dm_loop/refcnt", encoding="ascii") as file:
        return int(file.read())


def main(device, limit, path, sectors, params):
    device, table = device.encode(), raw_table.line(int(sectors), params.encode())
    control = os.open("/dev/mapper/control", os.O_RDWR)
    nth = os.open(FAIL_NTH, os.O_RDWR)
    before, tally = digest(path), collections.Counter()
    log, told = kernel_log.Log(), 0
    with open(path, "rb") as file:
        first = file.read(1)
    is_free(path, first)
    for number in range(1, int(limit)):
        os.pwrite(nth, b"%d" % number, 0)
        failed = None
        try:
            raw_table.dm(control, raw_table.DM_TABLE_LOAD, device, 1, table)
        except OSError as error:
            failed = errno.errorcode[error.errno]
        news = log.news()
        left = int(os.pread(nth, 20, 0).split(b"\0")[0])
        os.pwrite(nth, b"0", 0)
        if failed is None:
            if references() != 1:
                sys.exit(f"allocation {number}: loaded, with {references()} references")
            raw_table.dm(control, raw_table.DM_TABLE_CLEAR, device)
        if failed == "ENOMEM" and any(line.startswith("dm_loop: ") for line in news):
            if not any(line.endswith("loop: Out of memory (-ENOMEM)") for line in news):
                sys.exit(f"allocation {number}: the log says {news}")
            told += 1
        if references():
            sys.exit(f"allocation {number}: {references()} references are left")
        is_free(path, first)
        if left:
            if failed:
                sys.exit(f"no allocation failed, but the load did, with {failed}")
            if digest(path) != before:
                sys.exit(f"{path} has changed")
            said = ", ".join(f"{count} {name}" for name, count in tally.most_common())
            print(f"{number - 1} allocations: {said}")
            # What gets by without any has not been tried.
            if number < 3 or not tally["ENOMEM"] or not told:
                sys.exit(f"hardly any failed, or were told of ({told})")
            return
        tally[failed or "worked nevertheless"] += 1
    sys.exit(f"more than {limit} allocations")


if __name__ == "__main__":
    if len(sys.argv) != 6:
        sys.exit(__doc__)
    main(*sys.argv[1:])
