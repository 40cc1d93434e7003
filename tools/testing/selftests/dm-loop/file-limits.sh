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
    local logical=512 block preferred most stable=0
    block=$(stat -f -c %S "$FOLDER") preferred=$(stat -c %o "$FILE")
    [ "$1" = buffered ] || logical=$(program statx.py dio "$FILE")
    # Checksums are made of what goes there, of btrfs's blocks and of NFS's packets.
    [[ $1 != direct || $HOST != @(nfs|btrfs-cow) ]] || stable=1
    # The sectors of the largest bio.
    most=$(((1 << 32) - 512))
    loop_create t0 "$FILE" 0 - file_mapped "$1_io"
    says logical_block_size "$logical" \
        physical_block_size "$((block < 4096 ? block : 4096))" \
        minimum_io_size "$((block < 4096 ? block : 4096))" \
        optimal_io_size "$preferred" \
        stable_writes "$stable" \
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

# becomes FROM TO: a device whose table is replaced has the limits of one that was made with
# the second. Both as for loop_create, without a name.
becomes() {
    local from to
    read -ra from <<<"$1"
    read -ra to <<<"$2"
    loop_create new "${to[@]}"
    limits_of new >"$WORK/wanted"
    remove new
    if [ "${from[0]}" = --readonly ]; then
        loop_create --readonly t0 "${from[@]:1}"
    else
        loop_create t0 "${from[@]}"
    fi
    dmsetup load t0 --table "$(loop_table "${to[@]}")"
    dmsetup suspend t0
    dmsetup resume t0
    limits_of t0 | diff "$WORK/wanted" -
    remove t0
}
limits_of() {
    local name
    for name in logical_block_size physical_block_size minimum_io_size optimal_io_size dma_alignment \
        stable_writes write_cache fua discard_granularity discard_max_bytes write_zeroes_max_bytes io_poll; do
        echo "$name $(queue "/dev/mapper/$1" "$name")"
    done
}
reloaded() {
    make_file "$FILE.written" "$SIZE"
    becomes "$FILE 0 - direct_io" "$FILE 0 - buffered_io"
    becomes "$FILE 0 - buffered_io" "$FILE 0 - direct_io"
    becomes "--readonly $FILE 0 -" "$FILE 0 -"
    becomes "$FILE 0 - no_discard" "$FILE 0 -"
    becomes "$FILE.written 0 - block_mapped" "$FILE 0 - direct_io"
    becomes "$FILE 0 - buffered_io" "$FILE.written 0 - block_mapped"
    rm "$FILE.written"
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
plan $((2 * ${#HOSTS_HERE[@]} + 7))
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
        check "reloaded" reloaded
    fi
    host_end
done
host_begin ext4 "$(disk 1)"
FILE=$FOLDER/file
make_sparse "$FILE" "$SIZE"
for mode in direct buffered; do
    check "sectors of 4096 bytes, $mode" limits "$mode"
done
check "sectors of 4096 bytes, reloaded" reloaded
host_end
