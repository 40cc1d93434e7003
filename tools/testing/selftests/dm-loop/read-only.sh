#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Devices made with --readonly show the file and change nothing; of files that only can be
# read, no others can be made.
#
# vm: --disk 8G --disk 2G,logical_block_size=4096 --cpus 1 --mem 1G
. ./lib.sh

plan $((${#FILE_SYSTEMS[@]} + 4))
FILE=$MNT/file
SIZE=1048576

# refuses_writes: t0, in every way that there is.
refuses_writes() {
    expect 1 "$(blockdev --getro /dev/mapper/t0)" "read-only flag"
    expect ro "$(dmsetup info -c --noheadings -o read_only t0 | sed 's/^Read-only$/ro/')" "dmsetup info"
    fails_with "not permitted" dd if=/dev/zero of=/dev/mapper/t0 bs=4096 count=1 conv=notrunc,fsync
    fails_with "not permitted" dd if=/dev/zero of=/dev/mapper/t0 bs=4096 count=1 conv=notrunc oflag=direct
    fails_with "not permitted" blkdiscard -l 4096 /dev/mapper/t0
    fails_with "not permitted" blkdiscard -z -l 4096 /dev/mapper/t0
    pattern verify --direct /dev/mapper/t0 0 "$SIZE" 1 -- verify /dev/mapper/t0 0 "$SIZE" 1
}

read_only() {
    loop_create --readonly t0 "$FILE" 0 - block_mapped
    refuses_writes
    # Writable again it is with a new table only.
    blockdev --setrw /dev/mapper/t0
    refuses_writes
    remove t0
    pattern verify "$FILE" 0 "$SIZE" 1 -- write "$FILE" 0 4096 1
}

# On a file system that is mounted read-only.
read_only_mount() {
    mount -o remount,ro "$MNT"
    loop_refused EROFS "Cannot open backing file" "$FILE" 0 - block_mapped
    loop_create --readonly t0 "$FILE" 0 - block_mapped
    refuses_writes
    remove t0
    mount -o remount,rw "$MNT"
    pattern verify "$FILE" 0 "$SIZE" 1
}

immutable() {
    chattr +i "$FILE"
    loop_refused EPERM "Cannot open backing file" "$FILE" 0 - block_mapped
    loop_create --readonly t0 "$FILE" 0 - block_mapped
    refuses_writes
    remove t0
    chattr -i "$FILE"
}

# An image of a file system, which stays as it is.
image() {
    make_file "$FILE" 8388608
    loop_create t0 "$FILE" 0 - block_mapped
    fs_make ext4 /dev/mapper/t0 "$WORK/inner"
    echo hello >"$WORK/inner/hello"
    umount "$WORK/inner"
    remove t0
    sha256sum "$FILE" >"$WORK/sum"
    loop_create --readonly t0 "$FILE" 0 - block_mapped
    ! mount --rw -t ext4 -o noload /dev/mapper/t0 "$WORK/inner" || fail "mounted writable"
    mount -t ext4 -o ro /dev/mapper/t0 "$WORK/inner"
    expect hello "$(<"$WORK/inner/hello")" "a file in the file system"
    umount "$WORK/inner"
    remove t0
    sha256sum --quiet -c "$WORK/sum"
}

for fs in "${FILE_SYSTEMS[@]}"; do
    fs_make "$fs"
    make_file "$FILE" "$SIZE"
    check "$fs: a read-only device" read_only
    case $fs in
    ext4)
        check "ext4: mounted read-only" read_only_mount
        check "ext4: an immutable file" immutable
        ;;
    xfs)
        check "xfs: mounted read-only" read_only_mount
        check "xfs: a file system in the file" image
        ;;
    esac
    fs_end
done
