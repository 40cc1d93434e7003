#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The page cache of the file: what is in it when the device is made reaches the device, and
# what the device writes is seen by all who read the file after its removal.
#
# vm: --disk 8G --disk 2G,logical_block_size=4096 --cpus 1 --mem 1G
. ./lib.sh

plan $((${#FILE_SYSTEMS[@]} * 4))
FILE=$MNT/file
SIZE=$((1 << 20))

# A file that has just been written: neither its data nor its blocks are on the disk.
unsynced() {
    rm -f "$FILE"
    pattern write "$FILE" 0 "$SIZE" 1
    loop_create t0 "$FILE" 0 - block_mapped
    pattern verify --direct /dev/mapper/t0 0 "$SIZE" 1
    remove t0
}

# Pages from before the device, and pages read while it writes. The file is not touched.
cached() {
    local written
    pattern write "$FILE" 0 "$SIZE" 1 -- verify "$FILE" 0 "$SIZE" 1
    loop_create t0 "$FILE" 0 - block_mapped
    written=$(stat -c %y "$FILE")
    cat "$FILE" >/dev/null
    pattern write --direct /dev/mapper/t0 0 "$SIZE" 2
    cat "$FILE" >/dev/null
    pattern write --direct /dev/mapper/t0 0 "$SIZE" 3
    remove t0
    expect "$written" "$(stat -c %y "$FILE")" "mtime"
    pattern verify "$FILE" 0 "$SIZE" 3
    drop_caches
    pattern verify "$FILE" 0 "$SIZE" 3
}

# A reader that never rests, from before the device to after it.
busy_reader() {
    local reader seed
    pattern write "$FILE" 0 "$SIZE" 1
    python3 -S - "$FILE" <<'PYTHON' &
import os, sys, time
fd = os.open(sys.argv[1], os.O_RDONLY)
while True:
    for place in range(0, os.fstat(fd).st_size, 65536):
        os.pread(fd, 65536, place)
        time.sleep(0.001)
PYTHON
    reader=$!
    for seed in 2 3; do
        loop_create t0 "$FILE" 0 - block_mapped
        pattern write /dev/mapper/t0 0 "$SIZE" "$seed"
        remove t0
        pattern verify "$FILE" 0 "$SIZE" "$seed"
    done
    kill "$reader"
    wait "$reader" || true
    pattern verify "$FILE" 0 "$SIZE" 3
}

# A mapping of the file for reading, which lives through all of it.
mapped() { python3 -S "$HERE/mapped-reader.py" "$FILE" "$(loop_table "$FILE" 0 - block_mapped)"; }

for fs in "${FILE_SYSTEMS[@]}"; do
    fs_make "$fs"
    check "$fs: a file not yet written back" unsynced
    check "$fs: stale pages are dropped" cached
    check "$fs: a reader at work all the while" busy_reader
    check "$fs: a mapping into memory" mapped
    fs_end
done
