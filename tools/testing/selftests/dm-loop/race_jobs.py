#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Races between devices, files, file systems and the module.

usage: race_jobs.py JOB SECONDS SEED FOLDER

FOLDER is on the host file system. JOB is one of crowd, constructor, readers, freezer, unload:
see the functions of that name.
"""
import ctypes
import fcntl
import mmap
import os
import sys
import time

import attempt
import pattern
from race import Wrong, run

SECTOR, PART, PLAYERS, FILES = 512, 1 << 17, 8, 4
FIFREEZE, FITHAW = 0xC0045877, 0xC0045878
MAPPINGS = [(), ("block_mapped",), ("file_mapped",), ("buffered_io",), ("no_discard", "direct_io")]
libc = ctypes.CDLL(None, use_errno=True)


def make(path, size, seed):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    for place, length in pattern.pieces(0, size):
        os.pwrite(fd, pattern.pattern(seed, place, length), place)
    os.fsync(fd)
    os.close(fd)


def same(player, fd, start, length, seed, origin, what):
    view = memoryview(player.buffer)[:length]
    done = player.attempt("read", os.preadv, fd, [view], start)
    if done and bytes(view[:done]) != pattern.pattern(seed, origin + start, done):
        raise Wrong(f"{what}: wrong data at {start}")


def fill(player, fd, start, length, seed, origin):
    view = memoryview(player.buffer)[:length]
    view[:] = pattern.pattern(seed, origin + start, length)
    return player.attempt("write", os.pwritev, fd, [view], start)


def window(player, size):
    length = player.random.choice([8, 64, player.random.randint(1, size // SECTOR)])
    return player.random.randrange(size // SECTOR - length + 1) * SECTOR, length


def own_part(player):
    """A device on one's own part of a file that others use other parts of: it holds what is
    written to it, whatever they do."""
    name, rng = f"own{player.number}", player.random
    path, origin = f"{player.folder}/shared{rng.randrange(FILES)}", player.number * PART
    if not player.create(name):
        return
    if player.load(name, PART // SECTOR, path, origin, rng.choice(MAPPINGS)) and player.resume(name):
        fd = player.open(name, os.O_RDWR)
        for turn in range(rng.randint(1, 6)):
            seed = 1000 * player.number + turn
            if fd is None or not fill(player, fd, 0, PART, seed, origin):
                raise Wrong(f"{name}: cannot be written")
            if rng.random() < 0.3:
                player.load(name, PART // SECTOR, path, origin, rng.choice(MAPPINGS))
                player.suspend(name)
                player.resume(name)
            if rng.random() < 0.3:
                os.fsync(fd)
            same(player, fd, 0, PART, seed, origin, name)
        os.close(fd)
    player.remove_surely(name)


def common(player):
    """Everybody does everything to devices that belong to nobody."""
    rng = player.random
    name, path = f"common{rng.randrange(3)}", f"{player.folder}/{rng.choice(['still0', 'still1', 'sparse'])}"
    for _ in range(rng.randint(1, 8)):
        what = rng.randrange(8)
        if what == 0:
            player.create(name)
        elif what == 1:
            start, length = window(player, PART * PLAYERS)
            player.load(name, length, path, start, rng.choice(MAPPINGS), rng.random() < 0.5)
        elif what == 2:
            player.resume(name)
        elif what == 3:
            player.suspend(name)
            time.sleep(rng.random() / 50)
            # Somebody has to, or the readers wait for ever: with another table, or with this.
            if not player.resume(name):
                player.clear(name)
                player.resume(name)
        elif what == 4:
            player.status(name)
        elif what == 5:
            player.message(name)
        elif what == 6:
            rng.choice([player.remove, player.clear])(name)
        else:
            look(player, name)


def look(player, name):
    """Each sector is one of some file, or of zeros."""
    fd = player.open(name, os.O_RDONLY)
    if fd is None:
        return
    view = memoryview(player.buffer)[:8192]
    done = player.attempt("read", os.preadv, fd, [view], 0) or 0
    for at in range(0, done if done is not True else 0, SECTOR):
        if bytes(view[at : at + SECTOR]) != bytes(view[at : at + 16]) * 32:
            raise Wrong(f"{name}: sector {at // SECTOR} is of no file")
    os.close(fd)


def crowd(folder):
    for number in range(FILES):
        make(f"{folder}/shared{number}", PART * PLAYERS, 1)
    make(f"{folder}/still0", PART * PLAYERS, 1)
    make(f"{folder}/still1", PART * PLAYERS, 2)
    os.truncate(os.open(f"{folder}/sparse", os.O_CREAT | os.O_WRONLY, 0o600), PART * PLAYERS)
    return [own_part, common] * (PLAYERS // 2)


def constructing(player):
    """A device on a file that others change: as long as it is there, they cannot."""
    path = f"{player.folder}/target"
    if not player.create("target"):
        return
    if player.random.random() < 0.5:
        player.attempt("restore", make, path, PART, 1)
        close_all(player)
    try:
        size = os.stat(path).st_size // SECTOR
    except OSError:
        size = 0
    feature = player.random.choice(["block_mapped", "block_mapped", "file_mapped", "buffered_io"])
    if size and player.load("target", size, path, 0, (feature,)) and player.resume("target"):
        fd = player.open("target", os.O_RDWR) if feature == "block_mapped" else None
        if fd is not None:
            player.tally["mapped"] += 1
            seed = player.random.randrange(1 << 30)
            if not fill(player, fd, 0, min(size * SECTOR, PART), seed, 0):
                raise Wrong("what is mapped cannot be written")
            time.sleep(player.random.random() / 20)
            same(player, fd, 0, min(size * SECTOR, PART), seed, 0, "block-mapped")
            os.close(fd)
    player.remove_surely("target")


def changing(player):
    """What anybody can try on a file."""
    path, other = f"{player.folder}/target", f"{player.folder}/other{player.number}"
    make(other, PART, 1)
    name = player.random.choice(["restore"] * 12 + [*attempt.OPS, "immutable", "swap"])
    if name == "restore":
        player.attempt(name, make, path, PART, 1)
        time.sleep(player.random.random() / 10)
    elif name == "immutable":
        for flag in "+-":
            player.attempt(name, os.system, f"chattr {flag}i {path} 2>/dev/null")
    elif name == "swap":
        os.system(f"mkswap -q {path} 2>/dev/null && swapon {path} 2>/dev/null && swapoff {path}")
    else:
        try:
            player.attempt(name, attempt.OPS[name], path, other)
        except (ValueError, SystemExit):
            # Of an empty file there is no mapping; those that differ are not the same.
            player.tally[f"{name} impossible"] += 1
    close_all(player)


def close_all(player):
    """What attempt.py leaves open, as it does one thing and ends."""
    for word in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{word}").startswith(player.folder):
                os.close(int(word))
        except FileNotFoundError:
            # The folder that was listed.
            pass


def constructor(folder):
    make(f"{folder}/target", PART, 1)
    return [constructing] + [changing] * 5


def writing(player):
    """A device whose file others read; once it is gone, the file shows what was written."""
    name, path = f"read{player.number}", f"{player.folder}/read{player.number}"
    feature = player.random.choice(["block_mapped", "block_mapped", "file_mapped", "buffered_io"])
    player.create(name)
    if not (player.load(name, PART // SECTOR, path, 0, (feature,)) and player.resume(name)):
        # Somebody read it at that moment.
        player.remove_surely(name)
        return
    fd, holds = player.open(name, os.O_RDWR), {}
    for _ in range(player.random.randint(1, 60)):
        start, seed = player.random.randrange(PART // 4096) * 4096, player.random.randrange(1 << 30)
        fill(player, fd, start, 4096, seed, 0)
        holds[start] = seed
    os.close(fd)
    player.remove_surely(name)
    with open(path, "rb") as file:
        for start, seed in holds.items():
            file.seek(start)
            if file.read(4096) != pattern.pattern(seed, start, 4096):
                raise Wrong(f"{path} at {start}: not what was written to the {feature} device")
    player.tally["compared"] += 1


def reading(player):
    path, how = f"{player.folder}/read{player.random.randrange(2)}", player.random.randrange(4)
    flags = os.O_RDONLY | (os.O_DIRECT if how == 0 else 0)
    fd = os.open(path, flags)
    start = player.random.randrange(PART // 4096) * 4096
    if how == 1:
        with mmap.mmap(fd, 0, prot=mmap.PROT_READ) as mapping:
            mapping[start : start + 4096]
    elif how == 2:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_WILLNEED)
    else:
        os.preadv(fd, [memoryview(player.buffer)[:PART]], 0)
    player.tally["looked"] += 1
    os.close(fd)


def readers(folder):
    for number in range(2):
        make(f"{folder}/read{number}", PART, 1)
    return [writing, writing] + [reading] * 4


def freezing(player):
    fd = os.open(player.folder, os.O_RDONLY)
    if player.attempt("freeze", fcntl.ioctl, fd, FIFREEZE, 0) is not None:
        time.sleep(player.random.random() / 20)
        player.attempt("thaw", fcntl.ioctl, fd, FITHAW, 0)
    os.close(fd)
    time.sleep(player.random.random() / 20)


def unmounting(player):
    """Busy, as we are in it ourselves; but that is found out late."""
    number = libc.umount2(os.path.dirname(player.folder).encode(), 0)
    if number == 0:
        raise Wrong("the file system is in use, and was unmounted")
    player.tally[f"umount {ctypes.get_errno()}"] += 1
    time.sleep(0.01)


def freezer(folder):
    for number in range(FILES):
        make(f"{folder}/shared{number}", PART * PLAYERS, 1)
    # Somebody is always there.
    os.chdir(folder)
    return [own_part] * 4 + [freezing, unmounting]


def coming_and_going(player):
    name, path = f"open{player.random.randrange(2)}", f"{player.folder}/shared{player.random.randrange(2)}"
    player.create(name)
    if player.load(name, PART // SECTOR, path, 0, player.random.choice(MAPPINGS)):
        player.resume(name)
    time.sleep(player.random.random() / 50)
    player.remove(name)


def opening(player):
    fd = player.open(f"open{player.random.randrange(2)}", os.O_RDWR)
    if fd is not None:
        same(player, fd, 0, 4096, 1, 0, "while it goes")
        player.attempt("flush", os.fsync, fd)
        time.sleep(player.random.random() / 100)
        os.close(fd)


def unloading(player):
    number = libc.syscall(176, b"dm_loop", os.O_NONBLOCK)
    player.tally["unloaded" if number == 0 else "unload refused"] += 1
    time.sleep(player.random.random() / 5)


def unload(folder):
    for number in range(2):
        make(f"{folder}/shared{number}", PART, 1)
    return [coming_and_going] * 3 + [opening] * 3 + [unloading]


# What must have been seen, or nothing was tried.
SEEN = {crowd: ["load", "load EBUSY", "read", "suspend"], constructor: ["mapped", "restore"], readers: ["compared", "looked"],
        freezer: ["freeze", "thaw", "write"], unload: ["unload refused", "read", "remove", "remove EBUSY"]}


def main(job, seconds, seed, folder):
    setup = {function.__name__: function for function in SEEN}[job]
    tally = run(setup(folder), int(seconds), seed, folder)
    missing = [what for what in SEEN[setup] if not tally[what]]
    if missing:
        sys.exit(f"never seen: {missing}")


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    main(*sys.argv[1:])
