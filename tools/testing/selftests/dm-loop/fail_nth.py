#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Fails the 1st, 2nd, 3rd… allocation of a call, until one call is not touched.

usage: fail_nth.py load [--readonly] [--claimed] [--refused ERRNO] DEVICE LIMIT FILE SECTORS PARAMS
       fail_nth.py grow DEVICE LIMIT FILE STEP

load: a table, of one line. DEVICE has been made; it may have one in use, on the same file.
Each time the call fails with an errno that is passed on, or works and is undone; with
--refused, untouched it fails with ERRNO. Either way FILE is as it was, and free afterwards, or
with --claimed still claimed. Where the module has refused for lack of memory, the kernel log
says so.

grow: a message, to DEVICE, which is block-mapped to FILE: STEP bytes more. Each time it works,
or fails and works when it is sent again; what FILE had stays, and nobody can write to it.

Prints how many allocations failed, how many of the calls failed with which errno, and how many
worked nevertheless.
"""
import argparse
import collections
import errno
import hashlib
import os
import sys

import kernel_log
import raw_table


def digest(path, length=-1):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read(length)).hexdigest()


def check_lock(path, first, claimed):
    """Writes to a file that is claimed are refused."""
    fd = os.open(path, os.O_WRONLY)
    try:
        os.pwrite(fd, first, 0)
        # Nothing of it is left for the next call to write back, as that may fail, too.
        os.fsync(fd)
    except OSError as error:
        if not claimed or error.errno != errno.ETXTBSY:
            sys.exit(f"{path} cannot be written to: {error}")
    else:
        if claimed:
            sys.exit(f"{path} can be written to")
    finally:
        os.close(fd)


def references():
    with open("/sys/module/dm_loop/refcnt", encoding="ascii") as file:
        return int(file.read())


class Faults:
    """The allocations of this process that fail, one in each call, and what came of it."""

    def __init__(self, limit):
        self.nth = os.open("/proc/self/fail-nth", os.O_RDWR)
        self.limit, self.number, self.tally = limit, 0, collections.Counter()

    def call(self, function, *args):
        """The name of an errno, or None. Sets `untouched`: no allocation has failed."""
        self.number += 1
        if self.number > self.limit:
            sys.exit(f"more than {self.limit} allocations")
        failed = None
        os.pwrite(self.nth, b"%d" % self.number, 0)
        try:
            function(*args)
        except OSError as error:
            failed = errno.errorcode[error.errno].replace("ENOTSUP", "EOPNOTSUPP")
        self.untouched = os.pread(self.nth, 20, 0).split(b"\0")[0].strip() != b"0"
        os.pwrite(self.nth, b"0", 0)
        if not self.untouched:
            self.tally[failed or "worked nevertheless"] += 1
        return failed

    def end(self):
        said = ", ".join(f"{count} {name}" for name, count in self.tally.most_common())
        print(f"{self.number - 1} allocations: {said}")
        # What gets by without any has not been tried.
        if self.number < 3 or not self.tally["ENOMEM"]:
            sys.exit("hardly any failed")


def load(args):
    device, table = args.device.encode(), raw_table.line(args.sectors, args.params.encode())
    control = os.open("/dev/mapper/control", os.O_RDWR)
    flags = raw_table.DM_READONLY_FLAG if args.readonly else 0
    before, already, told = digest(args.file), references(), 0
    with open(args.file, "rb") as file:
        first = file.read(1)
    log, faults = kernel_log.Log(), Faults(args.limit)
    check_lock(args.file, first, args.claimed)
    while True:
        failed = faults.call(raw_table.dm, control, raw_table.DM_TABLE_LOAD, device, 1, table, flags)
        news, where = log.news(), f"allocation {faults.number}"
        if failed is None:
            if args.refused:
                sys.exit(f"{where}: accepted")
            if references() != already + 1:
                sys.exit(f"{where}: loaded, with {references()} references")
            raw_table.dm(control, raw_table.DM_TABLE_CLEAR, device)
        if failed == "ENOMEM" and any(line.startswith("dm_loop: ") for line in news):
            if not any(line.endswith("loop: Out of memory (-ENOMEM)") for line in news):
                sys.exit(f"{where}: the log says {news}")
            told += 1
        if references() != already:
            sys.exit(f"{where}: {references()} references are left")
        check_lock(args.file, first, args.claimed)
        if faults.untouched:
            break
    if failed != args.refused:
        sys.exit(f"no allocation failed, and what came of it is {failed}")
    if digest(args.file) != before:
        sys.exit(f"{args.file} has changed")
    faults.end()
    if not told:
        sys.exit("the log told of none")


def grow(args):
    control = os.open("/dev/mapper/control", os.O_RDWR)
    size = os.stat(args.file).st_size
    before, length = digest(args.file), size
    with open(args.file, "rb") as file:
        first = file.read(1)
    faults = Faults(args.limit)

    def message(wanted):
        raw_table.message(control, args.device.encode(), b"grow %d" % wanted)

    while True:
        wanted = size + args.step
        failed = faults.call(message, wanted)
        where = f"allocation {faults.number}"
        if not size <= os.stat(args.file).st_size <= wanted:
            sys.exit(f"{where}: {size} bytes have become {os.stat(args.file).st_size}")
        if failed:
            if faults.untouched:
                sys.exit(f"no allocation failed, but the call did, with {failed}")
            message(wanted)
        size = os.stat(args.file).st_size
        if size != wanted:
            sys.exit(f"{where}: {size} bytes instead of {wanted}")
        check_lock(args.file, first, True)
        if faults.untouched:
            break
    if digest(args.file, length) != before:
        sys.exit(f"{args.file} has changed")
    faults.end()


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    calls = parser.add_subparsers(required=True)
    one = calls.add_parser("load")
    one.set_defaults(call=load)
    one.add_argument("--readonly", action="store_true")
    one.add_argument("--claimed", action="store_true")
    one.add_argument("--refused")
    other = calls.add_parser("grow")
    other.set_defaults(call=grow)
    for call in one, other:
        call.add_argument("device")
        call.add_argument("limit", type=int)
        call.add_argument("file")
    one.add_argument("sectors", type=int)
    one.add_argument("params")
    other.add_argument("step", type=int)
    args = parser.parse_args()
    args.call(args)


if __name__ == "__main__":
    main()
