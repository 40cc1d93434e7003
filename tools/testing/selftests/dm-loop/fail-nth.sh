#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 8G --disk 2G,logical_block_size=4096 --cpus 1 --mem 1G
# trust
#
# Each single allocation of a table load, and of a message that makes a file longer, fails
# once: a clean error, the file free (or still claimed) and as it was, no reference left. (That
# nothing was lost, the search for leaks at the end tells.)
. ./lib.sh
. ./lib-fault.sh
. ./lib-file.sh

faults_needed
# Each piece of a file is an allocation or two.
SIZE=$((64 << 10))
LIMIT=400
[ -z "${LONG:-}" ] || SIZE=$((1 << 20)) LIMIT=4000

# begin HOST MAKE: with FILE, of SECTORS.
begin() {
    host_begin "$1"
    FILE=$FOLDER/file SECTORS=$((SIZE / 512))
    "$2" "$FILE" "$SIZE"
}

# nth WHAT CALL ARG…: has the allocations of one call fail, and keeps what was counted.
nth() {
    local what=$1
    shift
    sync -f "$FOLDER"
    program fail_nth.py "$@" >"$WORK/said" || fail "$(<"$WORK/said")"
    echo "# $HOST, $what: $(<"$WORK/said")" >>"$WORK/counts"
}

# loaded HOST MAKE FEATURE [--readonly]: a table that is accepted. At first and in the end it
# makes a device: what is made the first time only is made, and nothing was spoilt.
loaded() {
    local feature=$3 options=("${@:4}")
    begin "$1" "$2"
    loop_create "${options[@]}" faulty "$FILE" 0 - "$feature"
    remove faulty
    dmsetup create faulty --notable
    nth "$feature ${options[*]}" load "${options[@]}" faulty "$LIMIT" "$FILE" "$SECTORS" "$FILE 0 1 $feature"
    remove faulty
    loop_create "${options[@]}" faulty "$FILE" 0 - "$feature"
    remove faulty
    host_end
}

# joined HOST FEATURE [--claimed]: half of a file, of which another device has the other half.
joined() {
    begin "$1" make_fragmented
    loop_create first "$FILE" 0 $((SECTORS / 2)) "$2"
    dmsetup create faulty --notable
    nth "a second device, $2" load "${@:3}" faulty "$LIMIT" "$FILE" $((SECTORS / 2)) "$FILE $((SIZE / 2)) 1 $2"
    pattern verify --direct /dev/mapper/first 0 $((SIZE / 2)) 1
    remove faulty first
    host_end
}

# reloaded HOST FEATURE [--claimed]: a device that has a table in use.
reloaded() {
    begin "$1" make_fragmented
    loop_create faulty "$FILE" 0 - "$2"
    nth "a second table, $2" load "${@:3}" faulty "$LIMIT" "$FILE" "$SECTORS" "$FILE 0 1 $2"
    pattern verify --direct /dev/mapper/faulty 0 "$SIZE" 1
    remove faulty
    host_end
}

# refused HOST MAKE ERRNO PARAMS: a table that is not accepted anyway.
refused() {
    begin "$1" "$2"
    dmsetup create faulty --notable
    nth "refused (${4//$FILE/FILE})" load --refused "$3" faulty "$LIMIT" "$FILE" "$SECTORS" "$4"
    remove faulty
    host_end
}

# grown HOST: the message, and then the file by a table of its new size.
grown() {
    local size
    begin "$1" make_fragmented
    loop_create faulty "$FILE" 0 - block_mapped
    nth "grow" grow faulty "$LIMIT" "$FILE" 65536
    size=$(stat -c %s "$FILE")
    dmsetup load faulty --table "$(loop_table "$FILE" 0 - block_mapped)"
    dmsetup resume faulty
    pattern verify --direct /dev/mapper/faulty 0 "$SIZE" 1 -- zeros --direct /dev/mapper/faulty "$SIZE" $((size - SIZE))
    remove faulty
    host_end
}

modprobe dm-loop
faults_any 0
plan $((${#FILE_SYSTEMS[@]} + 19))
for kind in "${FILE_SYSTEMS[@]}"; do
    check "$kind, block-mapped" loaded "$kind" make_fragmented block_mapped
done
check "ext4, file-mapped" loaded ext4 make_file file_mapped
check "ext4, sparse" loaded ext4 make_sparse direct_io
check "ext4, through the page cache" loaded ext4 make_file buffered_io
check "xfs, sparse" loaded xfs make_sparse direct_io
check "btrfs, copied on write" loaded btrfs-cow make_file file_mapped
check "tmpfs" loaded tmpfs make_sparse file_mapped
check "overlay" loaded overlay make_file file_mapped
check "ext4, block-mapped, read-only" loaded ext4 make_fragmented block_mapped --readonly
check "xfs, file-mapped, read-only" loaded xfs make_sparse file_mapped --readonly
FILE=$MNT/file
check "ext4, a second device on a file" joined ext4 block_mapped --claimed
check "btrfs, a second device on a file" joined btrfs block_mapped --claimed
check "ext4, a second device on a file, file-mapped" joined ext4 file_mapped
check "f2fs, a second table" reloaded f2fs block_mapped --claimed
check "xfs, a second table, file-mapped" reloaded xfs file_mapped
check "ext4, refused as sparse" refused ext4 make_sparse EOPNOTSUPP "$FILE 0 1 block_mapped"
check "xfs, refused as shared" refused xfs make_reflinked EOPNOTSUPP "$FILE 0 1 block_mapped"
check "ext4, made longer" grown ext4
check "vfat, made longer" grown vfat
# A failure may leave the server behind.
check "NFS" loaded nfs make_sparse file_mapped
faults_end
[ ! -e "$WORK/counts" ] || cat "$WORK/counts"
