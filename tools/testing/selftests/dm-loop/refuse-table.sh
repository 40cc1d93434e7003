#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 8G --disk 2G,logical_block_size=4096 --cpus 1 --mem 1G
#
# Table lines with wrong arguments.
. ./lib.sh
. ./lib-refuse.sh

FILE=$WORK/file
make_file "$FILE" $((1 << 20))
make_sparse "$WORK/sparse" $((1 << 20))

# each ERRNO MESSAGE ARGUMENTS…: "0 8 loop" with each of ARGUMENTS is refused, and the file
# untouched by that.
each() {
    local errno=$1 message=$2 arguments before
    shift 2
    before=$(trace "$FILE")
    for arguments; do
        refused "$errno" "$message" "0 8 loop $arguments"
    done
    expect "$before" "$(trace "$FILE")" "the file"
    unclaimed "$FILE"
}

argument_count() {
    each EINVAL "Invalid argument count" "" "$FILE" \
        "$FILE 0 1" "$FILE 0 2 no_discard" "$FILE 0 0 no_discard" "$FILE 0 1 no_discard block_mapped" \
        "$FILE 0 no_discard" "$FILE 0 -1 no_discard" "$FILE 0 +1 no_discard" "$FILE 0 1x no_discard" \
        "$FILE 0 0x1 no_discard" "$FILE 0 18446744073709551617 no_discard" "$FILE 0 99999999999"
}

offset() {
    each EINVAL "Invalid offset" "$FILE -1" "$FILE +0" "$FILE 0x200" "$FILE 512s" "$FILE 512B" \
        "$FILE 1e3" "$FILE 0.5" "$FILE 512," "$FILE ,512" "$FILE ٠" "$FILE a" "$FILE no_discard 0" \
        "$FILE 9223372036854775808" "$FILE 18446744073709551615" "$FILE 18446744073709551616" \
        "$FILE 18446744073709552128" "$FILE $(printf '9%.0s' {1..2000})" "$FILE -1 1 no_discard"
}

feature() {
    each EINVAL "Invalid feature argument" "$FILE 0 1 frobnicate" "$FILE 0 1 Block_mapped" \
        "$FILE 0 1 block_mapped,no_discard" "$FILE 0 1 block" "$FILE 0 1 $(printf '\xff')" \
        "$FILE 0 2 block_mapped frobnicate" "$FILE 0 1 $(printf 'x%.0s' {1..2000})"
}

repeated() {
    local name
    for name in block_mapped file_mapped buffered_io direct_io no_discard; do
        each EINVAL "Invalid feature argument" "$FILE 0 2 $name $name"
    done
    each EINVAL "Invalid feature argument" "$FILE 0 3 no_discard block_mapped no_discard"
}

contradictory() {
    each EINVAL "Invalid feature argument" "$FILE 0 2 block_mapped file_mapped" \
        "$FILE 0 2 file_mapped block_mapped" "$FILE 0 2 buffered_io direct_io" \
        "$FILE 0 2 direct_io buffered_io" "$FILE 0 2 block_mapped direct_io" \
        "$FILE 0 2 buffered_io block_mapped" "$FILE 0 3 block_mapped no_discard buffered_io"
}

# They are all alike for dmsetup and the kernel: arguments in any order, extra space.
accepted() {
    local arguments
    for arguments in "$FILE 0 0" "$FILE 0 1 no_discard" "$FILE 0 2 no_discard block_mapped" \
        "$FILE 0 2 block_mapped no_discard" "  $FILE   512  1   block_mapped " "$FILE 00512"; do
        dmsetup create accepted --table "0 8 loop $arguments"
        is_block accepted
        remove accepted
    done
    unclaimed "$FILE"
}

new_device() {
    cannot_create EINVAL "Invalid argument count" "0 8 loop"
    cannot_create EINVAL "Invalid offset" "0 8 loop $FILE x"
    cannot_create EINVAL "Invalid feature argument" "0 8 loop $FILE 0 1 x"
    cannot_create EOPNOTSUPP "Cannot block-map: file is sparse" "0 8 loop $WORK/sparse 0 1 block_mapped"
    unclaimed "$WORK/sparse"
}

# Nothing that follows a NUL is there; a backslash at the end escapes nothing.
raw_bytes() {
    local before
    before=$(trace "$FILE")
    news >/dev/null
    printf '%s\0 0' "$FILE" | fails_with EINVAL python3 "$HERE/raw_table.py" raw 8 loop
    news | grep -F "loop: Invalid argument count (-EINVAL)"
    printf '%s 0\134' "$FILE" | fails_with EINVAL python3 "$HERE/raw_table.py" raw 8 loop
    news | grep -F "loop: Invalid offset (-EINVAL)"
    expect "$before" "$(trace "$FILE")" "the file"
}

refusals_begin
plan 8
check "wrong number of arguments" argument_count
check "offset is not a decimal number that fits" offset
check "unknown feature" feature
check "repeated feature" repeated
check "contradictory features" contradictory
check "right arguments in other words" accepted
check "a device that cannot be made" new_device
check "a table that dmsetup cannot write" raw_bytes
