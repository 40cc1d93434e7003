#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 8G --cpus 1 --mem 1G
#
# A host that has no room left fails the writes that do not fit, and no others; what was
# written stays right, and with room everything works again. Likewise at a quota.
. ./lib.sh
. ./lib-file.sh

MIB=$((1 << 20))
SIZE=$((24 * MIB)) STEP=$((64 << 10)) ROOM=$((8 * MIB))
SMALL=/dev/mapper/small

fill_device() { program fill.py "$1" /dev/mapper/t0 "$SIZE" "$STEP" "$2" "$WORK/failed"; }

# small_disk MIB: room for a file system that is soon full.
small_disk() {
    dmsetup create small --table "0 $(($1 * 2048)) linear $(disk 0) 0"
    is_block small
}

# leave_room: FOLDER/filler takes all but ROOM bytes and less than a mebibyte. No file system
# says beforehand how much it will give.
leave_room() {
    local size=0 step
    for step in $((16 * MIB)) $MIB; do
        while fallocate -o "$size" -l "$step" "$MNT/filler" 2>/dev/null; do
            size=$((size + step))
        done
    done
    truncate -s $((size - ROOM)) "$MNT/filler"
    sync -f "$MNT"
}

# overfilled ERRNO COMMAND…: only some of the device can be written, until COMMAND. It is
# written in order: nothing fails as long as there is room, and nothing is taken after that.
# (In a quota, blocks that say where the data lies count, too.)
overfilled() {
    local errno=$1 taken first
    shift
    taken=$(fill_device write 2)
    expect $(((SIZE - taken) / STEP)) "$(wc -l <"$WORK/failed")" "failures"
    first=$(head -n 1 "$WORK/failed" | cut -d' ' -f1)
    expect "$taken" "$first" "bytes before the first failure"
    [ "$taken" -ge $((ROOM - STEP)) ] || fail "only $taken bytes fitted, where there was room for $ROOM"
    [ "$taken" -lt $((ROOM + MIB)) ] || fail "$taken bytes fitted, where there was room for $ROOM"
    expect "$errno" "$(cut -d' ' -f2 "$WORK/failed" | sort -u)" "errors"
    # What could be written can be written again, except where that takes new room.
    [ "$HOST" = btrfs-cow ] || pattern write --direct /dev/mapper/t0 0 "$STEP" 2
    drop_caches
    fill_device verify 2

    "$@"
    expect "$SIZE" "$(fill_device write 3)" "bytes that fit with enough room"
    fill_device verify 3
    remove t0
    drop_caches
    pattern verify "$FILE" 0 "$SIZE" 3
}

more_room() {
    rm "$MNT/filler"
    sync -f "$MNT"
    # Some give blocks back in their own time.
    wait_until has_room
}
has_room() { [ $(($(stat -f -c "%a * %S" "$MNT"))) -ge $((2 * SIZE)) ]; }

# full MODE
full() {
    leave_room
    file_make sparse "$FILE" "$SIZE"
    loop_create t0 "$FILE" 0 - "$1_io"
    mapped_as t0 "$1" requested
    overfilled ENOSPC more_room
    rm "$FILE"
}

# A buffered file on NFS learns at the flush that the server has no room; so must the
# writer.
full_at_the_flush() {
    leave_room
    file_make sparse "$FILE" "$SIZE"
    loop_create t0 "$FILE" 0 - buffered_io
    if dd if=/dev/zero of=/dev/mapper/t0 bs=1M count=$((SIZE / MIB)) oflag=direct conv=fsync,notrunc; then
        fail "all of it was flushed to where it does not fit"
    fi
    more_room
    # A flush that fails may leave pages behind; what becomes of those is told later.
    dd if=/dev/null of=/dev/mapper/t0 conv=fsync,notrunc || true
    pattern write --direct /dev/mapper/t0 0 "$SIZE" 3
    remove t0
    pattern verify "$MNT/file" 0 "$SIZE" 3
    rm "$FILE"
}

# A suspend finds that out as well, but has nobody to tell.
found_by_a_suspend() {
    leave_room
    file_make sparse "$FILE" "$SIZE"
    loop_create t0 "$FILE" 0 - buffered_io
    dd if=/dev/zero of=/dev/mapper/t0 bs=1M count=$((SIZE / MIB)) oflag=direct conv=notrunc
    kmsg_mark
    dmsetup suspend t0
    kmsg_since | grep -F "cannot sync a suspended device"
    dmsetup resume t0
    more_room
    if dd if=/dev/null of=/dev/mapper/t0 conv=fsync,notrunc; then fail "what was lost has been flushed"; fi
    remove t0
    rm "$FILE"
}

# quota KIND MODE: of the project, or of the user, that owns the file.
quota() {
    local errno
    mkfs.xfs -qf "$SMALL"
    mount -o "$1quota" "$SMALL" "$MNT"
    FILE=$MNT/file
    case $1 in
    prj)
        xfs_quota -x -c "project -s -p $MNT 42" -c "limit -p bhard=$((ROOM / MIB))m 42" "$MNT"
        # As for a file system that is full.
        errno=ENOSPC
        ;;
    u)
        xfs_quota -x -c "limit -u bhard=$((ROOM / MIB))m 1000" "$MNT"
        # The block layer has no word for EDQUOT.
        errno=EIO
        ;;
    esac
    file_make sparse "$FILE" "$SIZE"
    chown 1000 "$FILE"
    loop_create t0 "$FILE" 0 - "$2_io"
    overfilled "$errno" no_quota "$1"
    umount "$MNT"
}
no_quota() {
    case $1 in
    prj) xfs_quota -x -c "limit -p bhard=0 42" "$MNT" ;;
    u) xfs_quota -x -c "limit -u bhard=0 1000" "$MNT" ;;
    esac
}

# The limit of a process is about the files that it writes to itself.
size_limit() {
    local mode
    fs_make ext4
    FILE=$MNT/file
    for mode in direct buffered; do
        file_make sparse "$FILE" "$SIZE"
        (
            ulimit -f 1
            loop_create t0 "$FILE" 0 - "${mode}_io"
            dd if=/dev/zero bs=64k count=16 seek=256 of=/dev/mapper/t0 oflag=direct conv=notrunc
            python3 "$HERE/pattern.py" write --direct /dev/mapper/t0 0 $MIB 2
        )
        pattern verify --direct /dev/mapper/t0 0 $MIB 2
        remove t0
        pattern verify "$FILE" 0 $MIB 2
    done
    fs_end
}

plan 14
# What a failed check left.
again() {
    ! list_devices | grep -qx t0 || remove t0
    rm -f "$MNT"/{filler,file}
}

small_disk 400
for host in ext4 xfs btrfs-cow nfs; do
    host_begin "$host" "$SMALL"
    FILE=$FOLDER/file
    check "$host, direct: no room" full direct
    again
    if [ "$host" = nfs ]; then
        check "$host, buffered: no room" full_at_the_flush
        again
        check "$host, buffered: no room, found by a suspend" found_by_a_suspend
    else
        check "$host, buffered: no room" full buffered
    fi
    again
    host_end
done
for mode in direct buffered; do
    check "quota of a project, $mode" quota prj "$mode"
    check "quota of a user, $mode" quota u "$mode"
done
remove small
check "a limit on the size of files" size_limit
