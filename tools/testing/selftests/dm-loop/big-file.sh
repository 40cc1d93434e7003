#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A file of 5 GiB: numbers that do not fit in 32 bits. (None can be that large on vfat.)
#
# vm: --disk 8G --disk 2G,logical_block_size=4096 --cpus 1 --mem 1G
. ./lib.sh

KINDS=(ext4 ext4-1k ext2 xfs btrfs f2fs)
SIZE=$((5 << 30))
# Written here through the device: around 2^31 and 2^32 bytes, and at both ends.
PLACES=(0 $(((1 << 31) - 65536)) $(((1 << 32) - 65536)) $((SIZE - 131072)))
plan $((${#KINDS[@]} * 3))
DISK=$(disk 0)
FILE=$MNT/file

whole() {
    local place jobs=()
    loop_create t0 "$FILE" 0 - block_mapped
    expect $((SIZE / 512)) "$(blockdev --getsz /dev/mapper/t0)" "size of the device"
    status_is t0 "block $(extent_count "$FILE") $(mountpoint -x "$DISK")"
    for place in "${PLACES[@]}"; do
        jobs+=(write --direct /dev/mapper/t0 "$place" 131072 2 --)
    done
    for place in "${PLACES[@]}"; do
        jobs+=(verify --direct /dev/mapper/t0 "$place" 131072 2 --)
        jobs+=(verify-disk "$FILE" "$place" 131072 2 "$DISK" --)
    done
    # What neighbours them, and lies where they would with the upper bits cut off.
    for place in 131072 $(((1 << 31) + 65536)) $(((1 << 32) + 65536)) $((SIZE - 262144)); do
        jobs+=(zeros --direct /dev/mapper/t0 "$place" 131072 --)
    done
    for place in $((SIZE - 131072 - (1 << 32))) $((SIZE - 131072 - (1 << 31))); do
        jobs+=(zeros --direct /dev/mapper/t0 "$place" 131072 --)
    done
    pattern "${jobs[@]}" zeros /dev/mapper/t0 1048576 4096
    remove t0
}

in_the_file() {
    local place jobs=()
    for place in "${PLACES[@]}"; do
        jobs+=(verify "$FILE" "$place" 131072 2 --)
    done
    pattern "${jobs[@]}" zeros "$FILE" 131072 1048576
}

# An offset of more than 2^32 bytes.
offset() {
    local offset=$(((1 << 32) + 512))
    loop_create t0 "$FILE" "$offset" - block_mapped
    pattern verify --direct /dev/mapper/t0 0 $((65536 - 512)) 2 "$offset" -- \
        write /dev/mapper/t0 0 512 3 "$offset" -- \
        zeros --direct /dev/mapper/t0 65024 65536
    remove t0
    pattern verify "$FILE" $((offset - 512)) 512 2 -- \
        verify "$FILE" "$offset" 512 3 -- verify "$FILE" $((offset + 512)) 512 2
}

for fs in "${KINDS[@]}"; do
    fs_make "$fs"
    dd if=/dev/zero of="$FILE" bs=4M count=$((SIZE >> 22)) oflag=direct status=none
    check "$fs: through the whole device" whole
    check "$fs: found in the file" in_the_file
    check "$fs: a device at an offset of 4 GiB" offset
    fs_end
done
