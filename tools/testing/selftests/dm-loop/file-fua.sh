#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 8G --disk 2G,logical_block_size=4096 --cpus 1 --mem 1G
#
# A write with FUA to a file-mapped device is on stable storage when it ends, whatever the host
# makes of the flag; and what cannot be brought there is told to each who flushes, however many
# others were told before.
. ./lib.sh
. ./lib-file.sh
. ./lib-trace.sh

BLOCKS=64
SIZE=$((BLOCKS * 4096))
# Under the host, where it is not on a machine of its own.
DISK=$(disk 0)
# Hosts that have something to be on.
ON_DISK=(ext4 xfs btrfs btrfs-cow f2fs vfat overlay fscrypt nfs)

# fua_writes: each block of the device, with FUA, one after the other, asynchronous: behind
# such the kernel sends no flush of its own, which would hide that FUA does nothing.
fua_writes() {
    fio --minimal --allow_file_create=0 --filename=/dev/mapper/t0 --direct=1 --sync=dsync --ioengine=libaio \
        --iodepth=1 --name=fua --rw=write --bs=4k --size="$SIZE" >"$WORK/fio" || { cat "$WORK/fio" && return 1; }
}
flushes_that_came() { dmsetup message t0 0 stat | cut -d' ' -f2; }

# requests COMMAND…: runs COMMAND, and prints what was asked of servers of 9p meanwhile.
requests() {
    local event=$TRACE/events/9p/9p_client_req/enable
    echo >"$TRACE/trace"
    echo 1 >"$event"
    echo 1 >"$TRACE/tracing_on"
    "$@" >&2
    echo 0 >"$TRACE/tracing_on"
    echo 0 >"$event"
    sed -nE 's/.*9p_client_req: .* request (P9_T[A-Z]*) .*/\1/p' "$TRACE/trace"
}

# With all of it written before, so that nothing else is a reason to flush.
stable_when_it_ends() {
    local before
    make_file "$FILE" "$SIZE"
    loop_create t0 "$FILE" 0 - file_mapped "$1_io"
    before=$(flushes_that_came)
    if [ "$HOST" = 9p ]; then
        requests fua_writes >"$WORK/trace"
        grep -x P9_TFSYNC "$WORK/trace" >"$WORK/barriers" || true
    else
        traced "$DISK" fua_writes >"$WORK/trace"
        awk '/^F|^[A-Z]*WF/' "$WORK/trace" >"$WORK/barriers"
    fi
    expect "$before" "$(flushes_that_came)" "flushes of the device"
    remove t0
    [ "$(wc -l <"$WORK/barriers")" -ge "$BLOCKS" ] ||
        fail "$BLOCKS writes, but only $(wc -l <"$WORK/barriers") times something became stable"
}

# fua_write: of one block, which fails.
fua_write_fails() {
    python3 - <<'PYTHON'
import errno, mmap, os, sys

fd = os.open("/dev/mapper/t0", os.O_WRONLY | os.O_DIRECT | os.O_DSYNC)
try:
    os.pwrite(fd, mmap.mmap(-1, 4096), 0)
except OSError as error:
    sys.exit(error.errno != errno.EIO)
sys.exit("written to a disk that takes nothing")
PYTHON
}
flush() { dd if=/dev/null of=/dev/mapper/t0 conv=fsync,notrunc status=none; }

# become TARGET: what is below the host file system.
become() {
    dmsetup load host --table "0 $SECTORS $1"
    dmsetup suspend --noflush --nolockfs host
    dmsetup resume host
}

# host_that_fails_begin, host_that_fails_end: ext2 on a disk that become makes another one; a
# device through the page cache, where there is something to be written back.
host_that_fails_begin() {
    SECTORS=$(blockdev --getsz "$DISK")
    dmsetup create host --table "0 $SECTORS linear $DISK 0"
    fs_make ext2 /dev/mapper/host
    make_file "$MNT/file" "$SIZE"
    loop_create t0 "$MNT/file" 0 - buffered_io
    flush
    dd if=/dev/zero of=/dev/mapper/t0 bs=4096 count=1 seek=$((BLOCKS / 2)) oflag=direct conv=notrunc status=none
    become error
}
host_that_fails_end() {
    remove t0
    unmount "$MNT"
    remove host
}

# What is in the page cache cannot be written back, which nobody waits for; then somebody
# writes with FUA, and is told. Who wrote the first is to be told as well, once.
told_to_each() {
    host_that_fails_begin
    sync -f "$MNT/file" || true
    fua_write_fails
    become "linear $DISK 0"
    fails_with "Input/output error" flush
    flush
    host_that_fails_end
}

# A suspend finds it out, and has nobody to tell.
told_after_another_table() {
    host_that_fails_begin
    kmsg_mark
    dmsetup suspend t0
    kmsg_since | grep -F "cannot sync a suspended device"
    become "linear $DISK 0"
    dmsetup load t0 --table "$(dmsetup table t0)"
    dmsetup resume t0
    fails_with "Input/output error" flush
    flush
    host_that_fails_end
}

count=2
for host in "${ON_DISK[@]}" 9p; do count=$((count + $(modes_of "$host" | wc -w))); done
plan "$count"
for host in "${ON_DISK[@]}" 9p; do
    LACK=$(host_lacks "$host")
    [ -n "$LACK" ] || host_begin "$host" "$DISK"
    FILE=$FOLDER/file
    for mode in $(modes_of "$host"); do
        TRIED="$host, $mode"
        try "a write with FUA is stable when it ends" stable_when_it_ends "$mode"
    done
    [ -n "$LACK" ] || host_end
done
check "what was lost is told to who flushes, whoever was told before" told_to_each
check "so is what a suspend found lost, also with another table" told_after_another_table
