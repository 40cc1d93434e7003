# SPDX-License-Identifier: GPL-2.0
"""Processes that do things to devices at the same time, for race_jobs.py.

Each player is a function of a Player, called again and again until the time is over. What it
does may fail with an errno, which is counted; a Wrong ends everything.
"""
import collections
import errno
import mmap
import os
import pickle
import random
import select
import signal
import sys
import time

import raw_table

SUSPEND, STATUS_TABLE, NOFLUSH, SKIP_LOCKFS = 2, 16, 2048, 1024
# How long a player may take to end once the time is over.
PATIENCE = 240


class Wrong(Exception):
    """What must not happen."""


class Player:
    """One of the processes: its own random numbers, and what it may do to a device."""

    def __init__(self, number, seed, folder):
        self.number, self.folder, self.random = number, folder, random.Random(f"{seed} {number}")
        self.tally = collections.Counter()
        self.control = os.open("/dev/mapper/control", os.O_RDWR)
        self.buffer = mmap.mmap(-1, 1 << 20)

    def dm(self, command, name, **more):
        return raw_table.dm(self.control, command, name.encode(), **more)

    def attempt(self, what, function, *arguments, **more):
        """Counts how it ends. None if it fails."""
        try:
            done = function(*arguments, **more)
        except OSError as error:
            self.tally[f"{what} {errno.errorcode[error.errno]}"] += 1
            return None
        self.tally[what] += 1
        return True if done is None else done

    def create(self, name):
        return self.attempt("create", self.dm, raw_table.DM_DEV_CREATE, name)

    def load(self, name, sectors, path, offset, features=(), readonly=False):
        words = [path, str(offset), *([str(len(features)), *features] if features else [])]
        table = raw_table.line(sectors, " ".join(words).encode())
        flags = raw_table.DM_READONLY_FLAG * readonly
        return self.attempt("load", self.dm, raw_table.DM_TABLE_LOAD, name, targets=1, data=table, flags=flags)

    def resume(self, name):
        return self.attempt("resume", self.dm, raw_table.DM_DEV_SUSPEND, name)

    def suspend(self, name):
        flags = SUSPEND | self.random.choice([0, NOFLUSH, SKIP_LOCKFS, NOFLUSH | SKIP_LOCKFS])
        return self.attempt("suspend", self.dm, raw_table.DM_DEV_SUSPEND, name, flags=flags)

    def clear(self, name):
        return self.attempt("clear", self.dm, raw_table.DM_TABLE_CLEAR, name)

    def remove(self, name):
        return self.attempt("remove", self.dm, raw_table.DM_DEV_REMOVE, name)

    def remove_surely(self, name):
        """Of a device of one's own; udev may have it open for a moment."""
        end = time.monotonic() + 60
        while not self.remove(name):
            if time.monotonic() > end:
                raise Wrong(f"{name} cannot be removed")
            time.sleep(0.05)

    def status(self, name):
        kind = self.random.choice([0, STATUS_TABLE])
        return self.attempt("status", self.dm, raw_table.DM_TABLE_STATUS, name, data=bytes(8192), flags=kind)

    def message(self, name):
        text = self.random.choice([b"", b"x", b"@cancel", b"stat", b"grow 4096"])
        return self.attempt("message", raw_table.message, self.control, name.encode(), text)

    def open(self, name, flags):
        """The node that the kernel makes; udev's may come late."""
        try:
            header = self.dm(raw_table.DM_DEV_STATUS, name)
            return os.open(f"/dev/dm-{os.minor(int.from_bytes(header[40:48], 'little'))}", flags | os.O_DIRECT)
        except OSError as error:
            self.tally[f"open {errno.errorcode[error.errno]}"] += 1
            return None


def play(player, function, end, pipe):
    """In a process of its own: the loop, and its end."""
    said, status = None, 0
    try:
        while time.monotonic() < end:
            function(player)
    except Wrong as wrong:
        said, status = str(wrong), 1
    except Exception as error:  # pylint: disable=broad-except
        said, status = f"{function.__name__}: {error!r} at line {error.__traceback__.tb_next.tb_lineno}", 1
    with os.fdopen(pipe, "wb") as out:
        pickle.dump((said, player.tally), out)
    os._exit(status)


def run(functions, seconds, seed, folder):
    """All of the functions at the same time. Returns what was counted, or ends the program."""
    end, children = time.monotonic() + seconds, {}
    for number, function in enumerate(functions):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            play(Player(number, seed, folder), function, end, writer)
        os.close(writer)
        children[reader] = child
    tally, wrongs, last = collections.Counter(), [], end + PATIENCE
    while children:
        ready = select.select(list(children), [], [], max(0, last - time.monotonic()))[0]
        if not ready:
            for child in children.values():
                os.kill(child, signal.SIGKILL)
            sys.exit(f"{len(children)} of {len(functions)} processes do not end")
        for reader in ready:
            with os.fdopen(reader, "rb") as file:
                text = file.read()
            os.waitpid(children.pop(reader), 0)
            said, counted = pickle.loads(text) if text else ("died", {})
            tally.update(counted)
            wrongs += [said] if said else []
    print(", ".join(f"{count} {what}" for what, count in sorted(tally.items())))
    if wrongs:
        sys.exit("; ".join(wrongs))
    return tally
