#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# f2fs collects garbage while a device goes. It moves blocks by way of the page cache: once the
# file is not pinned any more, no page of before may be there.
#
# vm: --disk 8G --cpus 2 --mem 1G
. ./lib.sh

FILE=$MNT/file
SIZE=$((16 << 20))
ROUNDS=12

# Has the section of each block of the file collected, over and over.
collect() {
    exec python3 -S - "$FILE" "$HERE" <<'PYTHON'
import fcntl, os, struct, sys
sys.path.insert(0, sys.argv[2])
import layout
fd = os.open(sys.argv[1], os.O_RDONLY)
GARBAGE_COLLECT_RANGE = 0x4018F50B
while True:
    blocks = set()
    for _, start, length in layout.extents(sys.argv[1]):
        blocks.update(range(start // 4096 // 512, (start + length) // 4096 // 512 + 1))
    for block in sorted(blocks) * 50:
        try:
            fcntl.ioctl(fd, GARBAGE_COLLECT_RANGE, struct.pack("<LxxxxQQ", 0, block * 512 + 1, 1))
        except OSError:
            pass
PYTHON
}

released() {
    local seed
    make_fragmented "$FILE" "$SIZE"
    rm "$FILE.other"
    collect &
    trap 'kill -KILL $! && wait $! || true' EXIT
    for ((seed = 2; seed < ROUNDS + 2; seed++)); do
        # A claim is refused while others keep on bringing pages of the file into memory.
        kill -STOP $!
        wait_until grep -q "^State:[[:space:]]*T" "/proc/$!/status"
        loop_create t0 "$FILE" 0 - block_mapped
        kill -CONT $!
        # What is cached here is stale in the end.
        cat "$FILE" >/dev/null
        pattern write --direct /dev/mapper/t0 0 "$SIZE" "$seed"
        cat "$FILE" >/dev/null
        remove t0
        sync
        drop_caches
        pattern verify "$FILE" 0 "$SIZE" "$seed"
    done
}

plan 1
fs_make f2fs
check "garbage is collected while the device is removed" released
fs_end
