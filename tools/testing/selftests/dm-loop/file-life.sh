#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 8G --cpus 1 --mem 1G --timeout 2400
#
# On each kind of file, past the page cache and through it: a device that is suspended,
# resumed and reloaded under verifying load, one that may only be read, and two as one below
# encryption with a file system on it. file-reload.sh and file-stack.sh go into detail.
. ./lib.sh
. ./lib-file.sh

SIZE=$((4 << 20))
HALF=$((SIZE / 1024))
# Half of what the stack is made of.
PART=$((12 << 20))
INNER=$WORK/inner
FILE=''
mkdir "$INNER"
head -c 64 /dev/zero | tr '\0' k >"$WORK/key"

# Verifies what it writes to the first half of t0, again and again.
load() {
    fio --minimal --allow_file_create=0 --filename=/dev/mapper/t0 --thread --direct=1 --ioengine=io_uring \
        --iodepth=8 --verify=crc32c --verify_fatal=1 --verify_backlog=32 --bs=4k-16k --fsync=50 \
        --name=load --rw=randwrite --size=$((SIZE / 2)) --io_size=512k >"$WORK/fio" 2>&1 &&
        awk -F';' '$5 != 0 { exit 1 }' "$WORK/fio"
}

# lived KIND MODE
lived() {
    local features loader rest
    read -ra features <<<"$(features_for "$HOST" "$1" "$2" | xargs)"
    file_make "$1" "$FILE" "$SIZE"
    loop_create t0 "$FILE" 0 "$HALF" "${features[@]}"
    until_enough load &
    loader=$!
    dmsetup suspend t0
    expect 0 "$(dmsetup status t0 | cut -d' ' -f7)" "bios in flight while suspended"
    dmsetup resume t0
    dmsetup suspend --noflush t0
    dmsetup resume t0
    # Twice as long, under the load; the other half is as it was.
    dmsetup reload t0 --table "$(loop_table "$FILE" 0 - "${features[@]}")"
    dmsetup resume t0
    expect $((SIZE / 512)) "$(blockdev --getsz /dev/mapper/t0)" "sectors after the reload"
    kill -0 "$loader"
    touch "$WORK/enough"
    wait "$loader" || fail "load: $(cat "$WORK/fio")"
    is_new /dev/mapper/t0 $((SIZE / 2)) $((SIZE / 2))
    rest=$(sha256sum </dev/mapper/t0)
    # Now it may only be read.
    dmsetup reload --readonly t0 --table "$(loop_table "$FILE" 0 - "${features[@]}")"
    dmsetup resume t0
    expect 1 "$(blockdev --getro /dev/mapper/t0)" "read-only"
    fails_with "not permitted" pattern write --direct /dev/mapper/t0 0 4096 5
    expect "$rest" "$(sha256sum </dev/mapper/t0)" "contents, read-only"
    remove t0
    drop_caches
    expect "$rest" "$(sha256sum <"$FILE")" "contents of the file"
}

# stack: what is built on two devices. unstack: takes it down.
stack() {
    local n
    for n in 0 1; do loop_create "half$n" "$FILE.$n" 0 - "$@"; done
    dmsetup create both <<TABLE
0 $((PART / 512)) linear /dev/mapper/half0 0
$((PART / 512)) $((PART / 512)) delay /dev/mapper/half1 0 0
TABLE
    cryptsetup open --type plain --cipher aes-xts-plain64 --key-size 512 --key-file "$WORK/key" /dev/mapper/both clear
    is_block clear
}
unstack() {
    cryptsetup close clear
    remove both half0 half1
}

# stacked KIND MODE
stacked() {
    local features n
    read -ra features <<<"$(features_for "$HOST" "$1" "$2" | xargs)"
    for n in 0 1; do file_make "$1" "$FILE.$n" "$PART"; done
    stack "${features[@]}"
    mkfs.ext4 -qF /dev/mapper/clear
    mount /dev/mapper/clear "$INNER"
    fill "$INNER"
    umount "$INNER"
    unstack
    drop_caches
    stack "${features[@]}"
    e2fsck -fn /dev/mapper/clear
    mount -o ro /dev/mapper/clear "$INNER"
    filled "$INNER"
    umount "$INNER"
    unstack
    rm -f "$FILE".[01]*
}

each() {
    try "suspended, reloaded, only read" lived "$@"
    try "two as one below encryption" stacked "$@"
}
plan $((2 * $(kinds_count "${HOSTS[@]}")))
each_kind "$(disk 0)" each "${HOSTS[@]}"
