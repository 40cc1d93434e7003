#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 8G --disk 2G,logical_block_size=4096 --cpus 1 --mem 1G
#
# Suspending and resuming, with I/O going on.
. ./lib.sh
. ./lib-lock.sh

SIZE=$((16 << 20))
SECTORS=$((SIZE / 512))
FILE=$MNT/file

# Writes to the device, and checks what it wrote.
load() {
    if ! fio --name=job --filename=/dev/mapper/life --allow_file_create=0 --direct=1 --bs=4k,64k \
        --rw=randrw --size="$SIZE" --ioengine=libaio --iodepth=16 --time_based --runtime=4 \
        --verify=crc32c --verify_fatal=1 --verify_backlog=64 --output="$WORK/fio" ||
        ! grep -q "err= 0" "$WORK/fio"; then
        cat "$WORK/fio"
        return 1
    fi
}

# The device is suspended again and again meanwhile.
during() {
    local round loader options
    make_fragmented "$FILE" "$SIZE"
    loop_create life "$FILE" 0
    until_enough load &
    loader=$!
    sleep 3
    for round in {1..12}; do
        kill -0 "$loader"
        # shellcheck disable=SC2206 # several words
        options=($1)
        dmsetup suspend "${options[@]}" life
        expect SUSPENDED "$(dmsetup info -c --noheadings -o suspended life | tr "[:lower:]" "[:upper:]")"
        [ -z "$2" ] || dmsetup load life --table "0 $SECTORS loop $FILE 0"
        dmsetup resume life
    done
    touch "$WORK/enough"
    wait "$loader"
    remove life
}

# A write waits for the resume, and is then done.
write_waits() {
    local writer
    make_file "$FILE" "$SIZE"
    loop_create life "$FILE" 0
    dmsetup suspend life
    python3 "$HERE/pattern.py" write --direct /dev/mapper/life 0 4096 2 &
    writer=$!
    sleep 1
    kill -0 "$writer"
    # Not suspended by that: nobody may touch the file.
    claimed "$FILE"
    pattern verify "$FILE" 0 4096 1
    dmsetup resume life
    wait "$writer"
    pattern verify --direct /dev/mapper/life 0 4096 2
    remove life
    pattern verify "$FILE" 0 4096 2
}

removed_while_suspended() {
    make_file "$FILE" "$SIZE"
    loop_create life "$FILE" 0
    pattern write --direct /dev/mapper/life 0 "$SIZE" 2
    # Whoever reads it while it is suspended keeps it open.
    udevadm settle
    dmsetup suspend life
    remove life
    pattern verify "$FILE" 0 "$SIZE" 2
    unclaimed "$FILE"
}

fs_make ext4
plan 5
check "suspend and resume under I/O" during "" ""
check "with a new table each time" during "" reload
check "without flushing, with a new table each time" during "--noflush --nolockfs" reload
check "a write waits for the resume" write_waits
check "removed while suspended" removed_while_suspended
fs_end
