#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 8G --disk 2G,logical_block_size=4096 --cpus 1 --mem 1G
#
# Files that must not be block-mapped, on file systems where others can be: each is refused
# with the reason, and left as it was.
. ./lib.sh
. ./lib-refuse.sh

SIZE=$((2 << 20))
FILE=$MNT/file

# on KIND CHECK…: the checks, each with a new file, on one file system.
on() {
    local kind=$1 name
    shift
    fs_make "$kind"
    for name; do
        check "$kind: ${name//_/ }" "$name"
        rm -f -- "$MNT"/file*
    done
    fs_end
}

sparse() {
    make_sparse "$FILE" "$SIZE"
    not_block_mapped "file is sparse" "$FILE"
    # A hole anywhere, also outside of what the device would show.
    make_file "$FILE" "$SIZE"
    fallocate -p -o $((1 << 20)) -l 65536 "$FILE"
    not_block_mapped "file is sparse" "$FILE"
    not_block_mapped "file is sparse" "$FILE" 0 8
    make_file "$FILE" "$SIZE"
    fallocate -p -o 0 -l 65536 "$FILE"
    not_block_mapped "file is sparse" "$FILE"
    make_file "$FILE" "$SIZE"
    truncate -s $((SIZE + 65536)) "$FILE"
    not_block_mapped "file is sparse" "$FILE" 0 8
}

fallocated() {
    make_fallocated "$FILE" "$SIZE"
    not_block_mapped "file has unwritten extents" "$FILE"
    make_file "$FILE" "$SIZE"
    fallocate -l $((SIZE + 65536)) "$FILE"
    not_block_mapped "file has unwritten extents" "$FILE" 0 8
    make_file "$FILE" "$SIZE"
    fallocate -z -o 0 -l 65536 "$FILE"
    not_block_mapped "file has unwritten extents" "$FILE"
    # What lies beyond the end of the file does not matter.
    make_file "$FILE" "$SIZE"
    fallocate -n -l $((2 * SIZE)) "$FILE"
    loop_create beyond "$FILE" 0 - block_mapped
    pattern verify --direct /dev/mapper/beyond 0 "$SIZE" 1
    remove beyond
}

# With its pages cached, a file system does not tell such extents from data.
fallocated_and_read() {
    make_fallocated "$FILE" "$SIZE"
    cat "$FILE" >/dev/null
    not_block_mapped "file has unwritten extents" "$FILE"
    cat "$FILE" >/dev/null
    exec {open}<"$FILE"
    not_block_mapped "file has unwritten extents" "$FILE"
    exec {open}<&-
    python3 -c 'import mmap, sys
with open(sys.argv[1], "rb") as file:
    m = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
print(sum(m[i] for i in range(0, len(m), 4096)), flush=True)
sys.stdin.read()' "$FILE" < <(until [ -e "$WORK/enough" ]; do sleep 0.1; done) >"$WORK/mapped" &
    wait_until [ -s "$WORK/mapped" ]
    not_block_mapped "file has unwritten extents" "$FILE"
    touch "$WORK/enough"
    wait
    rm "$WORK/enough" "$WORK/mapped"
}

# On f2fs the claim itself gives such blocks their place, and their zeros.
fallocated_is_mapped() {
    make_fallocated "$FILE" "$SIZE"
    loop_create f "$FILE" 0 - block_mapped
    cmp -n "$SIZE" "$FILE" /dev/zero
    pattern write --direct /dev/mapper/f 0 $((SIZE / 2)) 3
    remove f
    pattern verify "$FILE" 0 $((SIZE / 2)) 3
    cmp -n $((SIZE / 2)) -i $((SIZE / 2)):0 "$FILE" /dev/zero
    drop_caches
    pattern verify "$FILE" 0 $((SIZE / 2)) 3
}

reflinked() {
    make_reflinked "$FILE" "$SIZE"
    not_block_mapped "$1" "$FILE"
    not_block_mapped "$1" --readonly "$FILE"
    # One block is enough.
    make_file "$FILE" "$SIZE"
    rm -f "$FILE.other"
    python3 -c 'import fcntl, os, struct, sys
source, target = os.open(sys.argv[1], os.O_RDONLY), os.open(sys.argv[2], os.O_RDWR | os.O_CREAT)
fcntl.ioctl(target, 0x4020940D, struct.pack("<qQQQ", source, 65536, 4096, 0))' "$FILE" "$FILE.other"
    not_block_mapped "$1" "$FILE"
    # Without the other one it is a file like any.
    rm "$FILE.other"
    sync
    loop_create alone "$FILE" 0 - block_mapped
    pattern verify --direct /dev/mapper/alone 0 "$SIZE" 1
    remove alone
}
reflinked_on_xfs() { reflinked "file is copied on write"; }
reflinked_on_btrfs() { reflinked "file system refused"; }

copied_on_write() {
    make_file "$FILE" "$SIZE"
    not_block_mapped "file is copied on write" "$FILE"
    make_sparse "$FILE" "$SIZE"
    not_block_mapped "file is copied on write" "$FILE"
}

in_a_snapshot() {
    btrfs -q subvolume create "$MNT/volume"
    chattr +C "$MNT/volume"
    make_file "$MNT/volume/file" "$SIZE"
    btrfs -q subvolume snapshot "$MNT/volume" "$MNT/snapshot"
    not_block_mapped "file system refused" "$MNT/volume/file"
    btrfs -q subvolume delete -c "$MNT/snapshot" "$MNT/volume"
}

# Its addresses do not tell on which; and behind direct I/O only one of them could be flushed.
f2fs_on_two_disks() {
    local part
    for part in 0 1; do
        dmsetup create "part$part" --table "0 $((256 << 11)) linear $(disk 0) $((part * (256 << 11)))"
        is_block "part$part"
    done
    mkfs.f2fs -qf -c /dev/mapper/part1 /dev/mapper/part0
    mount -t f2fs /dev/mapper/part0 "$MNT"
    make_file "$FILE" "$SIZE"
    not_block_mapped "file system refused" "$FILE"
    loop_create cached "$FILE" 0
    [[ $(dmsetup status cached) == *" loop file buffered fs_refused "* ]]
    remove cached
    umount "$MNT"
    remove part0 part1
}

# The file system itself may write the last block when the file is made longer.
inside_the_last_block() {
    make_file "$FILE" $((SIZE + 512))
    not_block_mapped "file layout is misaligned" "$FILE"
    not_block_mapped "file layout is misaligned" "$FILE" "$SIZE"
    loop_create whole "$FILE" 0 $((SIZE / 512)) block_mapped
    pattern verify --direct /dev/mapper/whole 0 "$SIZE" 1
    remove whole
    make_file "$FILE" 512
    not_block_mapped "file layout is misaligned" "$FILE"
}

refusals_begin
plan 29
on ext4 sparse fallocated fallocated_and_read inside_the_last_block
on ext4-1k sparse fallocated fallocated_and_read inside_the_last_block
on ext2 sparse inside_the_last_block
on xfs sparse fallocated fallocated_and_read reflinked_on_xfs inside_the_last_block
on xfs-1k fallocated reflinked_on_xfs inside_the_last_block
on btrfs sparse fallocated fallocated_and_read reflinked_on_btrfs in_a_snapshot inside_the_last_block
on btrfs-cow copied_on_write
on f2fs sparse fallocated_is_mapped inside_the_last_block
check "f2fs: on two disks" f2fs_on_two_disks
