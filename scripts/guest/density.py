#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Many devices: their memory, and how long it takes to make them.

usage: density.py FOLDER DISK FIGURES KIND COUNT [BYTES]

Makes COUNT devices, reads all of them, and removes them. KIND is a feature of dm-loop, and
then each device is on a new file of FOLDER, or linear: each is a piece of DISK. Prints the
bytes that the target keeps for one device, and the mean microseconds that each of the first
and of the last thousand took to make. The same goes to FIGURES. With BYTES, exit status 1 if a
device takes more than that, or the last take longer.
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


def content(number):
    return b"%8d" % number * (SIZE // 8)


class Loop:
    """Devices of dm-loop, each on a file of its own."""

    # What a line of a stack trace has in it that is the target's.
    code = "7dm_loop"

    def __init__(self, folder, feature):
        self.folder, self.feature = folder, feature

    def fill(self, count):
        for number in range(count):
            with open(f"{self.folder}/{number}", "wb") as file:
                file.write(content(number))

    def table(self, number):
        return dm.line(SIZE // 512, f"{self.folder}/{number} 0 1 {self.feature}".encode())


class Linear:
    """Devices of dm-linear, each a piece of a disk."""

    code = "linear_ctr"

    def __init__(self, disk):
        self.disk = disk

    def fill(self, count):
        with open(self.disk, "r+b") as disk:
            for number in range(count):
                disk.write(content(number))

    def table(self, number):
        return dm.line(SIZE // 512, f"{self.disk} {number * SIZE // 512}".encode(), b"linear")


def create(control, name, table):
    """Returns the minor number of the device."""
    dm.dm(control, dm.DM_DEV_CREATE, name)
    dm.dm(control, dm.DM_TABLE_LOAD, name, 1, table)
    number = dm.HEADER.unpack_from(dm.dm(control, dm.DM_DEV_SUSPEND, name))[10]
    return os.minor(number)


def events(on):
    for event in ALLOCATED + FREED:
        write(f"{TRACE}/events/kmem/{event}/enable", on)


def kept(make, code):
    """The bytes that are still allocated after make(), by calls with code in their traces."""
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
            elif seen and code in line:
                alive[seen[0]] = seen[1]
                seen = None
    return sum(alive.values())


def read(minor, number, buffer):
    fd = os.open(f"/dev/dm-{minor}", os.O_RDONLY | os.O_DIRECT)
    if os.preadv(fd, [buffer], 0) != SIZE or buffer[:] != content(number):
        sys.exit(f"device {number} does not show what is below it")
    os.close(fd)


def measure(control, kind, devices, count, figures):
    """Returns the bytes of one device, and how much longer the last ones took to make."""
    devices.fill(count + 1)
    os.sync()
    # Twice: the first finds no room prepared in the caches of the allocator.
    for _ in range(2):
        memory = kept(lambda: create(control, b"traced", devices.table(count)), devices.code)
        dm.dm(control, dm.DM_DEV_REMOVE, b"traced")
    if memory == 0:
        sys.exit("no allocation was seen")

    minors, taken = [], []
    for number in range(count):
        start = time.perf_counter_ns()
        minors.append(create(control, b"d%d" % number, devices.table(number)))
        taken.append(time.perf_counter_ns() - start)
    buffer = mmap.mmap(-1, SIZE)
    for number, minor in enumerate(minors):
        read(minor, number, buffer)
    first, final = sum(taken[:GROUP]) / GROUP / 1000, sum(taken[-GROUP:]) / GROUP / 1000
    for number in range(count):
        dm.dm(control, dm.DM_DEV_REMOVE, b"d%d" % number)

    line = f"{kind}\t{count}\t{memory}\t{first:.1f}\t{final:.1f}"
    print(line, file=figures, flush=True)
    print(f"{kind:14}{count:>8}{memory:>10}{first:12.1f}{final:12.1f}{final / first:8.3f}", flush=True)
    return memory, final / first


def main(folder, disk, figures, kind, count, most=None):
    control = os.open("/dev/mapper/control", os.O_RDWR)
    devices = Linear(disk) if kind == "linear" else Loop(folder, kind)
    with open(figures, "w", encoding="ascii") as file:
        memory, slower = measure(control, kind, devices, int(count), file)
    return most is not None and (memory > int(most) or slower > SLOWER)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
