#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 8G --cpus 1 --mem 1G
#
# A sparse file of 20 GiB, file-mapped: numbers that do not fit in 32 bits, and discards that
# do not fit in one bio.
. ./lib.sh
. ./lib-file.sh

KIB=1024 GIB=$((1 << 30))
SIZE=$((20 * GIB)) LENGTH=$((128 * KIB))
# Written here: around 2^31, 2^32 and 2^34 bytes, and at both ends.
PLACES=(0 $((2 * GIB - 64 * KIB)) $((4 * GIB - 64 * KIB)) $((16 * GIB - 64 * KIB)) $((SIZE - LENGTH)))

# device MODE: on a new file, with a pattern at each of the places.
device() {
    local place jobs=()
    file_make sparse "$FILE" "$SIZE"
    loop_create t0 "$FILE" 0 - "$1_io"
    mapped_as t0 "$1" requested
    for place in "${PLACES[@]}"; do
        jobs+=(write --direct /dev/mapper/t0 "$place" "$LENGTH" 2 --)
    done
    pattern "${jobs[@]}" zeros --direct /dev/mapper/t0 "$LENGTH" "$LENGTH"
}

# there PLACE…, empty PLACE…: on the device as in the file.
there() {
    local place jobs=()
    for place; do
        jobs+=(verify --direct /dev/mapper/t0 "$place" "$LENGTH" 2 -- verify "$FILE" "$place" "$LENGTH" 2 --)
    done
    pattern "${jobs[@]}" zeros --direct /dev/mapper/t0 "$LENGTH" 4096
}
empty() {
    local place jobs=()
    for place; do
        jobs+=(zeros --direct /dev/mapper/t0 "$place" "$LENGTH" -- zeros "$FILE" "$place" "$LENGTH" --)
    done
    pattern "${jobs[@]}" zeros --direct /dev/mapper/t0 "$LENGTH" 4096
}

whole() {
    local place
    device "$1"
    expect $((SIZE / 512)) "$(blockdev --getsz /dev/mapper/t0)" "size of the device"
    there "${PLACES[@]}"
    # What neighbours them, and lies where they would with the upper bits cut off.
    for place in "${PLACES[@]:1}"; do
        empty $((place - LENGTH))
    done
    empty $((GIB - LENGTH)) $((12 * GIB - 64 * KIB)) $((SIZE - LENGTH - 8 * GIB))
    remove t0
    [ "$(allocated "$FILE")" -lt 4096 ] || fail "$(allocated "$FILE") KiB are taken by a few patterns"
}

# An offset of more than 2^32 bytes.
offset() {
    local offset=$((4 * GIB + 512))
    file_make sparse "$FILE" "$SIZE"
    pattern write "$FILE" $((4 * GIB - 64 * KIB)) "$LENGTH" 2
    loop_create t0 "$FILE" "$offset" - "$1_io"
    expect $(((SIZE - offset) / 512)) "$(blockdev --getsz /dev/mapper/t0)" "size of the device"
    pattern verify --direct /dev/mapper/t0 0 $((64 * KIB - 512)) 2 "$offset" -- \
        write /dev/mapper/t0 0 512 3 "$offset" -- \
        write --direct /dev/mapper/t0 $((12 * GIB)) 4096 3 "$offset" -- \
        zeros --direct /dev/mapper/t0 $((8 * GIB)) 4096
    remove t0
    pattern verify "$FILE" $((offset - 512)) 512 2 -- verify "$FILE" "$offset" 512 3 -- \
        verify "$FILE" $((offset + 512)) 512 2 -- verify "$FILE" $((offset + 12 * GIB)) 4096 3 -- \
        zeros "$FILE" 0 4096 -- zeros "$FILE" $((8 * GIB)) 4096
}

# discards COMMAND…: more than fits in one bio, between what stays.
discards() {
    # From behind the second place up to before the last but one.
    local from=$((2 * GIB + 64 * KIB)) until=$((16 * GIB - 64 * KIB))
    "$@" -o "$from" -l $((until - from)) /dev/mapper/t0
    empty "$from" "${PLACES[2]}" $((until - LENGTH))
    there 0 "${PLACES[1]}" "${PLACES[3]}" "${PLACES[4]}"
}

discarded() {
    device "$1"
    discards blkdiscard
    blkdiscard /dev/mapper/t0
    empty "${PLACES[@]}"
    sync -- "$FILE"
    [ "$(allocated "$FILE")" -lt 512 ] || fail "$(allocated "$FILE") KiB are left of a file that was discarded"
    remove t0
}

# zeroed MODE: zeroes that may be unmapped, and such that may not: those take room, if the
# file system can keep it without writing it.
zeroed() {
    device "$1"
    discards fallocate -p
    if [ "$HOST" = xfs ]; then
        blkdiscard -z -o $((16 * GIB + 64 * KIB)) -l $((4 * GIB - LENGTH - 64 * KIB)) /dev/mapper/t0
        empty $((16 * GIB + 64 * KIB)) $((SIZE - 2 * LENGTH))
        there 0 "${PLACES[1]}" "${PLACES[3]}" "${PLACES[4]}"
    fi
    remove t0
}

plan 16
for host in xfs tmpfs; do
    host_begin "$host"
    FILE=$FOLDER/file
    for mode in direct buffered; do
        check "$host, $mode: through the whole device" whole "$mode"
        check "$host, $mode: a device at an offset of 4 GiB" offset "$mode"
        check "$host, $mode: discard" discarded "$mode"
        check "$host, $mode: zeroes" zeroed "$mode"
        rm -f "$FILE"
    done
    host_end
done
