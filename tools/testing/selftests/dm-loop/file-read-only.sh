#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 8G --cpus 1 --mem 1G
#
# File-mapped devices that can only be read: files of read-only file systems, read-only
# mounts, and tables.
. ./lib.sh
. ./lib-file.sh

SIZE=$((2 << 20))
CONTENT=$WORK/content
mkdir "$CONTENT"
make_file "$CONTENT/file" $((SIZE + 700))

# only_read NAME: the device shows SIZE bytes of the file, and takes nothing.
only_read() {
    expect 1 "$(blockdev --getro "/dev/mapper/$1")"
    pattern verify --direct "/dev/mapper/$1" 0 "$SIZE" 1 -- verify "/dev/mapper/$1" 0 "$SIZE" 1
    fails_with "not permitted" pattern write --direct "/dev/mapper/$1" 0 4096 2
    ! blkdiscard "/dev/mapper/$1" || fail "discarded"
    ! blkdiscard -z "/dev/mapper/$1" || fail "zeroed"
    pattern verify --direct "/dev/mapper/$1" 0 "$SIZE" 1
}

# archive MAKE…: an image with the file in it, on a disk of its own.
archive() {
    local type=$1 mode
    shift
    "$@"
    mount -t "$type" -o loop,ro "$WORK/image" "$MNT"
    loop_refused EROFS "Cannot open backing file" "$MNT/file" 0
    block_mapped_refused "$MNT/file" fs_unsupported --readonly
    loop_refused EINVAL "Backing file does not support direct I/O" --readonly "$MNT/file" 0 - direct_io
    for mode in "" buffered_io; do
        # shellcheck disable=SC2086 # nothing or a word
        loop_create --readonly t0 "$MNT/file" 0 - $mode
        mapped_as t0 buffered "$([ -n "$mode" ] && echo requested || echo fs_unsupported)"
        only_read t0
        remove t0
        loop_create --readonly t0 "$MNT/file" 32256 1001 $mode
        pattern verify --direct /dev/mapper/t0 0 $((1001 * 512)) 1 32256
        remove t0
    done
    umount "$MNT"
    rm "$WORK/image"
}

# read_again: until it is stopped, the whole device is what it was.
read_again() { python3 "$HERE/pattern.py" verify --direct /dev/mapper/t0 0 "$SIZE" 1; }

more_reads() { [ "$(disk_stat /dev/mapper/t0 1)" -gt "$1" ]; }

# Suspended under a reader, and given other parts of the file.
reloaded() {
    local reader round reads mode
    squashfs_mount
    loop_create --readonly t0 "$MNT/file" 0 $((SIZE / 512))
    until_enough read_again &
    reader=$!
    for round in {1..6}; do
        dmsetup suspend t0
        expect 0 "$(dmsetup status t0 | cut -d' ' -f7)" "bios in flight while suspended, round $round"
        reads=$(disk_stat /dev/mapper/t0 1)
        dmsetup resume t0
        wait_until more_reads "$reads"
    done
    kill -0 "$reader" || fail "the reader has failed"
    touch "$WORK/enough"
    wait "$reader"
    for mode in "" buffered_io; do
        # shellcheck disable=SC2086 # nothing or a word
        dmsetup load --readonly t0 --table "$(loop_table "$MNT/file" 32256 1001 $mode)"
        dmsetup resume t0
        expect 1001 "$(blockdev --getsz /dev/mapper/t0)"
        pattern verify --direct /dev/mapper/t0 0 $((1001 * 512)) 1 32256
        fails_with "not permitted" pattern write --direct /dev/mapper/t0 0 512 2
    done
    # Not to one that could be written, and what is there stays.
    fails_with "Read-only file system" dmsetup load t0 --table "$(loop_table "$MNT/file" 0)"
    pattern verify --direct /dev/mapper/t0 0 $((1001 * 512)) 1 32256
    remove t0
    squashfs_end
}

# As a live CD is made of: an image in an archive, and elsewhere what is changed of it.
snapshot() {
    local inner=$WORK/inner sectors=$((32 * 2048))
    mkdir "$inner"
    rm -f "$CONTENT/disk"
    make_sparse "$CONTENT/disk" $((sectors * 512))
    mkfs.ext4 -qF -O ^has_journal "$CONTENT/disk"
    squashfs_mount
    mount -t tmpfs tmpfs "$inner"
    make_sparse "$inner/changes" $((24 << 20))
    loop_create --readonly base "$MNT/disk" 0
    loop_create changes "$inner/changes" 0
    dmsetup create live --table "0 $sectors snapshot /dev/mapper/base /dev/mapper/changes N 8"
    mkdir "$WORK/live"
    mount /dev/mapper/live "$WORK/live"
    fill "$WORK/live"
    umount "$WORK/live"
    drop_caches
    e2fsck -fn /dev/mapper/live
    mount -o ro /dev/mapper/live "$WORK/live"
    filled "$WORK/live"
    umount "$WORK/live"
    cmp /dev/mapper/base "$CONTENT/disk"
    remove live changes base
    umount "$inner"
    rm "$CONTENT/disk"
    squashfs_end
}

squashfs_mount() {
    mksquashfs "$CONTENT" "$WORK/image" -quiet -no-progress
    mount -t squashfs -o loop,ro "$WORK/image" "$MNT"
}
squashfs_end() {
    umount "$MNT"
    rm "$WORK/image"
}
squashfs() { archive squashfs mksquashfs "$CONTENT" "$WORK/image" -quiet -no-progress; }
iso9660() { archive iso9660 xorriso -report_about WARNING -outdev "$WORK/image" -map "$CONTENT" /; }

# read_only_mount HOST: of a file system that could be written to.
read_only_mount() {
    local mode
    host_begin "$1"
    file_make sparse "$FOLDER/file" "$SIZE"
    pattern write "$FOLDER/file" 0 $((SIZE / 2)) 1
    mount -o remount,ro,bind "$FOLDER" 2>/dev/null || mount -o remount,ro "$FOLDER"
    loop_refused EROFS "Cannot open backing file" "$FOLDER/file" 0
    for mode in direct buffered; do
        loop_create --readonly t0 "$FOLDER/file" 0 - "${mode}_io"
        mapped_as t0 "$mode" requested
        pattern verify --direct /dev/mapper/t0 0 $((SIZE / 2)) 1 -- \
            zeros --direct /dev/mapper/t0 $((SIZE / 2)) $((SIZE / 2))
        fails_with "not permitted" pattern write --direct /dev/mapper/t0 0 4096 2
        remove t0
    done
    mount -o remount,rw "$FOLDER"
    host_end
}

read_only_table() {
    local mode
    host_begin ext4
    file_make sparse "$FOLDER/file" "$SIZE"
    pattern write "$FOLDER/file" 0 $((SIZE / 2)) 1
    for mode in direct buffered; do
        loop_create --readonly t0 "$FOLDER/file" 0 - "${mode}_io"
        expect 1 "$(blockdev --getro /dev/mapper/t0)"
        fails_with "not permitted" pattern write --direct /dev/mapper/t0 0 4096 2
        # There is nothing to give back where nothing can be written.
        expect 0 "$(queue /dev/mapper/t0 discard_max_bytes)" "discard of a read-only device"
        # A file system with a journal to replay is not changed by looking at it.
        pattern verify --direct /dev/mapper/t0 0 $((SIZE / 2)) 1
        remove t0
    done
    host_end
}

plan 7
check "squashfs" squashfs
rm -f "$WORK/image"
check "squashfs: suspended, other tables" reloaded
rm -f "$WORK/image"
check "squashfs: a snapshot above, its changes elsewhere" snapshot
rm -f "$WORK/image"
check "iso9660" iso9660
check "a read-only mount of xfs" read_only_mount xfs
check "a read-only mount of a tmpfs" read_only_mount tmpfs
check "a read-only table" read_only_table
