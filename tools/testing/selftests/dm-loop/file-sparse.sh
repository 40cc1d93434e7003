#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 8G --cpus 1 --mem 1G
#
# A sparse file stays sparse: what the device discards, or zeroes with leave to unmap, is
# given back to the file system, and nothing around it changes.
. ./lib.sh
. ./lib-file.sh

MIB=$((1 << 20))
SIZE=$((32 * MIB))
# What a file system may round up or keep for itself, in KiB.
SLACK=512

# taken: the KiB that the file takes where it really is.
taken() {
    local file=$FILE
    [ "$HOST" != nfs ] || file=$MNT/file
    sync -- "$FILE"
    # Not the file itself there: the client may have to give it back first.
    sync -f "$FOLDER" && sync -f "$MNT"
    allocated "$file"
}

# gave_back KIB BEFORE
gave_back() {
    local now
    now=$(taken)
    [ $((now + $1)) -le $(($2 + SLACK)) ] || fail "$2 KiB became $now, and not $1 less"
}

# device MODE [FEATURE…]: t0, on a new sparse file.
device() {
    file_make sparse "$FILE" "$SIZE"
    loop_create t0 "$FILE" 0 - "$1_io" "${@:2}"
}

trimmed() {
    local before inner=$WORK/inner
    device "$1"
    mkfs.ext4 -qF -E nodiscard /dev/mapper/t0
    [ "$(taken)" -lt $((SIZE / 4096)) ] || fail "an empty file system takes $(taken) KiB"
    mkdir -p "$inner"
    mount /dev/mapper/t0 "$inner"
    make_file "$inner/large" $((16 * MIB))
    make_file "$inner/small" $MIB
    before=$(taken)
    [ "$before" -ge $((17 * 1024)) ] || fail "17 MiB of data take $before KiB"
    rm "$inner/large"
    sync
    fstrim "$inner"
    gave_back $((16 * 1024)) "$before"
    pattern verify "$inner/small" 0 $MIB 1
    umount "$inner"
    e2fsck -fn /dev/mapper/t0
    remove t0
}

# cut_out OFFSET LENGTH COMMAND…: COMMAND empties that part of the device, and no other.
cut_out() {
    local offset=$1 length=$2
    shift 2
    pattern write --direct /dev/mapper/t0 0 $((8 * MIB)) 2
    "$@"
    pattern zeros --direct /dev/mapper/t0 "$offset" "$length" -- \
        zeros "$FILE" "$offset" "$length" -- \
        verify --direct /dev/mapper/t0 0 "$offset" 2 -- \
        verify --direct /dev/mapper/t0 $((offset + length)) $((8 * MIB - offset - length)) 2
}

discarded() {
    local before
    device "$1"
    [ "$(queue /dev/mapper/t0 discard_max_bytes)" -gt $MIB ] || fail "no discard is offered"
    pattern write --direct /dev/mapper/t0 0 $((8 * MIB)) 2
    before=$(taken)
    cut_out $((2 * MIB)) $((4 * MIB)) blkdiscard -o $((2 * MIB)) -l $((4 * MIB)) /dev/mapper/t0
    gave_back 4096 "$before"
    # Zeroes that may be unmapped.
    cut_out $MIB $((4 * MIB)) fallocate -p -o $MIB -l $((4 * MIB)) /dev/mapper/t0
    gave_back 4096 "$before"
    # Zeroes that may not: the blocks stay.
    cut_out $MIB $((2 * MIB)) blkdiscard -z -o $MIB -l $((2 * MIB)) /dev/mapper/t0
    [ $(($(taken) + SLACK)) -ge "$before" ] || fail "$before KiB became $(taken)"
    # Not a block, and not at one.
    if [ "$(blockdev --getss /dev/mapper/t0)" = 512 ]; then
        cut_out 33280 1536 fallocate -p -o 33280 -l 1536 /dev/mapper/t0
    fi
    cut_out 4096 4096 blkdiscard -z -o 4096 -l 4096 /dev/mapper/t0
    remove t0
    drop_caches
    pattern zeros "$FILE" 4096 4096 -- verify "$FILE" 8192 $((8 * MIB - 8192)) 2
}

# What begins and ends in the middle of blocks of the file.
shifted() {
    file_make sparse "$FILE" "$SIZE"
    pattern write "$FILE" 0 $((9 * MIB)) 1
    loop_create t0 "$FILE" 512 $((8 * 2048 + 1)) "$1_io"
    fallocate -p -o 0 -l $((8 * MIB)) /dev/mapper/t0
    remove t0
    pattern verify "$FILE" 0 512 1 -- zeros "$FILE" 512 $((8 * MIB)) -- \
        verify "$FILE" $((8 * MIB + 512)) $((MIB - 512)) 1
}

not_discarded() {
    expect 0 "$(queue /dev/mapper/t0 discard_max_bytes)"
    fails_with "Operation not supported" blkdiscard /dev/mapper/t0
}

not_offered() {
    local before
    device "$1" no_discard
    pattern write --direct /dev/mapper/t0 0 $MIB 2
    before=$(taken)
    not_discarded
    pattern verify --direct /dev/mapper/t0 0 $MIB 2
    [ "$(taken)" -ge "$before" ] || fail "$before KiB became $(taken)"
    # Zeroes are data like any.
    blkdiscard -z -l 65536 /dev/mapper/t0
    pattern zeros --direct /dev/mapper/t0 0 65536
    remove t0
}

# errors: how many bios have failed.
errors() { dmsetup message t0 0 stat | cut -d' ' -f6; }

# cannot_punch: a file system that can give nothing back; zeroes have to be written.
cannot_punch() {
    local kind
    kind=$(kinds_of "$HOST")
    file_make "$kind" "$FILE" "$SIZE"
    loop_create t0 "$FILE" 0 - file_mapped
    pattern write --direct /dev/mapper/t0 0 $((8 * MIB)) 2
    case $HOST in
    # It can do something of the kind, so that discard is offered. What the file system refuses,
    # the kernel takes for a hint that nobody followed, and tells of no error.
    vfat)
        [ "$(queue /dev/mapper/t0 discard_max_bytes)" -gt $MIB ] || fail "no discard is offered"
        blkdiscard /dev/mapper/t0
        [ "$(errors)" -gt 0 ] || fail "the discard has not reached the file system"
        ;;
    9p) not_discarded ;;
    esac
    pattern verify --direct /dev/mapper/t0 0 $((8 * MIB)) 2
    cut_out $MIB $MIB blkdiscard -z -o $MIB -l $MIB /dev/mapper/t0
    remove t0
}

HOSTS_HERE=(ext4 xfs btrfs-cow f2fs tmpfs overlay nfs)
plan $((${#HOSTS_HERE[@]} * 5 + 3))
for host in "${HOSTS_HERE[@]}"; do
    host_begin "$host"
    FILE=$FOLDER/file
    for mode in direct buffered; do
        check "$host, $mode: fstrim" trimmed "$mode"
        check "$host, $mode: discard and zeroes" discarded "$mode"
    done
    check "$host, buffered: discard within blocks" shifted buffered
    [ "$host" != ext4 ] || check "no_discard: nothing is given back" not_offered direct
    host_end
done
for host in vfat 9p; do
    lack=$(host_lacks "$host")
    if [ -n "$lack" ]; then
        skip "$host: nothing can be given back" "$lack"
        continue
    fi
    host_begin "$host"
    FILE=$FOLDER/file
    check "$host: nothing can be given back" cannot_punch
    host_end
done
