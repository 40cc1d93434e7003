#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 8G --cpus 1 --mem 1G
#
# A file on a server that goes away: on a hard mount I/O waits and goes on, on a soft one it
# fails in the end, and the device can be removed.
. ./lib.sh
. ./lib-file.sh

MIB=$((1 << 20))
SIZE=$((16 * MIB))
AWAY=30

# away_for_a_while MODE
away_for_a_while() {
    local writer in_flight start
    nfs_mount "$FOLDER" hard
    make_sparse "$FILE" "$SIZE"
    loop_create t0 "$FILE" 0 - "$1_io"
    pattern write --direct /dev/mapper/t0 0 $((SIZE / 4)) 2
    nfs_stop
    start=$SECONDS
    python3 "$HERE/pattern.py" write --direct /dev/mapper/t0 $((SIZE / 4)) $((SIZE / 2)) 2 &
    writer=$!
    python3 -c 'import os, sys
fd = os.open(sys.argv[1], os.O_WRONLY)
os.pwrite(fd, b"f" * 4096, int(sys.argv[2]))
os.fsync(fd)' /dev/mapper/t0 $((SIZE - 4096)) &
    while [ $((SECONDS - start)) -lt "$AWAY" ]; do
        kill -0 "$writer" || fail "the writer has ended, without a server"
        sleep 1
    done
    in_flight=$(dmsetup status t0 | cut -d' ' -f7)
    [ "$in_flight" -gt 0 ] || fail "nothing is in flight"
    nfs_start
    wait "$writer"
    wait
    pattern verify --direct /dev/mapper/t0 0 $((SIZE * 3 / 4)) 2
    expect ffff "$(tail -c 4 /dev/mapper/t0)"
    remove t0
    umount "$FOLDER"
    # The server has it all.
    pattern verify "$MNT/file" 0 $((SIZE * 3 / 4)) 2
    expect ffff "$(tail -c 4 "$MNT/file")"
    rm "$MNT/file"
}

# fails_in SECONDS COMMAND…
fails_in() {
    local limit=$1 status=0
    shift
    timeout "$limit" "$@" || status=$?
    [ "$status" != 0 ] || fail "succeeded without a server: $*"
    [ "$status" != 124 ] || fail "still waiting after $limit s: $*"
}

# away_for_good MODE
away_for_good() {
    nfs_mount "$FOLDER" soft,timeo=20,retrans=1
    make_sparse "$FILE" "$SIZE"
    loop_create t0 "$FILE" 0 - "$1_io"
    pattern write --direct /dev/mapper/t0 0 $((SIZE / 2)) 2
    nfs_stop
    # Where nobody has looked yet: what is in the page cache can still be read.
    fails_in 120 dd if=/dev/mapper/t0 of=/dev/null bs=4k count=1 skip=$((SIZE * 3 / 4 / 4096)) iflag=direct status=none
    # Through the page cache, the flush is what fails.
    fails_in 120 dd if=/dev/zero of=/dev/mapper/t0 bs=64k count=1 oflag=direct conv=fsync,notrunc status=none
    # Whoever looks at it when it is closed (udev does) has to see errors first, too.
    timeout 240 sh -c 'until dmsetup remove t0; do sleep 1; done' || fail "the device cannot be removed"
    nfs_start
    umount -f "$FOLDER"
    # What had been acknowledged by a flush is there.
    pattern verify "$MNT/file" 65536 $((SIZE / 2 - 65536)) 2
    rm "$MNT/file"
}

plan 4
fs_make ext4
nfs_serve "$MNT"
FOLDER=$WORK/nfs FILE=$WORK/nfs/file
for mode in direct buffered; do
    check "$mode: a server that is away for $AWAY s" away_for_a_while "$mode"
    check "$mode: a server that has gone for good" away_for_good "$mode"
done
nfs_end
fs_end
