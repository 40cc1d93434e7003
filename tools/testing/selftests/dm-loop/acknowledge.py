#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Work that is synced at each step, and marked in a dm-log-writes log once it is.

usage: acknowledge.py load LOGGED FOLDER DEVICE SEED COUNT
       acknowledge.py verify FOLDER FILE SEED DONE [loosely]

load: COUNT steps, each followed by the mark "step-N" in the log of the device named LOGGED.
A step writes, replaces or deletes a file in FOLDER, and some blocks of DEVICE. verify: all of
the first DONE steps must be in FOLDER and in FILE, which is what DEVICE showed, and nothing
else; loosely, of what the next step touches, anything may be there.
"""
import mmap
import os
import random
import subprocess
import sys

import pattern

BLOCK, BLOCKS, FILES = 4096, 1024, 12
LARGEST = 40000
HOWS = ("write", "replace", "append", "delete")


def steps(seed):
    """(number, how, name, length, blocks), for ever."""
    rng, number = random.Random(seed), 0
    while True:
        number += 1
        how = rng.choice(HOWS[:3] if rng.random() < 0.8 else HOWS)
        yield number, how, f"file{rng.randrange(FILES)}", rng.randint(1, LARGEST), rng.sample(range(BLOCKS), rng.randint(1, 6))


def contents(version, length):
    return pattern.pattern(version, 0, length)


def sync_folder(folder):
    fd = os.open(folder, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


def do(how, folder, name, data):
    path = os.path.join(folder, name)
    if how == "delete":
        if os.path.exists(path):
            os.unlink(path)
        return sync_folder(folder)
    target = path + ".new" if how == "replace" else path
    fd = os.open(target, os.O_WRONLY | os.O_CREAT | (os.O_APPEND if how == "append" else os.O_TRUNC), 0o600)
    os.write(fd, data)
    os.fsync(fd)
    os.close(fd)
    if how == "replace":
        os.rename(target, path)
    return sync_folder(folder)


def load(logged, folder, device, seed, count):
    fd = os.open(device, os.O_WRONLY | os.O_DIRECT)
    buffer = mmap.mmap(-1, BLOCK)
    for number, how, name, length, blocks in steps(seed):
        if number > count:
            break
        for block in blocks:
            buffer[:] = pattern.pattern(number, block * BLOCK, BLOCK)
            # By turns each by itself, and all at once.
            os.pwritev(fd, [buffer], block * BLOCK, os.RWF_DSYNC if number % 2 else 0)
        if number % 2 == 0:
            os.fsync(fd)
        do(how, folder, name, contents(number, length))
        subprocess.run(["dmsetup", "message", logged, "0", "mark", f"step-{number}"], check=True)


def expected(seed, done):
    """What the files hold after so many steps, the last step of each block, the next step."""
    files, last = {}, {}
    for number, how, name, length, blocks in steps(seed):
        if number > done:
            return files, last, (name, blocks)
        last.update((block, number) for block in blocks)
        if how == "delete":
            files.pop(name, None)
        else:
            old = files.get(name, b"") if how == "append" else b""
            files[name] = old + contents(number, length)


def verify(folder, path, seed, done, loosely):
    files, last, (name, blocks) = expected(seed, done)
    touched = {name, name + ".new"} if loosely else set()
    found = set(os.listdir(folder)) - {"lost+found"}
    if found - touched != set(files) - touched:
        sys.exit(f"{folder} holds {sorted(found)}, should hold {sorted(files)}")
    for name, data in files.items():
        if name not in touched:
            with open(os.path.join(folder, name), "rb") as file:
                pattern.compare(file.read(), data, 0, name)
    with open(path, "rb") as file:
        whole = file.read(BLOCKS * BLOCK)
    for block in range(BLOCKS):
        if not loosely or block not in blocks:
            start = block * BLOCK
            pattern.compare(whole[start:][:BLOCK], pattern.pattern(last.get(block, 0), start, BLOCK), start, path)


def main(job, *words):
    if job == "load" and len(words) == 5:
        load(*words[:3], words[3], int(words[4]))
    elif job == "verify" and len(words) in (4, 5):
        verify(*words[:3], int(words[3]), "loosely" in words)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(*sys.argv[1:])
