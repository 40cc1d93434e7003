#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Holds files that no path in a folder leads to, until its input ends.

usage: holder.py KIND [FOLDER]

Prints a path below /proc that leads to the file: deleted, unnamed (of FOLDER), memory,
sealed (its contents for ever), secret, pipe, socket, event, inotify, poll, timer. Those that
hold something hold what pattern.py writes with seed 1, 1 MiB of it.
"""
import ctypes
import fcntl
import os
import select
import socket
import sys

import pattern

SIZE = 1 << 20
SYS_MEMFD_SECRET, SYS_INOTIFY_INIT, SYS_TIMERFD_CREATE = 447, 294, 283
F_ADD_SEALS, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE = 1033, 2, 4, 8
libc = ctypes.CDLL(None, use_errno=True)


def system_call(*arguments):
    fd = libc.syscall(*arguments)
    if fd < 0:
        sys.exit(os.strerror(ctypes.get_errno()))
    return fd


def filled(fd):
    os.pwrite(fd, pattern.pattern(1, 0, SIZE), 0)
    os.fsync(fd)
    return fd


def read_only(fd):
    """Who can write to a file keeps it from being block-mapped."""
    reader = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY)
    os.close(fd)
    return reader


def deleted(folder):
    path = os.path.join(folder, "deleted")
    fd = filled(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    os.unlink(path)
    return read_only(fd)


def unnamed(folder):
    return read_only(filled(os.open(folder, os.O_RDWR | os.O_TMPFILE, 0o600)))


def sealed(_):
    fd = filled(os.memfd_create("sealed", os.MFD_ALLOW_SEALING))
    fcntl.fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)
    return fd


def secret(_):
    fd = system_call(SYS_MEMFD_SECRET, 0)
    os.ftruncate(fd, SIZE)
    return fd


def poll(_):
    EPOLL.append(select.epoll())
    return EPOLL[0].fileno()


# Not to be closed.
EPOLL = []
KINDS = {
    "deleted": deleted,
    "unnamed": unnamed,
    "memory": lambda _: filled(os.memfd_create("memory")),
    "sealed": sealed,
    "secret": secret,
    "pipe": lambda _: os.pipe()[0],
    "socket": lambda _: socket.socket(socket.AF_UNIX).detach(),
    "event": lambda _: os.eventfd(0),
    "inotify": lambda _: system_call(SYS_INOTIFY_INIT, 0),
    "poll": poll,
    "timer": lambda _: system_call(SYS_TIMERFD_CREATE, 0, 0),
}


def main(kind, folder=None):
    fd = KINDS[kind](folder)
    print(f"/proc/{os.getpid()}/fd/{fd}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3) or sys.argv[1] not in KINDS:
        sys.exit(__doc__)
    main(*sys.argv[1:])
