#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Files of less than a page, or with a last page that they do not fill: mapped up to their
# last whole block, and refused beyond that.
#
# smoke
# vm: --disk 8G --disk 2G,logical_block_size=4096 --cpus 1 --mem 1G
. ./lib.sh

SIZES=(100 1000 4096 5000 10000)
plan $((${#FILE_SYSTEMS[@]} * ${#SIZES[@]}))
DISK=$(disk 0)
FILE=$MNT/file

# works BYTES SECTORS: mapped, written and read.
works() {
    local size=$1 sectors=$2 length=$(($2 * 512))
    loop_create t0 "$FILE" 0 "$sectors" block_mapped
    pattern verify --direct /dev/mapper/t0 0 "$length" 1 -- \
        write --direct /dev/mapper/t0 0 "$length" 2 -- \
        verify-disk "$FILE" 0 "$length" 2 "$DISK"
    remove t0
    pattern verify "$FILE" 0 "$length" 2 -- \
        verify "$FILE" "$length" $((size - length)) 1
}

# refused BYTES SECTORS: and the file is as before, and can be written.
refused() {
    loop_refused EOPNOTSUPP "Cannot block-map: file layout is misaligned" "$FILE" 0 "$2" block_mapped
    pattern verify "$FILE" 0 "$1" 1 -- \
        write "$FILE" 0 "$1" 4 -- verify "$FILE" 0 "$1" 4
}

# small KIND BYTES: as many sectors as can be mapped, and not one more.
small() {
    local kind=$1 size=$2 sectors=$(($2 / 512)) mappable
    make_file "$FILE" "$size"
    mappable=$(mappable_sectors "$FILE")
    # It keeps a small file in its inode.
    [ "$kind" != f2fs ] || [ "$size" -ge 4096 ] || mappable=0
    loop_refused EINVAL "Device does not fit in the backing file" \
        "$FILE" 0 $((sectors + 1)) block_mapped
    if [ "$sectors" != "$mappable" ]; then
        refused "$size" "$sectors"
        make_file "$FILE" "$size"
    fi
    [ "$mappable" = 0 ] || works "$size" "$mappable"
}

for fs in "${FILE_SYSTEMS[@]}"; do
    fs_make "$fs"
    for size in "${SIZES[@]}"; do
        check "$fs: a file of $size bytes" small "$fs" "$size"
    done
    fs_end
done
