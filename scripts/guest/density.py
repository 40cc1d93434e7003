#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Many devices: their memory, and how long it takes to make them.

usage: density.py FOLDER FIGURES {FEATURE COUNT BYTES}…

Makes COUNT devices with FEATURE, each on a new file of FOLDER, reads all of them, and
removes them. Prints for each FEATURE: the bytes that dm-loop keeps for one device, and the
mean microseconds that each of the first and of the last thousand took to make. The same goes
to FIGURES. Exit status 1 if a device takes more than BYTES, or the last take longer.
"""
import mmap
import os
import re
import sys
import time

import raw_table as dm

SIZE = 16384
GROUP = 1000
# The last thousand against the first.
SLOWER = 1.15
TRACE = "/sys/kernel/tracing"
ALLOCATED = ("kmalloc", "kmem_cache_alloc")
FREED = ("kfree", "kmem_cache_free")


def write(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def make_files(folder, count):
    for number in range(count):
        with open(f"{folder}/{number}", "wb") as file:
            file.write(b"%8d" % number * (SIZE // 8))
    os.sync()


def create(control, path, name, feature):
    """Returns the minor number of the device."""
    dm.dm(control, dm.DM_DEV_CREATE, name)
    dm.dm(control, dm.DM_TABLE_LOAD, name, 1, dm.line(SIZE // 512, f"{path} 0 1 {feature}".encode()))
    number = dm.HEADER.unpack_from(dm.dm(control, dm.DM_DEV_SUSPEND, name))[10]
    return os.minor(number)


def events(on):
    for event in ALLOCATED + FREED:
        write(f"{TRACE}/events/kmem/{event}/enable", on)


def kept(make):
    """The bytes that are still allocated after make(), by code of which dm-loop is a part."""
    write(f"{TRACE}/buffer_size_kb", "16384")
    write(f"{TRACE}/options/stacktrace", "1")
    write(f"{TRACE}/set_event_pid", str(os.getpid()))
    write(f"{TRACE}/trace", "")
    events("1")
    make()
    events("0")
    write(f"{TRACE}/options/stacktrace", "0")
    alive, seen = {}, None
    with open(f"{TRACE}/trace", encoding="ascii", errors="replace") as trace:
        for line in trace:
            found = re.search(r": (\w+): .*ptr=(\S+)", line)
            if found and found[1] in FREED:
                alive.pop(found[2], None)
                seen = None
            elif found and found[1] in ALLOCATED:
                seen = found[2], int(re.search(r"bytes_alloc=(\d+)", line)[1])
            elif seen and "7dm_loop" in line:
                alive[seen[0]] = seen[1]
                seen = None
    return sum(alive.values())


def read(minor, number, buffer):
    fd = os.open(f"/dev/dm-{minor}", os.O_RDONLY | os.O_DIRECT)
    if os.preadv(fd, [buffer], 0) != SIZE or buffer[:] != b"%8d" % number * (SIZE // 8):
        sys.exit(f"device {number} does not show its file")
    os.close(fd)


def measure(control, folder, feature, count, most, figures):
    make_files(folder, count + 1)
    last = f"{folder}/{count}"
    # Twice: the first finds no room prepared in the caches of the allocator.
    for _ in range(2):
        memory = kept(lambda: create(control, last, b"traced", feature))
        dm.dm(control, dm.DM_DEV_REMOVE, b"traced")
    if memory == 0:
        sys.exit("no allocation was seen")

    minors, taken = [], []
    for number in range(count):
        start = time.perf_counter_ns()
        minors.append(create(control, f"{folder}/{number}", b"d%d" % number, feature))
        taken.append(time.perf_counter_ns() - start)
    buffer = mmap.mmap(-1, SIZE)
    for number, minor in enumerate(minors):
        read(minor, number, buffer)
    first, final = sum(taken[:GROUP]) / GROUP / 1000, sum(taken[-GROUP:]) / GROUP / 1000
    for number in range(count):
        dm.dm(control, dm.DM_DEV_REMOVE, b"d%d" % number)

    line = f"{feature}\t{count}\t{memory}\t{first:.1f}\t{final:.1f}"
    print(line, file=figures, flush=True)
    print(f"{feature:14}{count:>8}{memory:>10}{first:12.1f}{final:12.1f}{final / first:8.3f}", flush=True)
    return memory <= most and final <= SLOWER * first


def main(folder, figures, *words):
    control = os.open("/dev/mapper/control", os.O_RDWR)
    right = True
    print(f"\n{'':14}{'devices':>8}{'bytes':>10}{'first us':>12}{'last us':>12}{'ratio':>8}")
    with open(figures, "w", encoding="ascii") as file:
        for feature, count, most in zip(words[::3], words[1::3], words[2::3]):
            right &= measure(control, folder, feature, int(count), int(most), file)
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
