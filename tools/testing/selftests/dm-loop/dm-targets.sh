#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 8G --disk 2G,logical_block_size=4096 --cpus 1 --mem 1G
#
# Several targets in one table, and several devices, on one file.
. ./lib.sh
. ./lib-lock.sh

SIZE=$((8 << 20))
SECTORS=$((SIZE / 512))
FILE=$MNT/file

# The pieces of the file in reverse order, 33 sectors each.
reversed() {
    local count=60 piece=33 n
    for ((n = 0; n < count; n++)); do
        echo "$((n * piece)) $piece loop $FILE $(((count - 1 - n) * piece * 512))"
    done
}

many_targets() {
    local count=60 bytes=$((33 * 512)) n
    make_fragmented "$FILE" "$SIZE"
    reversed >"$WORK/table"
    dmsetup create many <"$WORK/table"
    is_block many
    dmsetup table many | diff "$WORK/table" -
    expect "$count" "$(dmsetup status many | wc -l)"
    for n in 0 1 30 59; do
        dd if=/dev/mapper/many of="$WORK/piece" bs="$bytes" skip="$n" count=1 status=none
        dd if="$FILE" of="$WORK/wanted" bs="$bytes" skip=$((count - 1 - n)) count=1 status=none
        cmp "$WORK/piece" "$WORK/wanted"
    done
    # Bios across the borders of targets.
    head -c $((count * bytes)) /dev/urandom >"$WORK/data"
    dd if="$WORK/data" of=/dev/mapper/many bs=1M oflag=direct status=none
    remove many
    for ((n = 0; n < count; n++)); do
        dd if="$FILE" bs="$bytes" skip=$((count - 1 - n)) count=1 status=none
    done | cmp - "$WORK/data"
    pattern verify "$FILE" $((count * bytes)) $((SIZE - count * bytes)) 1
    unclaimed "$FILE"
}

# The same sectors twice in one device: it is one owner, so it may.
overlapping_targets() {
    make_file "$FILE" "$SIZE"
    dmsetup create twice <<TABLE
0 $SECTORS loop $FILE 0
$SECTORS $SECTORS loop $FILE 0
TABLE
    is_block twice
    pattern verify --direct /dev/mapper/twice "$SIZE" "$SIZE" 1 "-$SIZE"
    pattern write --direct /dev/mapper/twice 4096 4096 2
    pattern verify --direct /dev/mapper/twice $((SIZE + 4096)) 4096 2 "-$SIZE"
    remove twice
    pattern verify "$FILE" 4096 4096 2
    pattern verify "$FILE" 8192 $((SIZE - 8192)) 1
}

# Files on two file systems, and targets of other kinds between them.
mixed() {
    fs_make xfs "$(disk 1)" "$WORK/second"
    make_file "$FILE" "$SIZE"
    make_file "$WORK/second/file" "$SIZE" 2
    dmsetup create mixed <<TABLE
0 $SECTORS loop $FILE 0
$SECTORS 2048 zero
$((SECTORS + 2048)) $((SECTORS - 8)) loop $WORK/second/file 4096 1 no_discard
$((2 * SECTORS + 2040)) 8 error
TABLE
    is_block mixed
    pattern verify /dev/mapper/mixed 0 "$SIZE" 1
    cmp -n $((1 << 20)) -i "$SIZE:0" /dev/mapper/mixed /dev/zero
    # Past the page cache, which would read on into the target that fails.
    pattern verify --direct /dev/mapper/mixed $((SIZE + (1 << 20))) $((SIZE - 4096)) 2 $((4096 - SIZE - (1 << 20)))
    expect 4096 "$(queue /dev/mapper/mixed logical_block_size)"
    fails_with "target is busy" umount "$WORK/second"
    remove mixed
    umount "$WORK/second"
    unclaimed "$FILE"
}

# Two devices, one half each, written to at the same time; the file is theirs until the
# last is gone.
two_devices() {
    local half=$((SIZE / 2))
    make_fragmented "$FILE" "$SIZE"
    loop_create low "$FILE" 0 $((SECTORS / 2))
    loop_create high "$FILE" "$half"
    python3 "$HERE/pattern.py" write --direct /dev/mapper/low 0 "$half" 2 &
    pattern write --direct /dev/mapper/high 0 "$half" 3 "$half"
    wait
    remove low
    claimed "$FILE"
    pattern verify --direct /dev/mapper/high 0 "$half" 3 "$half"
    loop_create low "$FILE" 0 $((SECTORS / 2))
    pattern verify --direct /dev/mapper/low 0 "$half" 2
    remove high
    claimed "$FILE"
    remove low
    pattern verify "$FILE" 0 "$half" 2
    pattern verify "$FILE" "$half" "$half" 3
    unclaimed "$FILE"
}

shared_by_readers() {
    local n
    make_file "$FILE" "$SIZE"
    for n in 1 2 3 4 5; do
        loop_create --readonly "reader$n" "$FILE" $((n * 512))
    done
    for n in 1 2 3 4 5; do
        pattern verify "/dev/mapper/reader$n" 0 $((SIZE - n * 512)) 1 $((n * 512))
        remove "reader$n"
        [ "$n" = 5 ] || claimed "$FILE"
    done
    unclaimed "$FILE"
}

# Each has the file open for writing when the first one claims it; and in the next round, those
# of the last round may not have closed it yet.
at_the_same_moment() {
    local part=$((SECTORS / 8)) round n makers
    make_fragmented "$FILE" "$SIZE"
    for round in 1 2 3 4 5; do
        makers=()
        for n in 0 1 2 3 4 5 6 7; do
            dmsetup create --noudevsync "part$n" --table "0 $part loop $FILE $((n * part * 512)) 1 block_mapped" &
            makers+=($!)
        done
        for n in "${makers[@]}"; do wait "$n"; done
        udevadm settle
        for n in 0 1 2 3 4 5 6 7; do
            pattern verify --direct "/dev/mapper/part$n" 0 $((part * 512)) 1 $((n * part * 512))
        done
        remove part{0..7}
    done
    unclaimed "$FILE"
}

fs_make ext4
plan 6
check "sixty targets on one file" many_targets
check "targets that overlap" overlapping_targets
check "two file systems and other targets" mixed
check "two devices on disjoint ranges" two_devices
check "five readers" shared_by_readers
check "eight devices on parts of one file, made at the same moment" at_the_same_moment
fs_end
