#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""usage: table_load.py FILE TIMES

Loads a table with all of FILE, block-mapped, so often. Prints the number of extents, then
the microseconds of each DM_TABLE_LOAD.
"""
import os
import sys
import time

import raw_table as dm

STATUS_INACTIVE = 1 << 12
NAME = b"bench"


def main(path, times):
    control = os.open("/dev/mapper/control", os.O_RDWR)
    table = dm.line(os.stat(path).st_size // 4096 * 8, f"{path} 0 1 block_mapped".encode())
    dm.dm(control, dm.DM_DEV_CREATE, NAME)
    for number in range(times):
        start = time.perf_counter_ns()
        dm.dm(control, dm.DM_TABLE_LOAD, NAME, 1, table)
        taken = time.perf_counter_ns() - start
        if number == 0:
            room = bytes(4096)
            answer = dm.dm(control, dm.DM_TABLE_STATUS, NAME, data=room, flags=STATUS_INACTIVE)
            words = answer[dm.HEADER.size + dm.TARGET.size :].split(b"\0")[0].split()
            if words[0] != b"block":
                sys.exit(f"{path} is not block-mapped: {words}")
            print(int(words[1]))
        print(taken / 1000)
        dm.dm(control, dm.DM_TABLE_CLEAR, NAME)
    dm.dm(control, dm.DM_DEV_REMOVE, NAME)


main(sys.argv[1], int(sys.argv[2]))
