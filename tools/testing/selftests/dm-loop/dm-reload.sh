#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 8G --disk 2G,logical_block_size=4096 --cpus 1 --mem 1G
#
# New tables for a device that is there: on the same file, on another, and wrong ones.
. ./lib.sh
. ./lib-lock.sh

SIZE=$((8 << 20))
SECTORS=$((SIZE / 512))
FILE=$MNT/file OTHER=$MNT/other

# switch TABLE [OPTION…]: the device goes over to it.
switch() {
    local table=$1
    shift
    dmsetup load "$@" life --table "$table"
    dmsetup resume life
}

# shows SEED OFFSET SECTORS: that part of the file, and it can be written.
shows() {
    expect "$3" "$(blockdev --getsz /dev/mapper/life)"
    expect "0 $3 loop $FILE $2" "$(dmsetup table life)"
    pattern verify --direct /dev/mapper/life 0 $(($3 * 512)) "$1" "$2"
}

other_windows() {
    make_file "$FILE" "$SIZE"
    loop_create life "$FILE" 0 $((SECTORS / 2))
    shows 1 0 $((SECTORS / 2))
    switch "0 $SECTORS loop $FILE 0"
    shows 1 0 "$SECTORS"
    claimed "$FILE"
    switch "0 1 loop $FILE 0"
    shows 1 0 1
    claimed "$FILE"
    switch "0 $((SECTORS - 63)) loop $FILE 32256"
    shows 1 32256 $((SECTORS - 63))
    pattern write --direct /dev/mapper/life 0 $((SIZE - 32256)) 2 32256
    switch "0 $SECTORS loop $FILE 0"
    pattern verify --direct /dev/mapper/life 32256 $((SIZE - 32256)) 2
    pattern verify --direct /dev/mapper/life 0 32256 1
    remove life
    unclaimed "$FILE"
    pattern verify "$FILE" 32256 $((SIZE - 32256 - 1)) 2
}

# A table is only loaded, then thrown away, or replaced by one more.
loaded_tables() {
    make_file "$FILE" "$SIZE"
    make_file "$OTHER" "$SIZE" 2
    loop_create life "$FILE" 0
    dmsetup load life --table "0 $SECTORS loop $OTHER 0"
    claimed "$OTHER"
    dmsetup load life --table "0 8 loop $FILE 0"
    unclaimed "$OTHER"
    claimed "$FILE"
    dmsetup clear life
    claimed "$FILE"
    shows 1 0 "$SECTORS"
    dmsetup load life --table "0 $SECTORS loop $OTHER 0"
    claimed "$OTHER"
    remove life
    unclaimed "$FILE"
    unclaimed "$OTHER"
}

other_file() {
    make_file "$FILE" "$SIZE"
    make_file "$OTHER" "$SIZE" 2
    loop_create life "$OTHER" 0
    pattern write --direct /dev/mapper/life 0 "$SIZE" 3
    switch "0 $SECTORS loop $FILE 0"
    shows 1 0 "$SECTORS"
    pattern verify "$OTHER" 0 "$SIZE" 3
    unclaimed "$OTHER"
    claimed "$FILE"
    # And to no file at all.
    switch "0 8 zero"
    unclaimed "$FILE"
    remove life
}

# What is active stays so when a load fails.
failed_loads() {
    local arguments
    make_file "$FILE" "$SIZE"
    make_sparse "$OTHER" "$SIZE"
    loop_create life "$FILE" 0
    for arguments in "$FILE $SIZE" "$FILE x" "$OTHER 0 1 block_mapped" "$MNT/nowhere 0" "$FILE"; do
        fails_with "failed" dmsetup load life --table "0 8 loop $arguments"
        claimed "$FILE"
        pattern verify --direct /dev/mapper/life 0 4096 1
    done
    # The first line is good, the second is not: both go.
    fails_with "Invalid argument" dmsetup load life \
        --table "0 8 loop $FILE 0"$'\n'"8 8 loop $FILE $SIZE"
    shows 1 0 "$SECTORS"
    remove life
    unclaimed "$FILE"
    unclaimed "$OTHER"
}

read_only_and_back() {
    make_file "$FILE" "$SIZE"
    loop_create life "$FILE" 0
    switch "0 $SECTORS loop $FILE 0" --readonly
    expect 1 "$(blockdev --getro /dev/mapper/life)"
    fails_with "not permitted" pattern write --direct /dev/mapper/life 0 4096 2
    shows 1 0 "$SECTORS"
    claimed "$FILE"
    switch "0 $SECTORS loop $FILE 0"
    expect 0 "$(blockdev --getro /dev/mapper/life)"
    pattern write --direct /dev/mapper/life 0 "$SIZE" 2
    remove life
    pattern verify "$FILE" 0 "$SIZE" 2
    unclaimed "$FILE"
}

# seen_by_an_opener FEATURE: whoever has the device open for writing cannot write any more. The
# block layer itself only warns of bios that come from another device. (A discard is a hint: where
# none is offered any more, it is taken, and nothing is done.)
seen_by_an_opener() {
    local table="0 $SECTORS loop $FILE 0 1 $1" errors
    make_file "$FILE" "$SIZE"
    dmsetup create life --table "$table"
    is_block life
    dmsetup create above --table "0 $SECTORS linear /dev/mapper/life 0"
    is_block above
    pattern write --direct /dev/mapper/above 0 4096 2
    switch "$table" --readonly
    fails_with "Input/output error" pattern write --direct /dev/mapper/above 0 4096 3
    if [ "$1" = block_mapped ]; then
        fails_with "Input/output error" blkdiscard -l $((1 << 20)) /dev/mapper/above
    else
        blkdiscard -l $((1 << 20)) /dev/mapper/above
    fi
    fails_with "Input/output error" blkdiscard -z -l $((1 << 20)) /dev/mapper/above
    errors=$(dmsetup message life 0 stat | grep -oE 'errors [0-9]+')
    [ "${errors#* }" -ge 2 ] || fail "counted: $errors"
    pattern verify --direct /dev/mapper/above 0 4096 2 -- verify --direct /dev/mapper/above 4096 $((SIZE - 4096)) 1
    switch "$table"
    pattern write --direct /dev/mapper/above 0 4096 3
    remove above life
    pattern verify "$FILE" 0 4096 3 -- verify "$FILE" 4096 $((SIZE - 4096)) 1
}

# A load that takes long, as where each block is asked for, ends when its process is killed.
killed() {
    local table full began worker status took
    fs_make vfat "$(disk 0)" "$WORK/fat"
    dd if=/dev/zero of="$WORK/fat/file" bs=4M count=128 oflag=direct conv=fsync status=none
    table=$(loop_table "$WORK/fat/file" 0 - block_mapped)
    dmsetup create life --notable
    began=$(date +%s%N)
    dmsetup load life --table "$table"
    full=$((($(date +%s%N) - began) / 1000000))
    for _ in {1..10}; do
        dmsetup clear life
        began=$(date +%s%N)
        dmsetup load life --table "$table" &
        worker=$!
        sleep "$(printf '%d.%03d' $((full / 2000)) $((full / 2 % 1000)))"
        kill -9 "$worker"
        status=0
        wait "$worker" || status=$?
        took=$((($(date +%s%N) - began) / 1000000))
        echo "$full ms in full; killed: $took ms, status $status"
        # Else it had come to its end.
        if [ "$status" = 137 ] && [ "$took" -lt $((full * 3 / 4)) ]; then
            expect "" "$(dmsetup table --inactive life)" "the table"
            unclaimed "$WORK/fat/file"
            remove life
            umount "$WORK/fat"
            return
        fi
    done
    fail "it never ended early"
}

# The file is fragmented, and a file system is at work on the device meanwhile.
under_a_file_system() {
    local round
    make_fragmented "$FILE" $((32 << 20))
    loop_create life "$FILE" 0 $((16 << 11))
    fs_format ext4 /dev/mapper/life
    mkdir -p "$WORK/inner"
    mount /dev/mapper/life "$WORK/inner"
    dd if=/dev/zero of="$WORK/inner/zeros" bs=1M count=200 status=none 2>/dev/null &
    for round in 20 24 32; do
        switch "0 $((round << 11)) loop $FILE 0"
    done
    wait
    rm "$WORK/inner/zeros"
    resize2fs /dev/mapper/life
    make_file "$WORK/inner/data" $((20 << 20)) 4
    umount "$WORK/inner"
    fs_check ext4 /dev/mapper/life
    remove life
    modprobe loop
    mount -o loop,ro "$FILE" "$WORK/inner"
    pattern verify "$WORK/inner/data" 0 $((20 << 20)) 4
    umount "$WORK/inner"
}

fs_make ext4
plan 9
check "larger and smaller windows of the same file" other_windows
check "tables that never become active" loaded_tables
check "another file" other_file
check "loads that fail" failed_loads
check "read-only and back" read_only_and_back
check "read-only under an opener who writes" seen_by_an_opener block_mapped
check "read-only under an opener who writes, file-mapped" seen_by_an_opener file_mapped
check "under a mounted file system" under_a_file_system
fs_end
check "killed while its table is loaded" killed
