#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A flush of the device is a flush of the disk, and a write with FUA is one on the disk, at
# the right place. The disk's file system is ext2, which flushes nothing by itself.
#
# smoke
# vm: --disk 8G --disk 2G,logical_block_size=4096 --cpus 1 --mem 1G
. ./lib.sh

# shellcheck source=lib-trace.sh
. ./lib-trace.sh

plan 5
DISK=$(disk 0)
FILE=$MNT/file
BLOCKS=64

features() {
    expect "write back" "$(queue /dev/mapper/t0 write_cache)" "write cache"
    expect "$(queue "$DISK" write_cache)" "$(queue /dev/mapper/t0 write_cache)" "write cache"
    expect "$(queue "$DISK" fua)" "$(queue /dev/mapper/t0 fua)" "FUA"
}

# sync_times N: that many flushes of the device.
sync_times() {
    python3 - "$1" <<'PYTHON'
import os, sys
fd = os.open("/dev/mapper/t0", os.O_WRONLY)
for _ in range(int(sys.argv[1])):
    os.fsync(fd)
PYTHON
}

flushes() {
    local before
    before=$(disk_stat "$DISK" 16)
    sync_times 10
    expect $((before + 10)) "$(disk_stat "$DISK" 16)" "flushes of the disk"
}

# fua_writes: to every block of the device, backwards, one write that is to be stable
# when it returns.
fua_writes() {
    python3 - "$BLOCKS" <<'PYTHON'
import mmap, os, sys
fd = os.open("/dev/mapper/t0", os.O_WRONLY | os.O_DIRECT | os.O_DSYNC)
buffer = mmap.mmap(-1, 4096)
buffer[:] = b"F" * 4096
for block in reversed(range(int(sys.argv[1]))):
    if os.pwrite(fd, buffer, 4096 * block) != 4096:
        sys.exit("short write")
PYTHON
}

# Where FUA writes should go and where they went: first sector and number of sectors.
fua_places() {
    traced "$DISK" fua_writes >"$WORK/trace"
    awk '$1 ~ /^F?WF/ { print $2, $3 }' "$WORK/trace" | sort -n >"$WORK/went"
    program layout.py show "$FILE" |
        awk '{ for (i = 0; i < $3; i += 4096) print ($2 + i) / 512, 8 }' | sort -n >"$WORK/wanted"
    expect "$BLOCKS" "$(wc -l <"$WORK/wanted")" "blocks of the file"
    diff "$WORK/wanted" "$WORK/went"
}

# No flush may overtake the writes before it: the file holds what was synced even if only
# the disk's own content is looked at.
synced_is_there() {
    pattern write /dev/mapper/t0 0 $((BLOCKS * 4096)) 7 -- \
        verify-disk "$FILE" 0 $((BLOCKS * 4096)) 7 "$DISK"
}

two_targets() {
    local half=$((BLOCKS * 4)) before after
    dmsetup create t1 --table "0 $half loop $FILE 0 1 block_mapped
$half $half loop $FILE $((half * 512)) 1 block_mapped"
    is_block t1
    before=$(disk_stat "$DISK" 16)
    python3 -c 'import os; os.fsync(os.open("/dev/mapper/t1", os.O_WRONLY))'
    after=$(disk_stat "$DISK" 16)
    [ "$after" -gt "$before" ] || fail "no flush reached the disk"
    remove t1
}

fs_make ext2
make_fragmented "$FILE" $((BLOCKS * 4096))
loop_create t0 "$FILE" 0 - block_mapped
check "the device has the disk's write cache and FUA" features
check "10 flushes are 10 flushes of the disk" flushes
check "writes with FUA reach the disk's sectors with FUA" fua_places
check "what was synced is on the disk" synced_is_there
remove t0
check "a flush of a table with two targets" two_targets
fs_end
