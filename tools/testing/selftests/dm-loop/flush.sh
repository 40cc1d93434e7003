#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A flush of the device is a flush of the disk, and a write with FUA is one on the disk, at
# the right place; of a file-mapped device it is stable, in whatever way, before it ends. The
# disk's file system is ext2, which flushes nothing by itself.
#
# smoke
# vm: --disk 8G --disk 2G,logical_block_size=4096 --cpus 1 --mem 1G
. ./lib.sh

# shellcheck source=lib-trace.sh
. ./lib-trace.sh

plan 13
DISK=$(disk 0)
FILE=$MNT/file
BLOCKS=64

# offered: a file-mapped device has both, whatever the disk has.
offered() {
    expect "write back" "$(queue /dev/mapper/t0 write_cache)" "write cache"
    expect 1 "$(queue /dev/mapper/t0 fua)" "FUA"
}

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
# at_least_flushes: who flushes through a file system may do so more often.
at_least_flushes() {
    local before after
    before=$(disk_stat "$DISK" 16)
    sync_times 10
    after=$(disk_stat "$DISK" 16)
    [ "$after" -ge $((before + 10)) ] || fail "$((after - before)) flushes of the disk"
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

# places: where the blocks of the file lie: first sector and number of sectors, in $WORK/wanted.
places() {
    program layout.py show "$FILE" |
        awk '{ for (i = 0; i < $3; i += 4096) print ($2 + i) / 512, 8 }' | sort -n >"$WORK/wanted"
    expect "$BLOCKS" "$(wc -l <"$WORK/wanted")" "blocks of the file"
}

# Where FUA writes should go and where they went.
fua_places() {
    traced "$DISK" fua_writes >"$WORK/trace"
    awk '$1 ~ /^F?WF/ { print $2, $3 }' "$WORK/trace" | sort -n >"$WORK/went"
    places
    diff "$WORK/wanted" "$WORK/went"
}

# Each write to a place of the file must be stable before the next one begins: a write with
# FUA, or with a flush behind it.
fua_is_stable() {
    local before
    places
    sync
    before=$(flushes_that_came)
    traced "$DISK" fua_alone $((BLOCKS * 4096)) >"$WORK/trace"
    expect "$before" "$(flushes_that_came)" "flushes of the device"
    awk 'NR == FNR { wanted[$1] = 1; next }
        $1 ~ /^F/ { unstable = "" }
        $1 ~ /^F?W/ && $2 in wanted {
            if (unstable != "") print "not stable in time: sector " unstable
            unstable = $1 ~ /^F?WF/ ? "" : $2
            delete wanted[$2]
        }
        END {
            if (unstable != "") print "not stable in the end: sector " unstable
            for (place in wanted) print "not written: sector " place
        }' "$WORK/wanted" "$WORK/trace" >"$WORK/wrong"
    [ ! -s "$WORK/wrong" ] || { head -n 4 "$WORK/wrong" && head -n 20 "$WORK/trace" && return 1; }
}

# No flush may overtake the writes before it: the file holds what was synced even if only
# the disk's own content is looked at.
synced_is_there() {
    pattern write /dev/mapper/t0 0 $((BLOCKS * 4096)) "$1" -- \
        verify-disk "$FILE" 0 $((BLOCKS * 4096)) "$1" "$DISK"
}

# two_targets FEATURE
two_targets() {
    local half=$((BLOCKS * 4)) before after
    dmsetup create t1 --table "0 $half loop $FILE 0 1 $1
$half $half loop $FILE $((half * 512)) 1 $1"
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
check "what was synced is on the disk" synced_is_there 7
remove t0
check "a flush of a table with two targets" two_targets block_mapped
seed=8
for mode in direct buffered; do
    loop_create t0 "$FILE" 0 - "${mode}_io"
    check "$mode: a write cache and FUA are offered" offered
    check "$mode: 10 flushes are flushes of the disk" at_least_flushes
    check "$mode: a write with FUA is stable when it ends" fua_is_stable
    check "$mode: what was synced is on the disk" synced_is_there "$seed"
    seed=$((seed + 1))
    remove t0
done
fs_end
