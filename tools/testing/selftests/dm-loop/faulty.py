#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Reads and writes a device on failing hardware, and never takes an error for data.

usage: faulty.py load DEVICE STATE SEED SECONDS SIZE [--flush]
       faulty.py verify PATH STATE

load: random reads and writes past the page cache, on a device that holds what pattern.py
makes with seed 0. It remembers for each sector what it may hold: what was written last; after
a write that failed, what it was before as well. With --flush, for devices that go through a
page cache, a write counts as done when a flush after it has succeeded. What is read must be
one of these, and STATE keeps them. verify: whether PATH holds what it may.
"""
import collections
import mmap
import os
import pickle
import random
import sys
import time

import pattern

SECTOR = 512
LARGEST = 1 << 16
BUFFER = mmap.mmap(-1, 1 << 20)


class State:
    """What each sector may hold: the numbers of writes, of which the last one is newest."""

    def __init__(self, sectors):
        self.may = [[0] for _ in range(sectors)]
        # For those who look for the cause.
        self.history = collections.deque(maxlen=200)
        # Sectors written since the last flush.
        self.fresh = set()

    def written(self, first, count, version, done, flush):
        sectors = range(first, first + count)
        for sector in sectors:
            self.may[sector] = [version] if done and not flush else self.may[sector] + [version]
        if done:
            self.fresh.update(sectors)
        else:
            # No flush can make it done.
            self.fresh.difference_update(sectors)

    def flushed(self, done):
        if done:
            for sector in self.fresh:
                self.may[sector] = self.may[sector][-1:]
        self.fresh.clear()

    def check(self, first, data, what):
        for at in range(0, len(data), SECTOR):
            sector, got = first + at // SECTOR, data[at : at + SECTOR]
            if not any(got == pattern.pattern(version, sector * SECTOR, SECTOR) for version in self.may[sector]):
                page = range(sector // 8 * 8, sector // 8 * 8 + 8)
                about = [words for words in self.history if words[0] == "flush" or
                         words[1] in page or page[0] in range(words[1], words[1] + words[2])]
                sys.exit(f"{what}: sector {sector} holds {got[:16].hex(' ')}, not of {self.may[sector]}; {about}")


def attempt(tally, name, function, *arguments):
    try:
        done = function(*arguments)
    except OSError as error:
        tally[f"{name} failed"] = tally.get(f"{name} failed", 0) + 1
        if error.errno != 5:
            sys.exit(f"{name}: {error}")
        return None
    tally[name] = tally.get(name, 0) + 1
    return done


def load(device, seed, seconds, size, flush):
    rng, state, tally = random.Random(seed), State(size // SECTOR), {}
    fd = os.open(device, os.O_RDWR | os.O_DIRECT)
    end, version = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        length = rng.choice([SECTOR, 4096, 4096, rng.randint(1, LARGEST // SECTOR) * SECTOR])
        start = rng.randrange((size - length) // SECTOR + 1) * SECTOR
        view = memoryview(BUFFER)[:length]
        if rng.random() < 0.5:
            done = attempt(tally, "read", os.preadv, fd, [view], start)
            state.history.append(("read", start // SECTOR, length // SECTOR, done))
            if done is not None:
                state.check(start // SECTOR, bytes(view), device)
            continue
        version += 1
        view[:] = pattern.pattern(version, start, length)
        done = attempt(tally, "write", os.pwrite, fd, view, start)
        state.written(start // SECTOR, length // SECTOR, version, done is not None, flush)
        state.history.append((f"write {version}", start // SECTOR, length // SECTOR, done))
        if rng.random() < 0.1:
            done = attempt(tally, "flush", flushed, fd)
            state.flushed(done and flush)
            state.history.append(("flush", 0, 0, done))
    os.close(fd)
    return state, tally


def flushed(fd):
    os.fsync(fd)
    return True


def main(job, device, path, *rest):
    if job == "verify":
        with open(path, "rb") as file:
            state = pickle.load(file)
        fd = os.open(device, os.O_RDONLY | (os.O_DIRECT if device.startswith("/dev/") else 0))
        for place, length in pattern.pieces(0, len(state.may) * SECTOR):
            view = memoryview(BUFFER)[:length]
            if os.preadv(fd, [view], place) != length:
                sys.exit(f"{device}: ends at {place}")
            state.check(place // SECTOR, bytes(view), device)
        return
    seed, seconds, size = map(int, rest[:3])
    state, tally = load(device, seed, seconds, size, "--flush" in rest)
    with open(path, "wb") as file:
        pickle.dump(state, file)
    print(", ".join(f"{number} {what}" for what, number in sorted(tally.items())))
    for name in ("read", "write"):
        # A page cache takes every write, and knows what it has read.
        failed = "flush failed" if "--flush" in rest else f"{name} failed"
        if not tally.get(name) or not tally.get(failed):
            sys.exit(f"nothing was tried: {tally}")


if __name__ == "__main__":
    if len(sys.argv) < 4 or sys.argv[1] not in ("load", "verify"):
        sys.exit(__doc__)
    main(*sys.argv[1:])
