#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 8G --cpus 1 --mem 1G --timeout 2400
#
# File-mapped devices under load: fio checks what it writes, a file system on the device is
# filled, checked, and found again through the file alone.
. ./lib.sh
. ./lib-file.sh

SIZE=$((64 << 20))

# verified: random places and sizes, several jobs at once, each in a part of its own.
verified() {
    local features sector
    read -ra features <<<"$(features_for "$HOST" "$1" "$2" | xargs)"
    file_make "$1" "$FILE" "$SIZE"
    loop_create t0 "$FILE" 0 - "${features[@]}"
    sector=$(blockdev --getss /dev/mapper/t0)
    fio --minimal --allow_file_create=0 --filename=/dev/mapper/t0 --thread --direct=1 --ioengine=io_uring \
        --verify=crc32c --verify_fatal=1 --do_verify=1 --serialize_overlap=1 \
        --bsrange="$sector-128k" --bs_unaligned=0 --blockalign="$sector" --io_size=4m \
        --name=random --rw=randwrite --iodepth=16 --offset=0 --size=16m \
        --name=sequential --rw=write --iodepth=8 --offset=16m --size=16m \
        --name=mixed --rw=randrw --iodepth=4 --offset=32m --size=16m --fsync=16 \
        --name=slow --rw=randwrite --iodepth=1 --offset=48m --size=16m --sync=1 --io_size=1m |
        awk -F';' '$5 != 0 { print; exit 1 } END { exit NR != 4 }'
    remove t0
}

# filled_inside: mkfs, fill, check, look again.
filled_inside() {
    local features inner=$WORK/inner
    read -ra features <<<"$(features_for "$HOST" "$1" "$2" | xargs)"
    file_make "$1" "$FILE" "$SIZE"
    loop_create t0 "$FILE" 0 - "${features[@]}"
    mkfs.ext4 -qF /dev/mapper/t0
    mkdir -p "$inner"
    mount /dev/mapper/t0 "$inner"
    fill "$inner"
    umount "$inner"
    e2fsck -fn /dev/mapper/t0
    remove t0
    drop_caches
    mount -o loop,ro "$FILE" "$inner"
    filled "$inner"
    umount "$inner"
}

each() {
    try "what fio writes is what it reads" verified "$@"
    try "a file system on the device" filled_inside "$@"
}
plan $((2 * $(kinds_count "${HOSTS[@]}")))
each_kind "$(disk 0)" each "${HOSTS[@]}"
