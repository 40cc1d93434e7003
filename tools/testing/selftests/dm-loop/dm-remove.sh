#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 8G --disk 2G,logical_block_size=4096 --cpus 1 --mem 1G
#
# The end of a device: removed, removed while open, by force or deferred; and its name.
. ./lib.sh
. ./lib-lock.sh

SIZE=$((8 << 20))
FILE=$MNT/file

# prepare: a device on a new file, open as descriptor $device.
prepare() {
    make_file "$FILE" "$SIZE"
    loop_create life "$FILE" 0
    pattern write --direct /dev/mapper/life 0 "$SIZE" 2
    exec {device}<>/dev/mapper/life
}

holds_new_data() {
    pattern verify "$FILE" 0 "$SIZE" 2
    unclaimed "$FILE"
}

removed_in_use() {
    prepare
    fails_with "Device or resource busy" dmsetup remove life
    claimed "$FILE"
    pattern verify --direct /dev/mapper/life 0 "$SIZE" 2
    exec {device}<&-
    remove life
    holds_new_data
}

# All I/O fails from then on; the file is free although the device is still open.
by_force() {
    prepare
    dmsetup remove --force life || true
    expect "0 $((SIZE / 512)) error" "$(dmsetup table life | sed 's/ $//')"
    holds_new_data
    fails_with "Input/output error" dd if="/proc/self/fd/$device" bs=4096 count=1 iflag=direct
    exec {device}<&-
    remove life
}

# Its name goes first.
removed() { [ -z "$(list_devices)" ] && [ "$(</sys/module/dm_loop/refcnt)" = 0 ]; }

# It works as long as somebody has it open, and goes with the last.
deferred() {
    prepare
    dmsetup remove --deferred life
    claimed "$FILE"
    pattern verify --direct "/proc/$BASHPID/fd/$device" 0 "$SIZE" 2
    exec {device}<&-
    udevadm settle
    wait_until removed
    holds_new_data
}

wiped() {
    prepare
    dmsetup wipe_table life
    holds_new_data
    exec {device}<&-
    remove life
}

renamed() {
    prepare
    dmsetup rename life "other name"
    [ ! -e /dev/mapper/life ]
    [ -b "/dev/mapper/other\\x20name" ]
    expect "0 $((SIZE / 512)) loop $FILE 0" "$(dmsetup table "other name")"
    pattern verify --direct "/proc/$BASHPID/fd/$device" 0 "$SIZE" 2
    claimed "$FILE"
    # The old name is free for another device.
    make_file "$FILE.2" "$SIZE" 3
    loop_create life "$FILE.2" 0
    dmsetup rename "other name" third
    pattern verify --direct /dev/mapper/third 0 "$SIZE" 2
    pattern verify --direct /dev/mapper/life 0 "$SIZE" 3
    dmsetup rename third --setuuid LOOP-third
    if dmsetup remove -u LOOP-third; then fail "removed although open"; fi
    exec {device}<&-
    dmsetup remove --retry -u LOOP-third
    remove life
    holds_new_data
}

# At once after removal, again and again.
again_and_again() {
    local round
    make_file "$FILE" "$SIZE"
    for round in {1..10}; do
        loop_create life "$FILE" 0
        pattern write --direct /dev/mapper/life $((round * 4096)) 4096 "$round"
        remove life
        pattern verify "$FILE" $((round * 4096)) 4096 "$round"
        pattern write "$FILE" 0 4096 $((round + 100))
        loop_create life "$FILE" 0
        pattern verify --direct /dev/mapper/life 0 4096 $((round + 100))
        remove life
    done
    unclaimed "$FILE"
}

fs_make ext4
plan 6
check "not while it is open" removed_in_use
check "by force" by_force
check "deferred" deferred
check "table wiped" wiped
check "renamed" renamed
check "made and removed again and again" again_and_again
fs_end
