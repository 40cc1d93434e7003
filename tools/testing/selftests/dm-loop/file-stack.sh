#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 8G --cpus 1 --mem 1G
#
# Stacks on file-mapped devices: two halves as one, a snapshot, encryption, a thin pool, and
# dm-loop on dm-loop. On each a file system is made, filled, and checked.
. ./lib.sh
. ./lib-file.sh

SECTORS=$((64 * 2048))
INNER=$WORK/inner
mkdir "$INNER"

# sparse NAME SECTORS [FEATURE…]: a device on a new sparse file of that name.
sparse() {
    file_make sparse "$FOLDER/$1" $(($2 * 512))
    loop_create "$1" "$FOLDER/$1" 0 - "${@:3}"
    [[ $(dmsetup status "$1") == *" loop file "* ]]
}

# used DEVICE: a file system is made on it and filled; it stays.
used() {
    mkfs.ext4 -qF "$1"
    mount "$1" "$INNER"
    fill "$INNER"
    fstrim "$INNER" || true
    umount "$INNER"
    e2fsck -fn "$1"
}
# still_there DEVICE
still_there() {
    e2fsck -fn "$1"
    mount -o ro "$1" "$INNER"
    filled "$INNER"
    umount "$INNER"
}

two_as_one() {
    sparse half0 $((SECTORS / 2)) "$1"
    sparse half1 $((SECTORS / 2)) "$1"
    dmsetup create both <<TABLE
0 $((SECTORS / 2)) linear /dev/mapper/half0 0
$((SECTORS / 2)) $((SECTORS / 2)) linear /dev/mapper/half1 0
TABLE
    used /dev/mapper/both
    remove both half0 half1
    drop_caches
    cat "$FOLDER"/half{0,1} >"$FOLDER/whole"
    mount -o loop,ro "$FOLDER/whole" "$INNER"
    filled "$INNER"
    umount "$INNER"
    rm "$FOLDER"/{whole,half0,half1}
}

snapshot() {
    sparse origin "$SECTORS" "$1"
    used /dev/mapper/origin
    sparse changes "$SECTORS" "$1"
    # Who wants to see the origin meanwhile does so through a device of its own.
    dmsetup create seen --table "0 $SECTORS snapshot-origin /dev/mapper/origin"
    dmsetup create kept --table "0 $SECTORS snapshot /dev/mapper/origin /dev/mapper/changes P 8"
    mount /dev/mapper/kept "$INNER"
    rm -r "$INNER"/folder*
    make_file "$INNER/new" $((8 << 20))
    umount "$INNER"
    still_there /dev/mapper/seen
    # The same snapshot, made again from its file.
    remove kept changes
    loop_create changes "$FOLDER/changes" 0 - "$1"
    dmsetup create kept --table "0 $SECTORS snapshot /dev/mapper/origin /dev/mapper/changes P 8"
    e2fsck -fn /dev/mapper/kept
    mount -o ro /dev/mapper/kept "$INNER"
    pattern verify "$INNER/new" 0 $((8 << 20)) 1
    umount "$INNER"
    remove kept changes seen origin
    rm "$FOLDER"/{origin,changes}
}

encrypted() {
    sparse cipher "$SECTORS" "$1"
    head -c 64 /dev/zero | tr '\0' k >"$WORK/key"
    cryptsetup open --type plain --cipher aes-xts-plain64 --key-size 512 --key-file "$WORK/key" \
        /dev/mapper/cipher clear
    used /dev/mapper/clear
    cryptsetup close clear
    ! e2fsck -fn "$FOLDER/cipher" || fail "the file holds a file system in the clear"
    cryptsetup open --type plain --cipher aes-xts-plain64 --key-size 512 --key-file "$WORK/key" \
        /dev/mapper/cipher clear
    still_there /dev/mapper/clear
    cryptsetup close clear
    remove cipher
    rm "$FOLDER/cipher"
}

# Blocks come into being where they are used, at both levels, and go again.
thin() {
    local before
    sparse metadata 8192 "$1"
    sparse data "$SECTORS" "$1"
    dmsetup create pool --table "0 $SECTORS thin-pool /dev/mapper/metadata /dev/mapper/data 128 0"
    dmsetup message pool 0 "create_thin 0"
    # Larger than its pool.
    dmsetup create slim --table "0 $((SECTORS * 4)) thin /dev/mapper/pool 0"
    used /dev/mapper/slim
    still_there /dev/mapper/slim
    sync -f "$FOLDER"
    before=$(allocated "$FOLDER/data")
    blkdiscard /dev/mapper/slim
    sync -f "$FOLDER"
    [ "$(allocated "$FOLDER/data")" -lt $((before / 2)) ] ||
        fail "$before KiB became $(allocated "$FOLDER/data")"
    remove slim pool metadata data
    rm "$FOLDER"/{metadata,data}
}

# The writes of one become work of the next one below.
nested() {
    local level folder
    sparse level0 $((SECTORS * 4)) "$1"
    for level in 1 2; do
        mkfs.ext4 -qF "/dev/mapper/level$((level - 1))"
        folder=$WORK/level$((level - 1))
        mkdir "$folder"
        mount "/dev/mapper/level$((level - 1))" "$folder"
        make_sparse "$folder/file" $((SECTORS * 512 * (3 - level)))
        loop_create "level$level" "$folder/file" 0 - "$1"
    done
    used /dev/mapper/level2
    fio --minimal --allow_file_create=0 --filename=/dev/mapper/level2 --thread --direct=1 --ioengine=io_uring \
        --iodepth=32 --verify=crc32c --verify_fatal=1 --name=load --rw=randwrite --bs=4k-64k --size=32m \
        --io_size=8m --fsync=50 | awk -F';' '$5 != 0 { exit 1 }'
    remove level2
    umount "$WORK/level1"
    remove level1
    umount "$WORK/level0"
    e2fsck -fn /dev/mapper/level0
    remove level0
    rmdir "$WORK"/level{0,1}
    rm "$FOLDER/level0"
}

plan 10
host_begin xfs
for mode in direct_io buffered_io; do
    check "$mode: two halves as one" two_as_one "$mode"
    check "$mode: a snapshot" snapshot "$mode"
    check "$mode: encrypted" encrypted "$mode"
    check "$mode: thin provisioning" thin "$mode"
    check "$mode: dm-loop on dm-loop on dm-loop" nested "$mode"
done
host_end
