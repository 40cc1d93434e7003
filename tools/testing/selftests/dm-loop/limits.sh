#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The limits of the host's disk hold for the device, as they do for dm-linear: block sizes,
# cache, discard and so on; on a disk with sectors of 4,096 bytes, too, where other offsets
# and lengths are refused.
#
# vm: --disk 8G --disk 2G,logical_block_size=4096 --cpus 1 --mem 1G
. ./lib.sh

plan 15
# But for atomic writes: extents may split them.
ATTRIBUTES=(
    queue/{logical,physical}_block_size queue/{minimum,optimal}_io_size
    queue/{discard_granularity,discard_max_bytes,discard_max_hw_bytes,discard_zeroes_data}
    queue/write_zeroes_{max_bytes,unmap_max_bytes,unmap_max_hw_bytes}
    queue/{max_sectors_kb,max_hw_sectors_kb,max_segments,max_segment_size}
    queue/{write_cache,fua,rotational,dma_alignment,zoned,chunk_sectors,virt_boundary_mask}
    queue/{stable_writes,dax,add_random}
    alignment_offset discard_alignment
)
FILE=$MNT/file

# attributes DEVICE
attributes() {
    local folder name
    folder=/sys/block/$(kernel_name "$1")
    for name in "${ATTRIBUTES[@]}"; do
        [ ! -e "$folder/$name" ] || echo "$name: $(<"$folder/$name")"
    done
}

# linear DISK: the attributes of a dm-linear device on it.
linear() {
    dmsetup create t1 --table "0 2048 linear $1 0"
    attributes /dev/mapper/t1
    remove t1
}

same_limits() {
    loop_create t0 "$FILE" 0 2048 block_mapped
    attributes /dev/mapper/t0 >"$WORK/loop"
    remove t0
    [ "$(wc -l <"$WORK/loop")" -ge 20 ] || fail "only $(wc -l <"$WORK/loop") attributes"
    diff "$WORK/linear" "$WORK/loop"
}

block_size() {
    loop_create t0 "$FILE" 0 2048 block_mapped
    expect "$1" "$(queue /dev/mapper/t0 logical_block_size)" "logical block size"
    expect "$1" "$(blockdev --getss /dev/mapper/t0)" "sector size"
    remove t0
}

direct_512() {
    loop_create t0 "$FILE" 0 2048 block_mapped
    fails_with "Invalid argument" \
        dd if=/dev/zero of=/dev/mapper/t0 bs=512 count=1 oflag=direct conv=notrunc
    pattern verify --direct /dev/mapper/t0 0 1048576 1
    remove t0
}

misaligned() {
    local text="Offset or length is not a multiple of the logical block size"
    loop_refused EINVAL "$text" "$FILE" 512 2048 block_mapped
    loop_refused EINVAL "$text" "$FILE" 32256 2048 block_mapped
    loop_refused EINVAL "$text" "$FILE" 0 2047 block_mapped
    loop_refused EINVAL "$text" "$FILE" 0 1 block_mapped
    loop_refused EINVAL "$text" "$FILE" 4096 12 block_mapped
}

# contents DISK: on a file in pieces, with a last block that it does not fill.
contents() {
    local size sectors
    size=$(stat -c %s "$FILE")
    sectors=$(((size - 4096) / 4096))
    sectors=$((sectors * 8))
    loop_create t0 "$FILE" 4096 "$sectors" block_mapped
    pattern verify --direct /dev/mapper/t0 0 $((sectors * 512)) 1 4096 -- \
        write --direct /dev/mapper/t0 0 $((sectors * 512)) 2 4096 -- \
        verify-disk "$FILE" 4096 $((sectors * 512)) 2 "$1"
    remove t0
    pattern verify "$FILE" 0 4096 1 -- \
        verify "$FILE" 4096 $((sectors * 512)) 2 -- \
        verify "$FILE" $((sectors * 512 + 4096)) $((size - sectors * 512 - 4096)) 1
}

# alignment NAME: how many bytes into the device the first physical block of the disk begins.
alignment() {
    expect 4096 "$(queue "/dev/mapper/$1" physical_block_size)" "physical block size"
    cat "/sys/block/$(kernel_name "/dev/mapper/$1")/alignment_offset"
}
# linear_aligned_as WANTED SECTOR: of dm-linear from there on, for comparison.
linear_aligned_as() {
    dmsetup create t1 --table "0 64 linear $DISK $2"
    expect "$1" "$(alignment t1)" "alignment of dm-linear"
    remove t1
}
# aligned_as WANTED OFFSET: of the device from that byte of the file on.
aligned_as() {
    kmsg_mark
    loop_create t0 "$FILE" "$2" - block_mapped
    expect "$1" "$(alignment t0)" "alignment"
    remove t0
    ! kmsg_since | grep "alignment inconsistency" || fail "there is no common one"
}
# A file of which each piece lies in another part of a physical block: nothing that could be said
# of the alignment is right, and device-mapper tells the log so.
scattered() {
    make_fragmented "$FILE" 65536
    program layout.py show "$FILE" | awk '!seen[($2 - $1) / 1024 % 4]++ { n++ } END { exit n < 2 }'
    kmsg_mark
    loop_create t0 "$FILE" 0 - block_mapped
    remove t0
    kmsg_since | grep "adding target device .* caused an alignment inconsistency"
}

DISK=$(disk 0)
linear "$DISK" >"$WORK/linear"
fs_make ext4 "$DISK"
make_file "$FILE" 1048576
check "512-byte sectors: the limits of dm-linear" same_limits
check "512-byte sectors: the block size" block_size 512
fs_end

DISK=$(disk 1)
expect 4096 "$(queue "$DISK" logical_block_size)" "sector size of the second disk"
linear "$DISK" >"$WORK/linear"
fs_make ext4 "$DISK"
make_file "$FILE" 1048576
check "4096-byte sectors: the limits of dm-linear" same_limits
check "4096-byte sectors: the block size" block_size 4096
check "4096-byte sectors: direct I/O of 512 bytes is refused" direct_512
check "4096-byte sectors: other offsets and lengths are refused" misaligned
fs_end
# Sectors of 512 bytes in physical blocks of 4,096.
modprobe scsi_debug dev_size_mb=64 sector_size=512 physblk_exp=3
udevadm settle
DISK=/dev/$(grep -l scsi_debug /sys/block/*/device/model | cut -d/ -f4)
linear_aligned_as 0 64
linear_aligned_as 3584 65
fs_make ext4 "$DISK"
make_fragmented "$FILE" 1048576
check "512-byte sectors in blocks of 4,096: aligned" aligned_as 0 8192
check "512-byte sectors in blocks of 4,096: not aligned" aligned_as 3584 512
fs_end
fs_make ext4-1k "$DISK"
check "512-byte sectors in blocks of 4,096: no common alignment" scattered
fs_end
udevadm settle
modprobe -r scsi_debug

DISK=$(disk 1)
for fs in ext4 ext2 xfs btrfs f2fs vfat; do
    fs_make "$fs" "$DISK"
    make_fragmented "$FILE" $((300 * 4096 + 700))
    check "4096-byte sectors: contents on $fs" contents "$DISK"
    fs_end
done
