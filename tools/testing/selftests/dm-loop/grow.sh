#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 8G --disk 2G,logical_block_size=4096 --cpus 1 --mem 1G
#
# Swap files can be made longer, and so can mapped ones. If the size was no multiple of a
# block, the file system then puts zeros behind the old end, through the page cache, which
# may hold what was there long ago: none of that may get onto the device.
. ./lib.sh
. ./lib-lock.sh

SIZE=$(((1 << 20) + 2 * 1024 + 512))
FILE=$MNT/file

# grown COMMAND…: with the old end in the page cache, new data on the device, and then a
# file that COMMAND made longer, or not.
grown() {
    local block bytes
    block=$(stat -f -c %S "$MNT")
    bytes=$((SIZE / block * block))
    make_file "$FILE" "$SIZE"
    loop_create grow "$FILE" 0 $((bytes / 512)) block_mapped
    # The last page, as it is before.
    tail -c 4096 "$FILE" >/dev/null
    pattern write --direct /dev/mapper/grow 0 "$bytes" 2
    # f2fs makes no pinned file longer.
    "$@" || [ "$KIND" = f2fs ] || fail "cannot be made longer"
    sync
    drop_caches
    pattern verify --direct /dev/mapper/grow 0 "$bytes" 2
    remove grow
    pattern verify "$FILE" 0 "$bytes" 2
    pattern verify "$FILE" "$bytes" $((SIZE - bytes)) 1
    unclaimed "$FILE"
}

on() {
    KIND=$1
    fs_make "$1"
    check "$1: truncate" grown truncate -s $((SIZE + 65536)) "$FILE"
    check "$1: ftruncate" grown python3 -c 'import os, sys
os.ftruncate(os.open(sys.argv[1], os.O_RDWR), int(sys.argv[2]))' "$FILE" $((SIZE + 1))
    fs_end
}

plan $((2 * ${#FILE_SYSTEMS[@]}))
for kind in "${FILE_SYSTEMS[@]}"; do
    on "$kind"
done
