#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""What statx(2) tells of a file, and stat(1) does not.

usage: statx.py dio FILE   what direct I/O must be aligned to, in bytes: 512 where the file
                           system does not say
       statx.py dax FILE   "yes" or "no": whether the file is on DAX
"""
import ctypes
import os
import struct
import sys

AT_FDCWD = -100
STATX_DIOALIGN = 0x2000
STATX_ATTR_DAX = 0x200000
# In struct statx.
MASK, ATTRIBUTES, DIO_OFFSET_ALIGN = 0, 8, 0x9C

libc = ctypes.CDLL(None, use_errno=True)


def main(job, path):
    answer = ctypes.create_string_buffer(256)
    if libc.statx(AT_FDCWD, os.fsencode(path), 0, STATX_DIOALIGN, answer) != 0:
        sys.exit(f"{path}: {os.strerror(ctypes.get_errno())}")
    if job == "dio":
        (mask,) = struct.unpack_from("<I", answer, MASK)
        (alignment,) = struct.unpack_from("<I", answer, DIO_OFFSET_ALIGN)
        print(max(alignment, 512) if mask & STATX_DIOALIGN else 512)
    else:
        (attributes,) = struct.unpack_from("<Q", answer, ATTRIBUTES)
        print("yes" if attributes & STATX_ATTR_DAX else "no")


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in ("dio", "dax"):
        sys.exit(__doc__)
    main(*sys.argv[1:])
