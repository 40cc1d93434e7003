#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Device and file are the same bytes, in both directions, for files in one piece and in
# thousands, and they lie on the disk where the file system says.
#
# vm: --disk 8G --disk 2G,logical_block_size=4096 --cpus 1 --mem 1G
. ./lib.sh

plan $((${#FILE_SYSTEMS[@]} * 5))
DISK=$(disk 0)
FILE=$MNT/file

# What is written to the device is on the disk at once, and in the file after.
forward() {
    local size sectors window
    size=$(stat -c %s "$FILE")
    sectors=$(mappable_sectors "$FILE")
    window=$((sectors * 512))
    loop_create t0 "$FILE" 0 "$sectors" block_mapped
    expect "$sectors" "$(blockdev --getsz /dev/mapper/t0)" "size of the device"
    status_is t0 "block $(extent_count "$FILE" "$window") $(mountpoint -x "$DISK")"
    pattern write --direct /dev/mapper/t0 0 "$window" 2 -- \
        verify --direct /dev/mapper/t0 0 "$window" 2 -- \
        verify-disk "$FILE" 0 "$window" 2 "$DISK"
    remove t0
    pattern verify "$FILE" 0 "$window" 2 -- \
        verify "$FILE" "$window" $((size - window)) 1 -- \
        verify-disk "$FILE" 0 "$window" 2 "$DISK"
}

# What is written to the file is what the device shows.
reverse() {
    local size sectors
    size=$(stat -c %s "$FILE")
    sectors=$(mappable_sectors "$FILE")
    pattern write "$FILE" 0 "$size" 3
    loop_create t0 "$FILE" 0 "$sectors" block_mapped
    pattern verify --direct /dev/mapper/t0 0 $((sectors * 512)) 3 -- \
        verify /dev/mapper/t0 0 $((sectors * 512)) 3
    remove t0
    pattern verify "$FILE" 0 "$size" 3
}

# The other half of the blocks must not have changed.
neighbour() { pattern verify "$FILE.other" 0 "$(stat -c %s "$FILE.other")" 1; }

# Some 2,000 pieces; f2fs will have moved the file into whole sections.
fragmented() {
    make_fragmented "$FILE" $((2048 * $(stat -f -c %S "$MNT") + 700))
    [ "$(extent_count "$FILE")" -ge 2000 ] || fail "only $(extent_count "$FILE") extents"
    forward
}

for fs in "${FILE_SYSTEMS[@]}"; do
    fs_make "$fs"
    make_file "$FILE" 4195004
    check "$fs, contiguous: from the device to the file" forward
    check "$fs, contiguous: from the file to the device" reverse
    check "$fs, fragmented: from the device to the file" fragmented
    check "$fs, fragmented: from the file to the device" reverse
    check "$fs, fragmented: a file between the pieces is untouched" neighbour
    fs_end
done
