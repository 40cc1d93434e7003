#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 8G --disk 2G,logical_block_size=4096 --cpus 1 --mem 1G --timeout 1800
#
# Files on a disk with sectors of 4096 bytes: a device that is made of such blocks has them
# and goes past the page cache; another has sectors of 512 bytes, and loses nothing.
. ./lib.sh
. ./lib-file.sh

SIZE=$((4 << 20))
DISK=$(disk 1)
expect 4096 "$(blockdev --getss "$DISK")" "sectors of the disk" || skip_all "no disk with large sectors"

# limits LOGICAL PHYSICAL
limits() {
    expect "$1" "$(blockdev --getss /dev/mapper/t0)" "logical block"
    expect "$2" "$(blockdev --getpbsz /dev/mapper/t0)" "physical block"
}

# written OFFSET BYTES: through the device; what lies around in the file is still empty.
written() {
    pattern write --direct /dev/mapper/t0 0 "$2" 2 "$1" -- \
        verify --direct /dev/mapper/t0 0 "$2" 2 "$1" -- \
        verify "$FILE" "$1" "$2" 2 -- \
        zeros "$FILE" 0 "$1" -- zeros "$FILE" $(($1 + $2)) $((SIZE - $1 - $2))
}

aligned() {
    local mode
    for mode in direct buffered; do
        make_sparse "$FILE" "$SIZE"
        loop_create t0 "$FILE" 8192 $(((SIZE - 16384) / 512)) "${mode}_io"
        mapped_as t0 "$mode" requested
        if [ "$mode" = direct ]; then
            limits 4096 4096
            fails_with "Invalid argument" pattern write --direct /dev/mapper/t0 512 512 2
        else
            limits 512 4096
        fi
        written 8192 $((SIZE - 16384))
        remove t0
        drop_caches
        pattern verify "$FILE" 8192 $((SIZE - 16384)) 2
    done
}

by_default() {
    make_sparse "$FILE" "$SIZE"
    loop_create t0 "$FILE" 0
    mapped_as t0 direct sparse
    limits 4096 4096
    remove t0
    # Neither can be block-mapped, for what the disk cannot do.
    make_file "$FILE" "$SIZE"
    loop_create t0 "$FILE" 512 1024
    mapped_as t0 buffered misaligned
    limits 512 512
    remove t0
    loop_create t0 "$FILE" 0 1023
    expect misaligned "$(dmsetup status t0 | cut -d' ' -f6)"
    limits 512 512
    remove t0
}

# Direct I/O cannot reach any byte of such a window.
begins_within_a_block() {
    local offset
    for offset in 512 32256 2560; do
        make_sparse "$FILE" "$SIZE"
        loop_refused EINVAL "Backing file does not support direct I/O" "$FILE" "$offset" 1025 direct_io
        loop_create t0 "$FILE" "$offset" 1025
        mapped_as t0 buffered misaligned
        limits 512 512
        written "$offset" $((1025 * 512))
        remove t0
        drop_caches
        pattern verify "$FILE" "$offset" $((1025 * 512)) 2
    done
    make_sparse "$FILE" "$SIZE"
    loop_create t0 "$FILE" 512 1
    written 512 512
    remove t0
}

# Whole blocks go past the page cache, parts of one through it: they must not lose each
# other's data.
ends_within_a_block() {
    local mode=$1 i jobs=()
    make_sparse "$FILE" "$SIZE"
    loop_create t0 "$FILE" 4096 1025 "${mode}_io"
    limits 512 512
    written 4096 $((1025 * 512))
    for i in {0..31}; do
        jobs+=(write --direct /dev/mapper/t0 $((i * 8192)) 4096 3 4096 --
            write --direct /dev/mapper/t0 $((i * 8192 + 512)) 512 4 4096 --
            write --direct /dev/mapper/t0 $((i * 8192 + 4096)) 4096 5 4096 --
            write --direct /dev/mapper/t0 $((i * 8192 + 3584)) 1024 6 4096 --)
    done
    for i in {0..31}; do
        jobs+=(verify --direct /dev/mapper/t0 $((i * 8192)) 512 3 4096 --
            verify --direct /dev/mapper/t0 $((i * 8192 + 512)) 512 4 4096 --
            verify --direct /dev/mapper/t0 $((i * 8192 + 1024)) 2560 3 4096 --
            verify --direct /dev/mapper/t0 $((i * 8192 + 3584)) 1024 6 4096 --
            verify --direct /dev/mapper/t0 $((i * 8192 + 4608)) 3584 5 4096 --)
    done
    pattern "${jobs[@]}" verify --direct /dev/mapper/t0 $((32 * 8192)) $((1025 * 512 - 32 * 8192)) 2 4096
    remove t0
    drop_caches
    pattern verify "$FILE" 8704 3584 5
}

# Every kind of file there is, in windows that are made of the disk's blocks and that are not.
any_kind() {
    local kind=$1 mode=$2 features window offset length
    read -ra features <<<"$(features_for "$HOST" "$kind" "$mode" | xargs)"
    for window in "8192 1048576" "4096 1025024"; do
        read -r offset length <<<"$window"
        file_make "$kind" "$FILE" "$SIZE"
        loop_create t0 "$FILE" "$offset" $((length / 512)) "${features[@]}"
        is_new /dev/mapper/t0 0 "$length" "$offset"
        pattern write --direct /dev/mapper/t0 4096 65536 2 "$offset" -- \
            verify --direct /dev/mapper/t0 4096 65536 2 "$offset"
        remove t0
        drop_caches
        is_new "$FILE" 0 $((offset + 4096))
        pattern verify "$FILE" $((offset + 4096)) 65536 2
        is_new "$FILE" $((offset + 69632)) $((SIZE - offset - 69632))
    done
}

HOSTS_HERE=(ext4 xfs btrfs btrfs-cow f2fs vfat overlay fscrypt nfs)
each() { try "all of it" any_kind "$@"; }
plan $(($(kinds_count "${HOSTS_HERE[@]}") + 10))
each_kind "$DISK" each "${HOSTS_HERE[@]}"
for fs in ext4 xfs; do
    fs_make "$fs" "$DISK"
    FILE=$MNT/file
    check "$fs: a window made of the disk's blocks" aligned
    check "$fs: what is chosen by default" by_default
    check "$fs: a window that begins within a block" begins_within_a_block
    for mode in direct buffered; do
        check "$fs: a window that ends within a block, $mode" ends_within_a_block "$mode"
    done
    fs_end
done
