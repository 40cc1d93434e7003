#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Offers files of the kernel as backing files: each is refused, or can be read as a device.

usage: sweep.py DEVICE COUNT SEED FOLDER…

DEVICE has been made without a table. Of the regular files below each FOLDER up to COUNT are
tried, with a writable and with a read-only table. Nothing is ever written to one.
"""
import collections
import os
import random
import stat
import sys

import hostile_table
import raw_table
import table_model

SECTOR = 512
# Reading them talks to hardware.
TABOO = ("resource", "rom", "config", "vpd")


def regular_files(folder):
    for parent, folders, names in os.walk(folder):
        if parent.startswith("/proc/"):
            # Processes come and go; our own will do.
            folders[:] = [name for name in folders if name not in ("task", "cwd", "root")]
        elif parent == "/proc":
            folders[:] = [name for name in folders if not name.isdigit()]
        for name in names:
            path = os.path.join(parent, name)
            try:
                regular = stat.S_ISREG(os.lstat(path).st_mode)
            except OSError:
                continue
            if regular and not name.startswith(TABOO):
                yield path


def try_file(trial, path, readonly):
    """What came of it, in a word or two."""
    trial.log.news()
    word = table_model.escaped(os.fsencode(path))
    params = table_model.through_dmsetup(word + b" 0")
    said = trial.load_raw(1, params, readonly)
    if said:
        log = [line for line in trial.log.news() if line.startswith("device-mapper: table: ")]
        if len(log) != 1 or ": loop: " not in log[0]:
            raise AssertionError(f"{said}: the log says {log}")
        return log[0].split(": loop: ")[1]
    if not readonly:
        raw_table.dm(trial.control, raw_table.DM_TABLE_CLEAR, trial.device)
        return "can be written to"
    status, _, said = trial.dmsetup("resume", "--noudevsync", "--noudevrules", trial.device)
    if status != 0:
        raise AssertionError(f"cannot be resumed: {said}")
    outcome = "is read"
    fd = os.open(trial.node(), os.O_RDONLY | os.O_DIRECT)
    try:
        os.preadv(fd, [memoryview(trial.buffer)[:SECTOR]], 0)
    except OSError as error:
        # Such a file says that it is longer than it is.
        outcome = f"is read with {os.strerror(error.errno)}"
    finally:
        os.close(fd)
    trial.dmsetup("wipe_table", "--noudevsync", "--noudevrules", trial.device)
    return outcome


def main(device, count, seed, *folders):
    trial = hostile_table.Trial(device)
    tally = collections.Counter()
    for folder in folders:
        paths = sorted(regular_files(folder))
        some = random.Random(seed).sample(paths, min(int(count), len(paths)))
        for path in some:
            for readonly in (False, True):
                try:
                    tally[try_file(trial, path, readonly)] += 1
                except AssertionError as failure:
                    sys.exit(f"{path}: {failure}")
        if not some:
            sys.exit(f"no files below {folder}")
    for outcome, number in tally.most_common():
        print(f"{number} {outcome}")


if __name__ == "__main__":
    if len(sys.argv) < 5:
        sys.exit(__doc__)
    main(*sys.argv[1:])
