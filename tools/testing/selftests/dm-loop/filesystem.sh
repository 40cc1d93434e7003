#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# File systems live on a device, block-mapped and file-mapped: made, mounted, filled,
# unmounted, checked, and found again on a new device on the same file.
#
# vm: --disk 8G --disk 2G,logical_block_size=4096 --cpus 1 --mem 1G
. ./lib.sh

KINDS=(ext4 xfs btrfs f2fs vfat)
plan $((2 * ${#KINDS[@]} + 2))
FEATURE=block_mapped
FILE=$MNT/file
INNER=$WORK/inner

# lives KIND [OFFSET SECTORS]
lives() {
    local kind=$1 offset=${2:-0} sectors=${3:--}
    loop_create t0 "$FILE" "$offset" "$sectors" "$FEATURE"
    fs_make "$kind" /dev/mapper/t0 "$INNER"
    fill "$INNER"
    umount "$INNER"
    fs_check "$kind" /dev/mapper/t0
    remove t0
    loop_create t0 "$FILE" "$offset" "$sectors" "$FEATURE"
    mount -t "$(fs_type "$kind")" /dev/mapper/t0 "$INNER"
    filled "$INNER"
    rm -r "$INNER/folder1"
    fstrim "$INNER" || [ "$kind" = vfat ]
    umount "$INNER"
    fs_check "$kind" /dev/mapper/t0
    remove t0
}

# A partition of a disk image, at the place that old tools chose; the table stays as it is.
partition() {
    printf '%s\n' 'label: dos' '63,65536' '66048,131072' | sfdisk -q "$FILE"
    sfdisk -d "$FILE" >"$WORK/before"
    lives ext4 32256 65536
    sfdisk -d "$FILE" | diff "$WORK/before" -
}

fs_make ext4
# xfs wants 300 MiB. Zeros, but written.
dd if=/dev/zero of="$FILE" bs=4M count=80 conv=fsync status=none
for fs in "${KINDS[@]}"; do
    check "$fs on a device" lives "$fs"
done
check "ext4 on a partition at sector 63" partition
rm "$FILE"
make_fragmented "$FILE" $((24 << 20))
check "ext4 on a device of 6,144 pieces" lives ext4
rm "$FILE"*
# By turns, and on files that have nothing to begin with.
modes=(direct_io buffered_io)
for n in "${!KINDS[@]}"; do
    make_sparse "$FILE" $((320 << 20))
    FEATURE=${modes[n % 2]}
    check "${KINDS[n]} on a sparse file, $FEATURE" lives "${KINDS[n]}"
done
fs_end
