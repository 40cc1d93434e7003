#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 8G --cpus 1 --mem 1G --timeout 1800
#
# File-mapped devices show the part of the file that their table names, to the sector, and
# change nothing around it: several at once on one file, at odd offsets, in odd lengths.
. ./lib.sh
. ./lib-file.sh

SIZE=2098386
# Offset and sectors, in ascending order, with gaps; the last one ends with the file.
WINDOWS=("512 1" "32256 1" "36864 2047" "1089024 1001" "1605120 -")

# mode_at MODE OFFSET: what the file system cannot reach past the page cache goes through it.
mode_at() {
    if [ "$1" = direct ] && [ $(($2 % $(program statx.py dio "$FILE"))) != 0 ]; then
        echo buffered
    else
        echo "$1"
    fi
}

windows() {
    local kind=$1 mode=$2 reason=$3 features window offset sectors length n=0 done=0 jobs=()
    read -ra features <<<"$(features_for "$HOST" "$kind" "$mode" | xargs)"
    [ ${#features[@]} = 0 ] || reason=requested
    file_make "$kind" "$FILE" "$SIZE"
    for window in "${WINDOWS[@]}"; do
        read -r offset sectors <<<"$window"
        loop_create "w$n" "$FILE" "$offset" "$sectors" "${features[@]}"
        mapped_as "w$n" "$(mode_at "$mode" "$offset")" "$reason"
        # The first one has the file, in its way.
        [ ${#features[@]} != 0 ] || reason=in_use
        sectors=$(blockdev --getsz "/dev/mapper/w$n")
        length=$((sectors * 512))
        is_new "/dev/mapper/w$n" 0 "$length" "$offset"
        jobs+=(write --direct "/dev/mapper/w$n" 0 "$length" 2 "$offset" --)
        n=$((n + 1))
    done
    for window in "${!WINDOWS[@]}"; do
        read -r offset sectors <<<"${WINDOWS[window]}"
        length=$(($(blockdev --getsz "/dev/mapper/w$window") * 512))
        jobs+=(verify --direct "/dev/mapper/w$window" 0 "$length" 2 "$offset" --
            verify "$FILE" "$offset" "$length" 2 --)
        [ "$kind" = sparse ] || [ "$kind" = fallocated ] || jobs+=(verify "$FILE" "$done" $((offset - done)) 1 --)
        [ "$kind" = written ] || [ "$kind" = reflinked ] || jobs+=(zeros "$FILE" "$done" $((offset - done)) --)
        done=$((offset + length))
    done
    unset 'jobs[-1]'
    pattern "${jobs[@]}"
    # The bytes after the last whole sector belong to no device.
    is_new "$FILE" "$done" $((SIZE - done))
    remove w0 w1 w2 w3 w4
}

# A block of which one device knows what the page cache holds, and another what the disk
# does, would lose writes of the second.
neighbours() {
    local mode busy="Backing file is in use"
    file_make sparse "$FILE" "$SIZE"
    for mode in direct buffered; do
        loop_create left "$FILE" 0 1 "${mode}_io"
        loop_create right "$FILE" 512 1 "${mode}_io"
        remove right
        case $mode in
        direct) loop_refused EBUSY "$busy" "$FILE" 512 1 buffered_io ;;
        buffered) loop_refused EBUSY "$busy" "$FILE" 512 1 direct_io ;;
        esac
        # The next block is another matter, and so is who only reads.
        loop_create right "$FILE" 4096 1 buffered_io
        remove left right
    done
    loop_create --readonly left "$FILE" 0 1 direct_io
    loop_create --readonly right "$FILE" 512 1 buffered_io
    remove left right
}

each() { try "five windows" windows "$1" "$2" "$(reason_for "$HOST" "$1")"; }
plan $(($(kinds_count "${HOSTS[@]}") + 1))
each_kind "$(disk 0)" each "${HOSTS[@]}"
host_begin ext4
FILE=$FOLDER/file
check "ext4: a block shared by neighbours" neighbours
host_end
