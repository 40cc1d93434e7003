#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Tries generated table lines: each makes the device that it describes, or is refused.

usage: hostile_table.py DEVICE SEED COUNT KIND FOLDER

DEVICE has been made without a table; COUNT lines of KIND (see hostile_lines.py) are loaded
into it, one after the other. FOLDER holds the files that they are about; the names of some
say why they cannot be block-mapped (see REASONS).
"""
import errno
import fcntl
import mmap
import os
import random
import re
import struct
import subprocess
import sys

import hostile_lines
import kernel_log
import raw_table
import table_model

SECTOR = 512
REASONS = {b"sparse": "file is sparse", b"unwritten": "file has unwritten extents", b"tiny": "file layout is misaligned"}
BLKGETSIZE64 = 0x80081272
SECTORS_TOO_MANY = 2**54
# dmsetup itself cannot send these: it has counted on fewer backslashes.
OWN_LIMIT = b"Ran out of memory building ioctl parameter"


class Trial:
    """One DEVICE, and the files that it may be made to show."""

    def __init__(self, device, folder=None):
        self.device, self.log = device.encode(), kernel_log.Log()
        self.control = os.open("/dev/mapper/control", os.O_RDWR)
        self.contents, self.files = {}, {}
        for entry in os.scandir(os.fsencode(folder)) if folder else ():
            if entry.is_file(follow_symlinks=False):
                with open(entry.path, "rb") as file:
                    self.contents[entry.path] = bytearray(file.read())
                self.files[entry.path] = len(self.contents[entry.path]), REASONS.get(entry.name)
        self.buffer = mmap.mmap(-1, max([4096, *(size for size, _ in self.files.values())]))

    def dmsetup(self, *words):
        done = subprocess.run(["dmsetup", *words], capture_output=True, timeout=60, check=False)
        return done.returncode, done.stdout, done.stderr

    def load(self, sectors, params, readonly):
        """Through dmsetup. What it says, if it fails."""
        line = b"0 %d loop %s" % (sectors, params)
        status, _, said = self.dmsetup("load", *["--readonly"] * readonly, self.device, "--table", line)
        return None if status == 0 else said

    def load_raw(self, sectors, params, readonly):
        """Past dmsetup, as it would say it."""
        table = raw_table.line(sectors, params.split(b"\0")[0])
        try:
            raw_table.dm(self.control, raw_table.DM_TABLE_LOAD, self.device, 1, table, flags=int(readonly))
        except OSError as error:
            return f"failed: {os.strerror(error.errno)}".encode()
        return None

    def try_line(self, rng, kind, sectors, params):
        """Loads one line, and compares what becomes of it with what should."""
        readonly = rng.random() < 0.2
        seen = params.split(b"\0")[0] if kind == "raw" else table_model.through_dmsetup(params)
        sectors = min(sectors, 2**64 - 1)
        expected = None
        try:
            # What has no sectors, or far too many, is device-mapper's to refuse.
            if 0 < sectors < SECTORS_TOO_MANY:
                expected = table_model.outcome(seen, sectors, self.files)
        except table_model.Refused as refusal:
            expected = refusal
        except table_model.Unknown:
            pass
        self.log.news()
        said = (self.load_raw if kind == "raw" else self.load)(sectors, params, readonly)
        log = self.log.news()
        if said is None:
            if not isinstance(expected, table_model.Made):
                if not 0 < sectors < SECTORS_TOO_MANY or isinstance(expected, table_model.Refused):
                    raise AssertionError(f"accepted, but should have been refused: {expected}")
                raw_table.dm(self.control, raw_table.DM_TABLE_CLEAR, self.device)
                return "accepted"
            self.verify(rng, expected, readonly)
            return "accepted"
        if OWN_LIMIT in said and not log:
            return "not sent"
        if isinstance(expected, table_model.Made):
            raise AssertionError(f"refused: {said} {log}")
        if expected:
            self.refused_right(expected, said, log)
        return "refused"

    def refused_right(self, expected, said, log):
        """The errno in dmsetup's words, and in the log the message and one line of the module."""
        name = errno.errorcode[expected.number].replace("ENOTSUP", "EOPNOTSUPP")
        message = f"loop: {expected.message} (-{name})"
        if f"failed: {os.strerror(expected.number)}".encode() not in said:
            raise AssertionError(f"expected {name}, dmsetup says {said}")
        if sum(line.endswith(message) for line in log) != 1:
            raise AssertionError(f"expected '{message}', the log says {log}")
        if sum(line.startswith("dm_loop: ") for line in log) != 1:
            raise AssertionError(f"not one line of the module in the log: {log}")

    def verify(self, rng, made, readonly):
        """The device that was made, in every respect; then takes its table away."""
        status, out, said = self.dmsetup("resume", "--noudevsync", "--noudevrules", self.device)
        if status != 0:
            raise AssertionError(f"cannot be resumed: {said}")
        table = self.dmsetup("table", self.device)[1].rstrip(b"\n")
        if table != made.table():
            raise AssertionError(f"the table is {table}, should be {made.table()}")
        state = self.dmsetup("status", self.device)[1].decode()
        if not re.fullmatch(rf"0 {made.sectors} loop {made.kind} [0-9a-z_ :]+\n", state):
            raise AssertionError(f"the status is {state}, should be {made.kind}")
        self.read_and_write(rng, made, readonly)
        status, out, said = self.dmsetup("wipe_table", "--noudevsync", "--noudevrules", self.device)
        if status != 0:
            raise AssertionError(f"the table cannot be taken away: {said}")

    def node(self):
        """The device's own, which is there whatever udev does."""
        number = struct.unpack_from("<Q", raw_table.dm(self.control, raw_table.DM_DEV_STATUS, self.device), 40)[0]
        return f"/dev/dm-{os.minor(number)}"

    def read_and_write(self, rng, made, readonly):
        fd = os.open(self.node(), os.O_DIRECT | (os.O_RDONLY if readonly else os.O_RDWR))
        try:
            size = struct.unpack("<Q", fcntl.ioctl(fd, BLKGETSIZE64, bytes(8)))[0]
            if size != made.sectors * SECTOR:
                raise AssertionError(f"the device has {size} bytes")
            contents = self.contents[made.path]
            if not readonly:
                # In the first block only: what is sparse stays so.
                place = rng.randrange(min(8, made.sectors)) * SECTOR
                data = rng.randbytes(SECTOR)
                self.buffer[:SECTOR] = data
                os.pwrite(fd, memoryview(self.buffer)[:SECTOR], place)
                contents[made.offset + place : made.offset + place + SECTOR] = data
            view = memoryview(self.buffer)[:size]
            if os.preadv(fd, [view], 0) != size or view != contents[made.offset : made.offset + size]:
                raise AssertionError("the device does not show what the file holds")
        finally:
            os.close(fd)

    def files_are_right(self):
        """Nobody holds them, and nobody but the devices has written to them."""
        for path, contents in self.contents.items():
            with open(path, "r+b") as file:
                if file.read() != contents:
                    raise AssertionError(f"{path} holds something else")
                if contents:
                    # Of a file that is still claimed this is refused.
                    file.seek(0)
                    file.write(contents[:1])


def main(device, seed, count, kind, folder):
    trial = Trial(device, folder)
    rng = random.Random(f"{seed} {kind}")
    paths = list(trial.files) * 4
    paths += [os.path.join(os.fsencode(folder), name) for name in (b"folder", b"fifo", b"link", b"cycle", b"none")]
    lines = hostile_lines.Lines(rng, paths, max(size for size, _ in trial.files.values()))
    tally = {"accepted": 0, "refused": 0, "not sent": 0}
    wanted = ["refused"] + ["accepted"] * (kind in ("valid", "mutated", "numbers"))
    number = 0
    # Of few lines all may have the same end, which would try nothing: then some more.
    while number < int(count) or (number < 40 * int(count) and not all(tally[end] for end in wanted)):
        sectors, params = lines.line(kind)
        if kind != "raw":
            params = params.replace(b"\0", b"").replace(b"\n", b"")
        try:
            tally[trial.try_line(rng, kind, sectors, params)] += 1
            if number % 25 == 0:
                trial.files_are_right()
        except (AssertionError, subprocess.TimeoutExpired) as failure:
            sys.exit(f"line {number} of {kind}, seed {seed}: 0 {sectors} loop {params[:2000]}: {failure}")
        number += 1
    trial.files_are_right()
    print(", ".join(f"{number} {what}" for what, number in tally.items()))
    if not all(tally[end] for end in wanted):
        sys.exit("all lines had the same end: nothing was tried")


if __name__ == "__main__":
    if len(sys.argv) != 6:
        sys.exit(__doc__)
    main(*sys.argv[1:])
