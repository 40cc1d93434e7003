#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 8G --cpus 1 --mem 1G --timeout 1500
#
# Device and file are the same bytes, in both directions, for every kind of file that is
# not block-mapped, through the page cache and past it; and the status says why.
. ./lib.sh
. ./lib-file.sh

SIZE=4195004
# Where the device is written: it begins and ends in the middle of blocks.
START=$((200 * 1024 + 512)) LENGTH=$((2 * 1024 * 1024 + 1536))

# around WHERE: outside of what was written, it is as it was.
around() {
    is_new "$1" 0 "$START"
    is_new "$1" $((START + LENGTH)) $((SIZE / 512 * 512 - START - LENGTH))
}

# data KIND MODE
data() {
    local kind=$1 mode=$2 reason features before
    read -ra features <<<"$(features_for "$HOST" "$kind" "$mode" | xargs)"
    reason=requested
    [ ${#features[@]} != 0 ] || reason=$(reason_for "$HOST" "$kind")
    file_make "$kind" "$FILE" "$SIZE"
    [ "$reason" = requested ] || block_mapped_refused "$FILE" "$reason"
    loop_create t0 "$FILE" 0 - "${features[@]}"
    mapped_as t0 "$mode" "$reason"
    expect "$((SIZE / 512))" "$(blockdev --getsz /dev/mapper/t0)" "size of the device"
    is_new /dev/mapper/t0 0 $((SIZE / 512 * 512))

    pattern write --direct /dev/mapper/t0 "$START" "$LENGTH" 2 -- \
        verify --direct /dev/mapper/t0 "$START" "$LENGTH" 2 -- \
        verify /dev/mapper/t0 "$START" "$LENGTH" 2 -- \
        verify "$FILE" "$START" "$LENGTH" 2
    around /dev/mapper/t0
    # Somebody else writes the file: that shows on the device, where nobody had cached it.
    pattern write "$FILE" "$START" 65536 3 -- \
        verify --direct /dev/mapper/t0 "$START" 65536 3 -- \
        write --direct /dev/mapper/t0 "$START" 65536 2
    before=$(dmsetup table t0)
    remove t0
    # The line that was printed makes the same device.
    dmsetup create t0 --table "$before"
    is_block t0
    expect "$before" "$(dmsetup table t0)"
    mapped_as t0 "$mode" "$reason"
    remove t0

    drop_caches
    pattern verify "$FILE" "$START" "$LENGTH" 2
    around "$FILE"
    [ "$kind" != reflinked ] || pattern verify "$FILE.other" 0 "$SIZE" 1
}

each() { try "device and file are the same" data "$@"; }
plan "$(kinds_count "${HOSTS[@]}")"
each_kind "$(disk 0)" each "${HOSTS[@]}"
