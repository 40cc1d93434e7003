#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 8G --disk 2G,logical_block_size=4096 --cpus 1 --mem 1G
#
# What moves files within a file system leaves a mapped one where it is, and moves it after
# the device is gone (or the test would say nothing).
. ./lib.sh
. ./lib-lock.sh

SIZE=$((8 << 20))
FILE=$MNT/file

# f2fs moves nothing out of a section that is full, which is what it may have moved the
# file to when it was mapped: some blocks of each go elsewhere.
loosen() {
    local place
    [ "$(stat -f -c %T "$MNT")" = f2fs ] || return 0
    for ((place = 0; place < SIZE; place += 1 << 20)); do
        fallocate -p -o "$place" -l 4096 "$FILE"
    done
    sync
    for ((place = 0; place < SIZE; place += 1 << 20)); do
        pattern write "$FILE" "$place" 4096 2
    done
}

# unmoved COMMAND…: before, with, and without the device.
unmoved() {
    make_fragmented "$FILE" "$SIZE"
    loop_create stay "$FILE" 0 - block_mapped
    program layout.py show "$FILE" >"$WORK/layout"
    pattern write --direct /dev/mapper/stay 0 "$SIZE" 2
    # Some say that they could not, some do not.
    "$@" || echo "status $?"
    sync
    program layout.py show "$FILE" | cmp - "$WORK/layout"
    fstrim "$MNT" || echo "no fstrim here"
    pattern verify --direct /dev/mapper/stay 0 "$SIZE" 2
    remove stay
    pattern verify "$FILE" 0 "$SIZE" 2
    rm "$FILE.other"
    loosen
    sync
    program layout.py show "$FILE" >"$WORK/layout"
    "$@"
    sync
    program layout.py show "$FILE" >"$WORK/moved"
    ! cmp -s "$WORK/moved" "$WORK/layout" || fail "it does not move files at all"
    drop_caches
    pattern verify "$FILE" 0 "$SIZE" 2
    unclaimed "$FILE"
    rm "$FILE"
}

balance() { btrfs balance start --full-balance "$MNT"; }
defragment() { btrfs filesystem defragment -f "$FILE"; }

# With two disks, each a part of the first.
btrfs_refuses() {
    local part=$((1 << 21)) n folder=$WORK/two
    for n in 1 2; do
        dmsetup create "part$n" --table "0 $part linear $(disk 0) $((n * part))"
    done
    fs_make btrfs /dev/mapper/part1 "$folder"
    make_file "$folder/file" "$SIZE"
    loop_create stay "$folder/file" 0 - block_mapped
    fails_with "Text file busy" btrfs subvolume snapshot "$folder" "$folder/snapshot"
    fails_with "Text file busy" btrfs filesystem defragment -f "$folder/file"
    fails_with "Text file busy" btrfs replace start -B -f 1 /dev/mapper/part2 "$folder"
    btrfs device add -f /dev/mapper/part2 "$folder"
    fails_with "Text file busy" btrfs device remove 1 "$folder"
    btrfs device remove 2 "$folder"
    pattern verify --direct /dev/mapper/stay 0 "$SIZE" 1
    remove stay
    btrfs -q subvolume snapshot "$folder" "$folder/snapshot"
    btrfs -q subvolume delete -c "$folder/snapshot"
    unclaimed "$folder/file"
    umount "$folder"
    remove part1 part2
}

# Shrinks the file system to less than where the file lies.
shrink() {
    local n
    # The front of the disk, but for room that is too small for the file.
    for n in {1..400}; do fallocate -l "$SIZE" "$MNT/filler$n"; done
    make_file "$FILE" "$SIZE"
    loop_create stay "$FILE" 0 - block_mapped
    rm "$MNT"/filler*
    sync -f "$MNT"
    program layout.py show "$FILE" >"$WORK/layout"
    fails_with "Text file busy" btrfs filesystem resize 2G "$MNT"
    program layout.py show "$FILE" | cmp - "$WORK/layout"
    pattern verify --direct /dev/mapper/stay 0 "$SIZE" 1
    remove stay
    btrfs filesystem resize 2G "$MNT"
    program layout.py show "$FILE" >"$WORK/moved"
    ! cmp -s "$WORK/moved" "$WORK/layout" || fail "it does not move the file at all"
    btrfs filesystem resize max "$MNT"
    drop_caches
    pattern verify "$FILE" 0 "$SIZE" 1
    rm "$FILE"
}

# The sections that the file is in, one after the other, through the ioctl for that.
collect() {
    python3 - "$FILE" <<'PYTHON'
import fcntl, os, struct, sys
sys.path.insert(0, os.getcwd())
import layout
fd = os.open(sys.argv[1], os.O_RDONLY)
F2FS_IOC_GARBAGE_COLLECT, F2FS_IOC_GARBAGE_COLLECT_RANGE = 0x4004F506, 0x4018F50B
ends = {}
for _, start, length in layout.extents(sys.argv[1]):
    for block in range(start // 4096, (start + length) // 4096):
        low, high = ends.get(block // 512, (block, block))
        ends[block // 512] = min(low, block), max(high, block)
os.sync()
for block in sorted({block for pair in ends.values() for block in pair}):
    try:
        fcntl.ioctl(fd, F2FS_IOC_GARBAGE_COLLECT_RANGE, struct.pack("<LxxxxQQ", 1, block, 1))
    except OSError as error:
        print(error)
for _ in range(5):
    try:
        fcntl.ioctl(fd, F2FS_IOC_GARBAGE_COLLECT, struct.pack("<L", 1))
    except OSError as error:
        print(error)
PYTHON
}

plan 7
check "btrfs: snapshot, replacing and removing the disk" btrfs_refuses
fs_make ext4
check "ext4: e4defrag" unmoved e4defrag "$FILE"
fs_end
fs_make xfs
check "xfs: xfs_fsr" unmoved xfs_fsr -v "$FILE"
fs_end
fs_make btrfs
check "btrfs: defragmentation" unmoved defragment
check "btrfs: balance" unmoved balance
check "btrfs: shrinking" shrink
fs_end
fs_make f2fs
check "f2fs: garbage collection" unmoved collect
fs_end
