#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""A big sequential copy, and what it does to the memory of the machine.

usage: copy.py FILE MIB

Writes MIB mebibytes to FILE, 256 KiB at a time through the page cache, and syncs it. Prints
the longest pause of one write in milliseconds, that of the sync, the time for all of it, and
the most KiB that were dirty or under writeback at once while it ran.
"""
import os
import sys
import threading
import time

import pattern

PIECE = 256 << 10


class Watch(threading.Thread):
    """Looks at the dirty pages of the machine, many times a second."""

    def __init__(self):
        super().__init__(daemon=True)
        self.most = 0
        self.over = threading.Event()

    def run(self):
        while not self.over.wait(0.05):
            with open("/proc/meminfo", encoding="ascii") as lines:
                values = dict(line.split(":") for line in lines)
            now = sum(int(values[name].split()[0]) for name in ("Dirty", "Writeback"))
            self.most = max(self.most, now)


def main(path, mebibytes):
    # The same piece over and over: to make it is not what is measured.
    piece = pattern.pattern(7, 0, PIECE)
    watch = Watch()
    watch.start()
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    longest, start = 0.0, time.monotonic()
    for _ in range((int(mebibytes) << 20) // PIECE):
        before = time.monotonic()
        if os.write(fd, piece) != PIECE:
            sys.exit("a short write")
        longest = max(longest, time.monotonic() - before)
    before = time.monotonic()
    os.fsync(fd)
    sync = time.monotonic() - before
    took = time.monotonic() - start
    watch.over.set()
    watch.join()
    print(f"{longest * 1000:.0f} {sync * 1000:.0f} {took * 1000:.0f} {watch.most}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
