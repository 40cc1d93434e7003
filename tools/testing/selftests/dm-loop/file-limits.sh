#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 8G --disk 2G,logical_block_size=4096 --cpus 1 --mem 1G
#
# What a file-mapped device tells of itself: blocks, the best size of I/O, its cache, discard
# and zeroes.
. ./lib.sh
. ./lib-file.sh

SIZE=$((4 << 20))
FILE=''

# says NAME WANTED…: of the queue of t0.
says() {
    while [ $# -gt 0 ]; do
        expect "$2" "$(queue /dev/mapper/t0 "$1")" "$1"
        shift 2
    done
}

# limits MODE: of a whole file.
limits() {
    local logical=512 block preferred most
    block=$(stat -f -c %S "$FOLDER") preferred=$(stat -c %o "$FILE")
    [ "$1" = buffered ] || logical=$(program statx.py dio "$FILE")
    # The sectors of the largest bio.
    most=$(((1 << 32) - 512))
    loop_create t0 "$FILE" 0 - file_mapped "$1_io"
    says logical_block_size "$logical" \
        physical_block_size "$((block < 4096 ? block : 4096))" \
        minimum_io_size "$((block < 4096 ? block : 4096))" \
        optimal_io_size "$preferred" \
        write_cache "write back" \
        fua 1 \
        write_zeroes_max_bytes "$most" \
        discard_granularity "$block" \
        discard_max_bytes "$most" \
        io_poll 0
    remove t0
}

no_discard() {
    loop_create t0 "$FILE" 0 - file_mapped no_discard
    says discard_max_bytes 0 write_zeroes_max_bytes $(((1 << 32) - 512))
    fails_with "not supported" blkdiscard /dev/mapper/t0
    remove t0
}

# Who may not write may neither discard nor write zeroes.
read_only() {
    loop_create --readonly t0 "$FILE" 0 - file_mapped
    says discard_max_bytes 0 write_zeroes_max_bytes 0
    remove t0
}

# A window that does not begin with a block of the file system is not made of such.
within_a_block() {
    loop_create t0 "$FILE" 512 - file_mapped buffered_io
    says logical_block_size 512 physical_block_size 512 minimum_io_size 512
    remove t0
}

HOSTS_HERE=(ext4 xfs btrfs-cow f2fs tmpfs nfs)
plan $((2 * ${#HOSTS_HERE[@]} + 5))
for host in "${HOSTS_HERE[@]}"; do
    host_begin "$host"
    FILE=$FOLDER/file
    make_sparse "$FILE" "$SIZE"
    for mode in $(modes_of "$host"); do
        check "$host, $mode" limits "$mode"
    done
    if [ "$host" = ext4 ]; then
        check "no discard" no_discard
        check "read-only" read_only
        check "a window within a block" within_a_block
    fi
    host_end
done
host_begin ext4 "$(disk 1)"
FILE=$FOLDER/file
make_sparse "$FILE" "$SIZE"
for mode in direct buffered; do
    check "sectors of 4096 bytes, $mode" limits "$mode"
done
host_end
