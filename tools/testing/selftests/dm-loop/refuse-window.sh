#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 8G --disk 2G,logical_block_size=4096 --cpus 1 --mem 1G
# smoke
#
# Offsets and lengths that do not go with the file, on disks with sectors of 512 and of
# 4096 bytes. The log must name the path and the numbers.
. ./lib.sh
. ./lib-refuse.sh

FILE=$MNT/file
SIZE=$((1 << 20))
MISALIGNED="Offset or length is not a multiple of the logical block size"
BEYOND="Device does not fit in the backing file"

# each MESSAGE "OFFSET SECTORS"…: refused, also where it need not be block-mapped, unless
# ONLY is set; the file is untouched by that.
each() {
    local message=$1 window offset sectors before MENTIONED
    shift
    before=$(trace "$FILE")
    for window; do
        read -r offset sectors <<<"$window"
        MENTIONED="$FILE $offset $sectors $(stat -c %s "$FILE")"
        refused EINVAL "$message" "0 $sectors loop $FILE $offset 1 block_mapped"
        [ -n "${ONLY:-}" ] || refused EINVAL "$message" "0 $sectors loop $FILE $offset"
    done
    expect "$before" "$(trace "$FILE")" "the file"
    unclaimed "$FILE"
}

misaligned() { each "$MISALIGNED" "1 8" "511 8" "513 8" "4095 8" "9223372036854775807 1"; }

# Multiples of 512 bytes, but not of the disk's sectors.
misaligned_on_disk() {
    local ONLY=1
    misaligned
    each "$MISALIGNED" "512 8" "3584 8" "0 1" "0 7" "4096 9" "512 7" "9223372036854775296 8"
    loop_create fallback "$FILE" 512 8
    status_is fallback "file buffered misaligned 0"
    remove fallback
}

# 2^54 - 1 sectors are what dm core itself allows.
beyond() {
    local sectors=$((SIZE / 512)) most=$(((1 << 54) - 8))
    each "$BEYOND" "0 $((sectors + 8))" "4096 $sectors" "$SIZE 8" "$((SIZE + 4096)) 8" \
        "$((1 << 40)) 8" "9223372036854771712 8" "0 $most" "4096 $most" "9223372036854771712 $most"
}

# The size of the file counts to the byte, not its blocks.
odd_size() {
    truncate -s $((SIZE - 1)) "$FILE"
    each "$BEYOND" "0 $((SIZE / 512))"
    make_file "$FILE" 100
    each "$BEYOND" "0 8"
    : >"$FILE"
    each "$BEYOND" "0 8"
    make_file "$FILE" "$SIZE"
}

fits() {
    local window offset sectors
    for window; do
        read -r offset sectors <<<"$window"
        loop_create fits "$FILE" "$offset" "$sectors" block_mapped
        expect "$sectors" "$(blockdev --getsz /dev/mapper/fits)"
        remove fits
    done
}

# on DISK SECTOR
on() {
    fs_make ext4 "$(disk "$1")"
    expect "$2" "$(blockdev --getss "$(disk "$1")")"
    make_file "$FILE" "$SIZE"
}

refusals_begin
plan 8
on 0 512
check "512-byte sectors: misaligned" misaligned
check "512-byte sectors: beyond the end" beyond
check "512-byte sectors: beyond the last byte" odd_size
check "512-byte sectors: what fits" fits "0 1" "512 1" "0 $((SIZE / 512))" "$((SIZE - 512)) 1" "32256 7"
fs_end
on 1 4096
check "4096-byte sectors: misaligned" misaligned_on_disk
check "4096-byte sectors: beyond the end" beyond
check "4096-byte sectors: beyond the last byte" odd_size
check "4096-byte sectors: what fits" fits "0 8" "4096 8" "0 $((SIZE / 512))" "$((SIZE - 4096)) 8"
fs_end
