#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 8G --disk 2G,logical_block_size=4096 --cpus 1 --mem 1G
#
# Loading and unloading the module, and mounting and unmounting below it.
. ./lib.sh
. ./lib-lock.sh

SIZE=$((4 << 20))
FILE=$MNT/file
loaded() { [ -d /sys/module/dm_loop ]; }

# dmsetup has it loaded; refused tables leave no reference behind.
loaded_on_demand() {
    ! loaded || rmmod dm_loop
    make_file "$FILE" "$SIZE"
    loop_create life "$FILE" 0
    loaded
    expect 1 "$(cat /sys/module/dm_loop/refcnt)"
    dmsetup targets | grep -qx 'loop  *v1\.0\.0'
    remove life
    expect 0 "$(cat /sys/module/dm_loop/refcnt)"
    rmmod dm_loop
    if dmsetup targets | grep -q '^loop '; then fail "the target is still there"; fi
    fails_with "failed" dmsetup create life --table "0 8 loop $MNT/nowhere 0"
    fails_with "failed" dmsetup create life --table "0 8 loop $FILE 0 1 x"
    fails_with "failed" dmsetup create life --table "0 8 loop $FILE $SIZE"
    loaded
    expect 0 "$(cat /sys/module/dm_loop/refcnt)"
    rmmod dm_loop
    unclaimed "$FILE"
}

# in_use WHAT: neither rmmod nor modprobe -r takes it away.
in_use() {
    fails_with "is in use" rmmod dm_loop
    fails_with "is in use" modprobe -r dm-loop
    pattern verify --direct /dev/mapper/life 0 4096 1
}

not_while_in_use() {
    make_file "$FILE" "$SIZE"
    loop_create life "$FILE" 0 8
    in_use
    dmsetup load life --table "0 16 loop $FILE 0"
    expect 2 "$(cat /sys/module/dm_loop/refcnt)"
    dmsetup resume life
    expect 1 "$(cat /sys/module/dm_loop/refcnt)"
    in_use
    loop_create second "$FILE" 8192 8
    expect 2 "$(cat /sys/module/dm_loop/refcnt)"
    remove second
    in_use
    dmsetup suspend life
    fails_with "is in use" rmmod dm_loop
    dmsetup resume life
    # A table that is only loaded counts as well.
    dmsetup load life --table "0 8 zero"
    in_use
    dmsetup clear life
    remove life
    rmmod dm_loop
    unclaimed "$FILE"
}

loaded_again() {
    local round
    make_file "$FILE" "$SIZE"
    for round in 1 2 3 4 5; do
        modprobe dm-loop
        loop_create life "$FILE" 0
        pattern write --direct /dev/mapper/life 4096 4096 "$round"
        remove life
        rmmod dm_loop
        pattern verify "$FILE" 4096 4096 "$round"
    done
    # While somebody else makes devices: an errno or a device, but nothing worse.
    for round in {1..20}; do
        modprobe dm-loop
        rmmod dm_loop 2>/dev/null &
        if dmsetup create life --table "0 8 loop $FILE 0"; then
            wait $! || true
            remove life
        else
            wait $!
        fi
    done
    ! loaded || rmmod dm_loop
    unclaimed "$FILE"
}

not_loaded_twice() {
    modprobe dm-loop
    fails_with "File exists" insmod "$(modinfo -n dm-loop)"
    rmmod dm_loop
}

# The file keeps its file system busy, until the device is gone: then at once it is not.
unmounting() {
    local round
    mkdir "$WORK/below"
    fs_make "$1" "$(disk 1)" "$WORK/below"
    make_file "$WORK/below/file" "$SIZE"
    for round in 1 2 3; do
        loop_create life "$WORK/below/file" 0
        fails_with "target is busy" umount "$WORK/below"
        fails_with "mount point is busy" mount -o remount,ro "$WORK/below"
        pattern write --direct /dev/mapper/life 0 4096 "$round"
        remove life
        umount "$WORK/below"
        fs_check "$1" "$(disk 1)"
        mount "$(disk 1)" "$WORK/below"
        pattern verify "$WORK/below/file" 0 4096 "$round"
    done
    umount "$WORK/below"
    rmdir "$WORK/below"
}

# Out of sight, but not gone as long as the device is there.
lazily_unmounted() {
    fs_make ext4 "$(disk 1)" "$WORK/lazy"
    make_file "$WORK/lazy/file" "$SIZE"
    loop_create life "$WORK/lazy/file" 0
    umount --lazy "$WORK/lazy"
    fails_with "failed" dmsetup create second --table "0 8 loop $WORK/lazy/file 0"
    pattern write --direct /dev/mapper/life 0 "$SIZE" 2
    fails_with "apparently in use" mkfs.ext4 -q "$(disk 1)" </dev/null
    dmsetup table life
    remove life
    fs_check ext4 "$(disk 1)"
    mount "$(disk 1)" "$WORK/lazy"
    pattern verify "$WORK/lazy/file" 0 "$SIZE" 2
    umount "$WORK/lazy"
}

fs_make ext4
plan 9
check "loaded on demand" loaded_on_demand
check "not unloaded while in use" not_while_in_use
check "loaded and unloaded again and again" loaded_again
check "not loaded twice" not_loaded_twice
for kind in ext4 xfs btrfs f2fs; do
    check "$kind: not unmounted while in use" unmounting "$kind"
done
check "lazily unmounted while in use" lazily_unmounted
fs_end
