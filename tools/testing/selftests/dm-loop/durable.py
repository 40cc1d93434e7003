#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Data that must survive the end of the machine.

usage: durable.py write LOG COUNT NAME=DEVICE|FOLDER…
       durable.py verify LOG NAME=FILE|FOLDER…

write: one thread a device writes blocks here and there, and brings them to stable storage:
by turns with a flush after several, and each by itself with RWF_DSYNC. Into a FOLDER, of a
file system on a device, it writes them as new files. LOG gets a line for each batch that was
acknowledged. Once there are COUNT lines, for each name of both sorts, and a moment has
passed, the machine is reset, without a word to anybody; not so if a writer has failed.
verify: all that LOG names must be in the files, and what it does not name of a device must
be as it was or as it was written.
"""
import mmap
import os
import random
import sys
import threading
import time

import pattern

BLOCK = 4096
SIZE = 16 << 20
BATCH = 8
SEED = 11


def batches(name):
    """The batches of places for a device, always the same; each place at most once."""
    places = list(range(0, SIZE, BLOCK))
    random.Random(name).shuffle(places)
    return [places[i : i + BATCH] for i in range(0, len(places), BATCH)]


def sorts(numbers):
    """Of these batches: 0 if there are flushed ones, 1 if there are RWF_DSYNC ones."""
    return {number % 2 for number in numbers}


class Log:
    """What has been acknowledged, in a file that outlives the machine, and which writers failed."""

    def __init__(self, path):
        self.fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.lock = threading.Lock()
        self.done = []
        self.failures = []

    def note(self, name, number):
        with self.lock:
            # One write of a short line: whole or not there.
            os.write(self.fd, f"{name} {number}\n".encode())
            self.done.append((name, number))

    def enough(self, count, names):
        """Whether there is something to verify."""
        with self.lock:
            done = list(self.done)
        both = all(len(sorts(n for who, n in done if who == name)) == 2 for name, _ in names)
        return both and len(done) >= count


def write_batches(name, device, log):
    fd = os.open(device, os.O_WRONLY | os.O_DIRECT)
    buffer = mmap.mmap(-1, BLOCK)
    for number, batch in enumerate(batches(name)):
        flags = os.RWF_DSYNC if number % 2 else 0
        for place in batch:
            buffer[:] = pattern.pattern(SEED, place, BLOCK)
            if os.pwritev(fd, [buffer], place, flags) != BLOCK:
                sys.exit(f"{device}: a short write")
        if not flags:
            os.fsync(fd)
        log.note(name, number)


def write_files(name, folder, log):
    """The same batches, each a file of its own."""
    entries = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    for number, batch in enumerate(batches(name)):
        flags = os.O_DSYNC if number % 2 else 0
        fd = os.open(f"{folder}/{number}", os.O_WRONLY | os.O_CREAT | os.O_EXCL | flags, 0o600)
        for place in batch:
            if os.write(fd, pattern.pattern(SEED, place, BLOCK)) != BLOCK:
                sys.exit(f"{folder}: a short write")
        if not flags:
            os.fsync(fd)
        os.close(fd)
        os.fsync(entries)
        log.note(name, number)


def writer(name, where, log):
    """A thread ends alone, whatever it ends with: the others are to know."""
    try:
        (write_files if os.path.isdir(where) else write_batches)(name, where, log)
    except BaseException as error:
        log.failures.append(f"{name}: {error!r}")


def write(path, count, names):
    log = Log(path)
    for name, where in names:
        threading.Thread(target=writer, args=(name, where, log), daemon=True).start()
    until = None
    while until is None or time.monotonic() < until:
        if log.failures:
            sys.exit("\n".join(log.failures))
        if until is None and log.enough(count, names):
            until = time.monotonic() + random.random() / 5
        time.sleep(0.01)
    with open("/proc/sysrq-trigger", "w", encoding="ascii") as trigger:
        trigger.write("b")
    time.sleep(60)


def verify_batches(name, file, done):
    fd = os.open(file, os.O_RDONLY)
    for number, batch in enumerate(batches(name)):
        for place in batch:
            got, wanted = os.pread(fd, BLOCK, place), pattern.pattern(SEED, place, BLOCK)
            if number in done or got != bytes(BLOCK):
                pattern.compare(got, wanted, place, f"{name}: batch {number} of {max(done)}")


def verify_files(name, folder, done):
    for number, batch in enumerate(batches(name)):
        if number in done:
            with open(f"{folder}/{number}", "rb") as file:
                for place in batch:
                    wanted = pattern.pattern(SEED, place, BLOCK)
                    pattern.compare(file.read(BLOCK), wanted, place, f"{name}: file {number}")


def verify(path, names):
    lines = [line.split() for line in open(path, encoding="ascii").read().splitlines()]
    for name, where in names:
        done = {int(number) for who, number in lines if who == name}
        if len(sorts(done)) != 2:
            sys.exit(f"{name}: only these batches were acknowledged, not of both sorts: {sorted(done)}")
        (verify_files if os.path.isdir(where) else verify_batches)(name, where, done)
        print(f"{name}: {len(done)} batches")


def main(job, path, *rest):
    if job == "write":
        write(path, int(rest[0]), [word.split("=") for word in rest[1:]])
    else:
        verify(path, [word.split("=") for word in rest])


if __name__ == "__main__":
    if len(sys.argv) < 4 or sys.argv[1] not in ("write", "verify"):
        sys.exit(__doc__)
    main(*sys.argv[1:])
