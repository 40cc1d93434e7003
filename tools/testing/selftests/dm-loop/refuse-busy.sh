#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 8G --disk 2G,logical_block_size=4096 --cpus 1 --mem 1G
#
# Files that somebody else uses, and a file on the very device that is to show it.
. ./lib.sh
. ./lib-refuse.sh

BUSY="Backing file is in use"
SIZE=$((4 << 20))

# A swap file stays one, and is free afterwards.
swap_file() {
    local file=$MNT/swap
    make_file "$file" "$SIZE"
    mkswap -q "$file"
    swapon "$file"
    SEALED=1 file_refused EBUSY "$BUSY" "$file" 0
    SEALED=1 file_refused EBUSY "$BUSY" "$file" 0 - block_mapped
    SEALED=1 file_refused EBUSY "$BUSY" --readonly "$file" 0 8 block_mapped
    # It still has the flag.
    fails_with "Text file busy" truncate -s 0 "$file"
    swapoff "$file"
    loop_create swap "$file" 0
    swapon_on_device
    remove swap
    unclaimed "$file"
}

# The other way round: a device of a file is a fine place for swap space.
swapon_on_device() {
    swapon /dev/mapper/swap
    grep -q "^$(realpath /dev/mapper/swap) " /proc/swaps
    swapoff /dev/mapper/swap
}

# used SECTOR COUNT [OPTION]: refused, with another device there.
used() { MENTIONED=$FILE refused EBUSY "$BUSY" "0 $2 loop $FILE $(($1 * 512))" ${3:+"$3"}; }
free() {
    loop_create ${3:+"$3"} second "$FILE" $(($1 * 512)) "$2"
    remove second
}

# With sectors 1000 to 1999 in use.
ranges() {
    make_file "$FILE" "$SIZE"
    loop_create first "$FILE" 512000 1000
    used 0 8192
    used 1000 1000
    used 1999 1
    used 1000 1
    used 999 2
    used 1500 10
    used 0 1001
    used 1500 10 --readonly
    free 0 1000
    free 2000 1
    free 2000 6192
    pattern verify --direct /dev/mapper/first 0 512000 1 512000
    remove first
    unclaimed "$FILE"
}

# Readers may share, and keep writers away.
readers() {
    make_file "$FILE" "$SIZE"
    loop_create --readonly first "$FILE" 512000 1000
    free 0 8192 --readonly
    free 1000 1000 --readonly
    used 1500 10
    free 0 1000
    remove first
    unclaimed "$FILE"
}

# The same file under another name, through a link, and through another mount.
other_names() {
    make_file "$FILE" "$SIZE"
    ln "$FILE" "$FILE.hard"
    ln -s "$FILE" "$FILE.soft"
    mkdir "$WORK/bound"
    mount --bind "$MNT" "$WORK/bound"
    loop_create first "$FILE" 0
    refused EBUSY "$BUSY" "0 8 loop $FILE.hard 0"
    refused EBUSY "$BUSY" "0 8 loop $FILE.soft 0"
    refused EBUSY "$BUSY" "0 8 loop $WORK/bound/file 0"
    remove first
    loop_create first "$WORK/bound/file" 0
    refused EBUSY "$BUSY" "0 8 loop $FILE 0"
    fails_with "target is busy" umount "$WORK/bound"
    remove first
    umount "$WORK/bound"
    unclaimed "$FILE"
}

# Two lines of one table may overlap, two devices not even when one is loaded only.
inactive_table() {
    make_file "$FILE" "$SIZE"
    dmsetup create first --notable
    dmsetup load first --table "0 100 loop $FILE 0"
    used 0 100
    dmsetup clear first
    free 0 100
    remove first
}

# The file lies on a file system on the device that gets the new table.
on_itself() {
    local sectors=$((1 << 20)) table
    dmsetup create self --table "0 $sectors linear $(disk 0) 0"
    fs_make ext4 /dev/mapper/self "$WORK/self"
    make_file "$WORK/self/file" "$SIZE"
    table="0 $((SIZE / 512)) loop $WORK/self/file 0"
    MENTIONED=$WORK/self/file refused_by ELOOP "Backing file is on the device itself" "$table" load self
    refused_by ELOOP "Backing file is on the device itself" "$table 1 block_mapped" load self
    refused_by ELOOP "Backing file is on the device itself" "$table 1 file_mapped" load self
    unclaimed "$WORK/self/file"
    # On another device it can be mapped.
    dmsetup create other --table "$table"
    remove other
    umount "$WORK/self"
    remove self
}

fs_make ext4
FILE=$MNT/file
refusals_begin
plan 6
check "a swap file in use" swap_file
check "ranges that another device writes to" ranges
check "ranges that another device reads" readers
check "one file under several names" other_names
check "a table that is loaded, not active" inactive_table
fs_end
check "the device itself" on_itself
