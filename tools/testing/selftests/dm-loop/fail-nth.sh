#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 8G --disk 2G,logical_block_size=4096 --cpus 1 --mem 1G
# trust
#
# Each single allocation of a table load fails once: a clean error, the file free and as it
# was, no reference left. (That nothing was lost, the search for leaks at the end tells.)
. ./lib.sh
. ./lib-fault.sh

faults_needed
# Each piece of a file is an allocation or two.
SIZE=$((64 << 10))
LIMIT=400
[ -z "${LONG:-}" ] || SIZE=$((1 << 20)) LIMIT=4000
FILE=$MNT/file

# on KIND MAKE FEATURE: a file, and how it is to be mapped.
on() {
    local kind=$1 make=$2 feature=$3
    if [ "$kind" = tmpfs ]; then
        mount -t tmpfs tmpfs "$MNT"
    else
        fs_make "$kind"
    fi
    "$make" "$FILE" "$SIZE"
    # Once without: what is made the first time only is made.
    loop_create faulty "$FILE" 0 - "$feature"
    remove faulty
    sync -f "$MNT"
    dmsetup create faulty --notable
    python3 -S "$HERE/fail_nth.py" faulty "$LIMIT" "$FILE" $((SIZE / 512)) "$FILE 0 1 $feature" >"$WORK/said" 2>&1 ||
        fail "$(<"$WORK/said")"
    echo "# $kind, $feature: $(<"$WORK/said")" >>"$WORK/counts"
    remove faulty
    loop_create faulty "$FILE" 0 - "$feature"
    remove faulty
    if [ "$kind" = tmpfs ]; then umount "$MNT"; else fs_end; fi
}

modprobe dm-loop
faults_any 0
plan $((${#FILE_SYSTEMS[@]} + 5))
for kind in "${FILE_SYSTEMS[@]}"; do
    check "$kind, block-mapped" on "$kind" make_fragmented block_mapped
done
check "ext4, file-mapped" on ext4 make_file file_mapped
check "ext4, sparse" on ext4 make_sparse direct_io
check "ext4, through the page cache" on ext4 make_file buffered_io
check "xfs, sparse" on xfs make_sparse direct_io
check "tmpfs" on tmpfs make_sparse file_mapped
faults_end
[ ! -e "$WORK/counts" ] || cat "$WORK/counts"
