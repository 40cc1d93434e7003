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

# in_flight NAME: whether bios of the device have not ended.
in_flight() { [ "$(dmsetup status "$1" | cut -d' ' -f7)" -gt 0 ]; }

# synced TEXT: to the last block of the device, and flushed.
synced() {
    python3 -c 'import os, sys
fd = os.open("/dev/mapper/t0", os.O_WRONLY)
os.pwrite(fd, sys.argv[1].encode() * 4096, int(sys.argv[2]))
os.fsync(fd)' "$1" $((SIZE - 4096))
}

# away_for_a_while MODE: a writer, a reader and somebody who flushes wait for the server.
away_for_a_while() {
    local waiting=() pid start
    nfs_mount "$FOLDER" hard
    make_sparse "$FILE" "$SIZE"
    loop_create t0 "$FILE" 0 - "$1_io"
    pattern write --direct /dev/mapper/t0 0 $((SIZE / 4)) 2
    # What the client still knows it would not have to ask for.
    drop_caches
    nfs_stop
    start=$SECONDS
    python3 "$HERE/pattern.py" write --direct /dev/mapper/t0 $((SIZE / 4)) $((SIZE / 2)) 2 &
    waiting+=("$!")
    synced f &
    waiting+=("$!")
    python3 "$HERE/pattern.py" verify --direct /dev/mapper/t0 0 $((SIZE / 4)) 2 &
    waiting+=("$!")
    wait_until in_flight t0
    while [ $((SECONDS - start)) -lt "$AWAY" ]; do
        for pid in "${waiting[@]}"; do
            kill -0 "$pid" || fail "one of ${waiting[*]} has ended, without a server: $pid"
        done
        sleep 1
    done
    in_flight t0 || fail "nothing is in flight"
    nfs_start
    for pid in "${waiting[@]}"; do wait "$pid"; done
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

# read_at MIB: a block where nobody has looked yet: what is in the page cache can still be read.
read_at() { dd if=/dev/mapper/t0 of=/dev/null bs=4k count=1 skip=$(($1 * 256)) iflag=direct status=none; }
gone() { ! dmsetup info t0 >/dev/null 2>&1; }

# away_for_good MODE
away_for_good() {
    local reader
    nfs_mount "$FOLDER" soft,timeo=20,retrans=1
    make_sparse "$FILE" "$SIZE"
    loop_create t0 "$FILE" 0 - "$1_io"
    pattern write --direct /dev/mapper/t0 0 $((SIZE / 2)) 2
    nfs_stop
    fails_in 120 dd if=/dev/mapper/t0 of=/dev/null bs=4k count=1 skip=$((SIZE * 3 / 4 / 4096)) iflag=direct status=none
    # Through the page cache, the flush is what fails.
    fails_in 120 dd if=/dev/zero of=/dev/mapper/t0 bs=64k count=1 oflag=direct conv=fsync,notrunc status=none
    # Past it there is nothing left to flush; whoever waits for that must not wait for ever.
    timeout 120 sync /dev/mapper/t0 || [ $? != 124 ] || fail "a flush still waits"
    # Removed while a bio is on its way: once that has failed, the device goes. Whoever looks
    # at it when it is closed (udev does) has to see errors first, too.
    read_at 13 &
    reader=$!
    wait_until in_flight t0
    dmsetup remove --deferred t0
    ! gone || fail "removed while it is in use"
    ! wait "$reader" || fail "read without a server"
    timeout 240 sh -c 'while dmsetup info t0 >/dev/null 2>&1; do sleep 1; done' || fail "the device does not go"
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
