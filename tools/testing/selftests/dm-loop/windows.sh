#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A device shows the part of the file that its table names, to the sector, and changes
# nothing around it: at offsets that no file system has blocks at, in odd lengths, of a
# file whose size is no multiple of anything.
#
# vm: --disk 8G --disk 2G,logical_block_size=4096 --cpus 1 --mem 1G
. ./lib.sh

# Offset in bytes and length in sectors.
WINDOWS=(0:1001 512:1 512:all 32256:1001 32256:all 1052672:7 1052672:all)
# The same of a file in one piece: there a start is all that is added.
WHOLE=(0:1001 512:all 32256:1001 1052672:7)
plan $((${#FILE_SYSTEMS[@]} * (${#WHOLE[@]} + ${#WINDOWS[@]} + 1)))
DISK=$(disk 0)
FILE=$MNT/file
# Ends in the second sector of a block.
SIZE=2098898

# window OFFSET SECTORS|all
window() {
    local offset=$1 sectors=$2 length after
    [ "$sectors" != all ] || sectors=$(mappable_sectors "$FILE" "$offset")
    length=$((sectors * 512))
    after=$((offset + length))
    # Not synced: creating the device has to.
    pattern write "$FILE" 0 "$SIZE" 1
    loop_create t0 "$FILE" "$offset" "$sectors" block_mapped
    expect "$sectors" "$(blockdev --getsz /dev/mapper/t0)" "size of the device"
    pattern verify --direct /dev/mapper/t0 0 "$length" 1 "$offset" -- \
        write /dev/mapper/t0 0 "$length" 2 "$offset" -- \
        verify-disk "$FILE" "$offset" "$length" 2 "$DISK"
    remove t0
    pattern verify "$FILE" 0 "$offset" 1 -- \
        verify "$FILE" "$offset" "$length" 2 -- \
        verify "$FILE" "$after" $((SIZE - after)) 1
}

# last_block KIND: the last block, which the file does not fill, is the file system's. It
# clears the rest of it when the file gets longer.
last_block() {
    local sectors longer=8192
    sectors=$(mappable_sectors "$FILE")
    pattern write "$FILE" 0 "$SIZE" 1
    # FAT's blocks are sectors, and part of a sector is never mapped.
    [ "$1" = vfat ] || loop_refused EOPNOTSUPP "Cannot block-map: file layout is misaligned" \
        "$FILE" 0 $((sectors + 1)) block_mapped
    pattern verify "$FILE" 0 "$SIZE" 1 -- write "$FILE" 0 "$SIZE" 2
    loop_create t0 "$FILE" 0 "$sectors" block_mapped
    pattern write --direct /dev/mapper/t0 0 $((sectors * 512)) 3
    case $1 in
    f2fs) # Not while it is pinned.
        fails_with "Invalid argument" truncate -s $((SIZE + longer)) "$FILE"
        longer=0
        ;;
    *) truncate -s $((SIZE + longer)) "$FILE" ;;
    esac
    sync "$FILE"
    pattern verify --direct /dev/mapper/t0 0 $((sectors * 512)) 3
    remove t0
    pattern verify "$FILE" 0 $((sectors * 512)) 3 -- \
        verify "$FILE" $((sectors * 512)) $((SIZE - sectors * 512)) 2 -- \
        zeros "$FILE" "$SIZE" "$longer"
}

for fs in "${FILE_SYSTEMS[@]}"; do
    fs_make "$fs"
    make_file "$FILE" "$SIZE"
    for one in "${WHOLE[@]}"; do
        check "$fs, contiguous: ${one#*:} sectors from byte ${one%:*}" window "${one%:*}" "${one#*:}"
    done
    make_fragmented "$FILE" "$SIZE"
    for one in "${WINDOWS[@]}"; do
        check "$fs: ${one#*:} sectors from byte ${one%:*}" window "${one%:*}" "${one#*:}"
    done
    check "$fs: the last block, and a file that gets longer" last_block "$fs"
    fs_end
done
