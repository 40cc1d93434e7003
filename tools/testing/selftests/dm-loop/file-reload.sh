#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 8G --cpus 2 --mem 1G
#
# The life of a file-mapped device: suspended and resumed under load, given other tables,
# made of several targets, removed while it is in use. Two CPUs: bios come, are worked on and
# end at the same time.
. ./lib.sh
. ./lib-file.sh

MIB=$((1 << 20))
SIZE=$((16 * MIB)) SECTORS=$((16 * 2048))

# dirty: KiB of the page cache that are not on any disk yet.
dirty() { awk '/^(Dirty|Writeback):/ { n += $2 } END { print n }' /proc/meminfo; }

# Writes to the device, on each CPU to a half of its own, and checks what it wrote.
load() {
    if ! fio --minimal --allow_file_create=0 --filename=/dev/mapper/t0 --thread --direct=1 --ioengine=io_uring \
        --iodepth=16 --verify=crc32c --verify_fatal=1 --verify_backlog=64 --bs=4k-32k --fsync=100 \
        --cpus_allowed=0-1 --cpus_allowed_policy=split --numjobs=2 --offset_increment=$((SIZE / 2)) \
        --name=load --rw=randwrite --size=$((SIZE / 2)) --time_based --runtime=4 >"$WORK/fio" 2>&1 ||
        ! awk -F';' '$1 == 3 && $5 == 0 { good++ } END { exit good != 2 }' "$WORK/fio"; then
        cat "$WORK/fio"
        return 1
    fi
}

# under_load MODE: fio checks what it reads, while the device stands still now and then.
under_load() {
    local round loader options
    file_make sparse "$FILE" "$SIZE"
    loop_create t0 "$FILE" 0 - "$1_io"
    until_enough load &
    loader=$!
    for round in {1..12}; do
        options=()
        [ $((round % 3)) != 1 ] || options+=(--noflush)
        [ $((round % 3)) != 2 ] || options+=(--nolockfs)
        dmsetup suspend "${options[@]}" t0
        expect SUSPENDED "$(dmsetup info -c --noheadings -o suspended t0 | tr '[:lower:]' '[:upper:]')"
        expect 0 "$(dmsetup status t0 | cut -d' ' -f7)" "bios in flight while suspended"
        dmsetup resume t0
        sleep 0.3
    done
    kill -0 "$loader"
    touch "$WORK/enough"
    wait "$loader"
    remove t0
}

# What is written meanwhile waits.
waits_for_resume() {
    local writer
    file_make sparse "$FILE" "$SIZE"
    loop_create t0 "$FILE" 0 - "$1_io"
    dmsetup suspend t0
    python3 "$HERE/pattern.py" write --direct /dev/mapper/t0 0 65536 2 &
    writer=$!
    sleep 3
    kill -0 "$writer" || fail "written to a suspended device"
    pattern zeros "$FILE" 0 65536
    dmsetup resume t0
    wait "$writer"
    pattern verify "$FILE" 0 65536 2
    remove t0
}

# A suspended device can be copied as it is, unless nobody wants that.
suspend_syncs() {
    local before
    sync
    echo 3000 >/proc/sys/vm/dirty_writeback_centisecs
    file_make sparse "$FILE" "$SIZE"
    loop_create t0 "$FILE" 0 - buffered_io
    for options in "--noflush --nolockfs" ""; do
        dd if=/dev/urandom of=/dev/mapper/t0 bs=1M count=16 oflag=direct conv=notrunc status=none
        before=$(dirty)
        [ "$before" -gt 8192 ] || fail "only $before KiB are dirty"
        # shellcheck disable=SC2086 # words
        dmsetup suspend $options t0
        if [ -n "$options" ]; then
            [ "$(dirty)" -gt 8192 ] || fail "synced with $options"
        else
            [ "$(dirty)" -lt 2048 ] || fail "$(dirty) of $before KiB are still dirty"
        fi
        dmsetup resume t0
    done
    remove t0
    echo 500 >/proc/sys/vm/dirty_writeback_centisecs
}

switch() {
    dmsetup load "${@:2}" t0 --table "$1"
    dmsetup resume t0
}

other_tables() {
    file_make sparse "$FILE" "$SIZE"
    file_make sparse "$FILE.2" "$SIZE"
    loop_create t0 "$FILE" 0 $((SECTORS / 2))
    pattern write --direct /dev/mapper/t0 0 $((SIZE / 2)) 2
    switch "0 $SECTORS loop $FILE 0 1 buffered_io"
    mapped_as t0 buffered requested
    pattern verify --direct /dev/mapper/t0 0 $((SIZE / 2)) 2 -- \
        zeros --direct /dev/mapper/t0 $((SIZE / 2)) $((SIZE / 2)) -- \
        write --direct /dev/mapper/t0 $((SIZE / 2)) $((SIZE / 2)) 3
    switch "0 1001 loop $FILE 512"
    mapped_as t0 direct in_use
    expect 1001 "$(blockdev --getsz /dev/mapper/t0)"
    pattern verify --direct /dev/mapper/t0 0 $((1001 * 512)) 2 512
    switch "0 $SECTORS loop $FILE.2 0"
    mapped_as t0 direct sparse
    pattern zeros --direct /dev/mapper/t0 0 "$SIZE"
    # A load that fails changes nothing.
    fails_with "failed" dmsetup load t0 --table "0 $SECTORS loop $FILE 512"
    fails_with "failed" dmsetup load t0 --table "0 $SECTORS loop $FILE.2 0 1 block_mapped"
    pattern write --direct /dev/mapper/t0 0 65536 4
    switch "0 $SECTORS loop $FILE.2 0" --readonly
    fails_with "not permitted" pattern write --direct /dev/mapper/t0 0 4096 5
    # To no file at all, and back: nobody has it open any more.
    switch "0 8 zero"
    pattern verify "$FILE.2" 0 65536 4
    # Written in full by now, so that it could be block-mapped.
    switch "0 $SECTORS loop $FILE 0"
    expect block "$(dmsetup status t0 | cut -d' ' -f4)"
    pattern verify --direct /dev/mapper/t0 0 $((SIZE / 2)) 2 -- \
        verify --direct /dev/mapper/t0 $((SIZE / 2)) $((SIZE / 2)) 3
    remove t0
}

# In one table: two parts of a sparse file in reverse order, a block-mapped file, a disk.
several_targets() {
    local half=$((SIZE / 2)) sectors=$((SECTORS / 2))
    file_make sparse "$FILE" "$SIZE"
    make_file "$FILE.2" "$half" 5
    dmsetup create t0 <<TABLE
0 $sectors loop $FILE $half
$sectors $sectors loop $FILE 0 1 buffered_io
$SECTORS $sectors loop $FILE.2 0 1 block_mapped
$((SECTORS + sectors)) 8 zero
TABLE
    is_block t0
    expect "direct buffered" "$(dmsetup status t0 | awk '$4 == "file" { print $5 }' | xargs)"
    # Across the borders too.
    pattern write --direct /dev/mapper/t0 512 $((2 * half - 512)) 2 -- \
        verify --direct /dev/mapper/t0 $((2 * half)) "$half" 5 $((-2 * half)) -- \
        write --direct /dev/mapper/t0 $((2 * half - 4096)) 8192 6
    remove t0
    pattern zeros "$FILE" "$half" 512 -- verify "$FILE" $((half + 512)) $((half - 512)) 2 $((-half)) -- \
        verify "$FILE" 0 $((half - 4096)) 2 "$half" -- verify "$FILE" $((half - 4096)) 4096 6 "$half" -- \
        verify "$FILE.2" 0 4096 6 $((2 * half)) -- verify "$FILE.2" 4096 $((half - 4096)) 5
}

# The device goes while it is open and busy.
removed_by_force() {
    local fio
    file_make sparse "$FILE" "$SIZE"
    loop_create t0 "$FILE" 0 - "$1_io"
    fio --minimal --allow_file_create=0 --filename=/dev/mapper/t0 --thread --direct=1 --ioengine=io_uring \
        --iodepth=16 --name=load --rw=randwrite --bs=4k --size="$SIZE" --time_based --runtime=60 >"$WORK/fio" 2>&1 &
    fio=$!
    sleep 3
    kill -0 "$fio" || fail "fio: $(cat "$WORK/fio")"
    # Busy it cannot be removed, but what is below it is let go.
    dmsetup remove --force t0 || true
    ! wait "$fio" || fail "fio has not noticed: $(cat "$WORK/fio")"
    expect "" "$(dmsetup table t0 2>/dev/null | grep loop)" || fail "the file is still mapped"
    ! dmsetup info t0 >/dev/null 2>&1 || remove t0
    rm "$FILE"
    umount "$FOLDER"
    mount "$(disk 0)" "$FOLDER"
}

plan 10
host_begin ext4
FILE=$FOLDER/file
for mode in direct buffered; do
    check "$mode: suspend and resume under load" under_load "$mode"
    check "$mode: a suspended device waits" waits_for_resume "$mode"
    check "$mode: removed by force under load" removed_by_force "$mode"
done
check "suspend brings the file to the disk" suspend_syncs
check "other tables" other_tables
check "several targets in one table" several_targets
host_end
host_begin nfs
FILE=$FOLDER/file
check "nfs: suspend and resume under load" under_load direct
host_end
