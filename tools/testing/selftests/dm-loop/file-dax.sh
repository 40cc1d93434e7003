#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --cpus 1 --mem 1G --append memmap=320M!640M
#
# Files that are accessed past the block layer (DAX), on memory that stands for a disk: they
# cannot be block-mapped, and are file-mapped in both modes. With dax=never they can be.
. ./lib.sh
. ./lib-file.sh
. ./lib-refuse.sh

SIZE=$((4 << 20))
FILE=$MNT/file
PMEM=/dev/pmem0

mount_with() { mount -o "dax=$2" "$PMEM" "$MNT" && expect "$1" "$(stat -f -c %T "$MNT" | sed s,ext2/ext3,ext4,)"; }

refused_and_file_mapped() {
    local mode
    mount_with "$1" always
    make_file "$FILE" "$SIZE"
    expect yes "$(program statx.py dax "$FILE")" "DAX"
    not_block_mapped "file is on DAX" "$FILE"
    loop_create t0 "$FILE" 0
    [[ $(dmsetup status t0) == *" dax 0" ]] || fail "status: $(dmsetup status t0)"
    remove t0
    for mode in direct buffered; do
        make_file "$FILE" "$SIZE"
        loop_create t0 "$FILE" 4096 - "${mode}_io"
        pattern verify --direct /dev/mapper/t0 0 $((SIZE - 4096)) 1 4096 -- \
            write --direct /dev/mapper/t0 65536 65536 2 -- verify --direct /dev/mapper/t0 65536 65536 2
        remove t0
        pattern verify "$FILE" 0 69632 1 -- verify "$FILE" $((69632 + 65536)) $((SIZE - 69632 - 65536)) 1
    done
    umount "$MNT"
}

block_mapped_without() {
    mount_with "$1" never
    make_file "$FILE" "$SIZE"
    expect no "$(program statx.py dax "$FILE")" "DAX"
    loop_create t0 "$FILE" 0 - block_mapped
    pattern verify --direct /dev/mapper/t0 0 "$SIZE" 1 -- write --direct /dev/mapper/t0 0 "$SIZE" 2
    remove t0
    pattern verify "$FILE" 0 "$SIZE" 2
    umount "$MNT"
}

modprobe -a nd_e820 nd_pmem 2>/dev/null || true
udevadm settle
[ -b "$PMEM" ] || skip_all "this kernel makes no disk of memory"
refusals_begin
plan 4
for fs in ext4 xfs; do
    fs_format "$fs" "$PMEM"
    check "$fs: on DAX" refused_and_file_mapped "$fs"
    check "$fs: not on DAX" block_mapped_without "$fs"
done
