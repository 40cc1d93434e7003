#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Makes a device of a table line that dmsetup cannot write: with '#', a line break or NUL.

usage: raw_table.py NAME SECTORS TARGET <ARGUMENTS

NAME is created, loaded with the one line, and resumed. On failure nothing is left of it,
and the name of the errno is printed.
"""
import errno
import fcntl
import os
import struct
import sys

# struct dm_ioctl and struct dm_target_spec of <linux/dm-ioctl.h>.
HEADER = struct.Struct("<3L L L L l L L L Q 128s 129s 7s")
TARGET = struct.Struct("<QQlL16s")
DM_DEV_CREATE, DM_DEV_REMOVE, DM_DEV_SUSPEND, DM_DEV_STATUS = 3, 4, 6, 7
DM_TABLE_LOAD, DM_TABLE_CLEAR, DM_TABLE_STATUS, DM_TARGET_MSG = 9, 10, 12, 14
DM_READONLY_FLAG = 1


def dm(control, command, name, targets=0, data=b"", flags=0):
    """One ioctl. Returns what the kernel made of the header."""
    size = HEADER.size + len(data)
    header = HEADER.pack(4, 0, 0, size, HEADER.size, targets, 0, flags, 0, 0, 0, name, b"", b"")
    request = bytearray(header + data)
    # _IOWR(0xfd, command, struct dm_ioctl)
    fcntl.ioctl(control, 0xC000FD00 | HEADER.size << 16 | command, request)
    return request


def line(sectors, arguments, target=b"loop"):
    """A table of one line, as DM_TABLE_LOAD takes it."""
    arguments += b"\0"
    arguments += bytes(-len(arguments) % 8)
    return TARGET.pack(0, sectors, 0, TARGET.size + len(arguments), target) + arguments


def message(control, name, text):
    """Sends `text` to the target at sector 0."""
    # struct dm_target_msg, and room for an answer.
    dm(control, DM_TARGET_MSG, name, data=bytes(8) + text + bytes(512))


def main(name, sectors, target):
    table = line(int(sectors), sys.stdin.buffer.read(), target.encode())
    control = os.open("/dev/mapper/control", os.O_RDWR)
    name = name.encode()
    try:
        dm(control, DM_DEV_CREATE, name)
    except OSError as error:
        sys.exit(errno.errorcode[error.errno])
    try:
        dm(control, DM_TABLE_LOAD, name, 1, table)
        dm(control, DM_DEV_SUSPEND, name)
    except OSError as error:
        dm(control, DM_DEV_REMOVE, name)
        sys.exit(errno.errorcode[error.errno])


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
