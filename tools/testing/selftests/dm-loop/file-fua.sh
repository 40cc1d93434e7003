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
        requests fua_alone "$SIZE" >"$WORK/trace"
        grep -x P9_TFSYNC "$WORK/trace" >"$WORK/barriers" || true
    else
        traced "$DISK" fua_alone "$SIZE" >"$WORK/trace"
        grep '^F' "$WORK/trace" >"$WORK/barriers" || true
    fi
    expect "$before" "$(flushes_that_came)" "flushes of the device"
    remove t0
    [ "$(wc -l <"$WORK/barriers")" -ge "$BLOCKS" ] ||
        fail "$BLOCKS writes, but only $(wc -l <"$WORK/barriers") times something became stable"
}

# fua_write_fails: of one block.
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
become() { retable host "0 $SECTORS $1"; }

# host_that_fails_begin HOST, host_that_fails_end: on a disk that become makes another one; a
# device through the page cache, where there is something to be written back.
host_that_fails_begin() {
    SECTORS=$(blockdev --getsz "$DISK")
    dmsetup create host --table "0 $SECTORS linear $DISK 0"
    host_begin "$1" /dev/mapper/host
    make_file "$FOLDER/file" "$SIZE"
    loop_create t0 "$FOLDER/file" 0 - buffered_io
    flush
    dd if=/dev/zero of=/dev/mapper/t0 bs=4096 count=1 seek=$((BLOCKS / 2)) oflag=direct conv=notrunc status=none
    become error
}
host_that_fails_end() {
    remove t0
    [ "$FOLDER" = "$MNT" ] || unmount "$FOLDER"
    # What may have failed with the rest is not to be looked at.
    unmount "$MNT"
    remove host
}

# What is in the page cache cannot be written back, which nobody waits for; then somebody
# writes with FUA, and is told. Who wrote the first is to be told as well, once.
told_to_each() {
    host_that_fails_begin ext2
    sync -f "$MNT/file" || true
    fua_write_fails
    become "linear $DISK 0"
    fails_with "Input/output error" flush
    flush
    host_that_fails_end
}

# suspended [OPTION]: the device; what the module says of it, is in $WORK/said.
suspended() {
    kmsg_mark
    dmsetup suspend "$@" t0
    kmsg_since | grep -F "cannot sync a suspended device" >"$WORK/said" || true
}

# found_by_a_suspend HOST [told] [reload] [--noflush]: which has nobody to tell. "told": whom a
# durable write has told meanwhile, is not who flushes.
found_by_a_suspend() {
    # ext2 has no journal, which could fail for good.
    OVERLAY_ON=ext2 host_that_fails_begin "$1"
    [[ " $* " != *" told "* ]] || fua_write_fails
    if [[ " $* " == *" --noflush"* ]]; then
        # It looks at what is known, and has nothing to say.
        suspended --noflush
        expect "" "$(<"$WORK/said")" "said of what was not looked for"
    else
        suspended
        grep -F "(EIO)" "$WORK/said"
    fi
    become "linear $DISK 0"
    [[ " $* " != *" reload "* ]] || dmsetup load t0 --table "$(dmsetup table t0)"
    dmsetup resume t0
    fails_with "Input/output error" flush
    flush
    # It was told, and that was that.
    suspended
    expect "" "$(<"$WORK/said")" "said of nothing lost"
    dmsetup resume t0
    flush
    host_that_fails_end
}

# write_some SEED: asynchronously, and past the page cache of the device.
write_some() {
    fio --minimal --allow_file_create=0 --filename=/dev/mapper/t0 --direct=1 --ioengine=libaio --iodepth=4 \
        --name=write --rw=randwrite --randseed="$1" --bs=4k --size="$SIZE" --io_size=65536 >"$WORK/fio" ||
        { cat "$WORK/fio" && return 1; }
}
write_and_flush() { write_some "$1" && flush; }

# Overwritten by asynchronous direct I/O, and then flushed: for the disk the data is new,
# whatever the file system thinks. (That of NFS is stable before, if it is direct.)
flushed_behind_async() {
    local n
    make_file "$FILE" "$SIZE"
    loop_create t0 "$FILE" 0 - file_mapped "$1_io"
    for n in 1 2 3 4 5 6 7 8; do
        if [ "$HOST" = nfs ]; then
            traced "$DISK" write_and_flush "$n" >"$WORK/trace"
        else
            write_some "$n"
            traced "$DISK" flush >"$WORK/trace"
        fi
        grep '^F' "$WORK/trace" || fail "flush $n of the device is none of the disk: $(<"$WORK/trace")"
    done
    remove t0
}

# An overlay that looks larger than the disk of f2fs, where the file is until somebody opens it for
# writing; after that it is on no disk.
only_read() {
    fs_make f2fs "$DISK"
    make_file "$MNT/file" "$SIZE"
    mkdir -p "$WORK/upper" "$WORK/overlay"
    mount -t tmpfs -o size=16G tmpfs "$WORK/upper"
    mkdir "$WORK/upper"/{upper,work}
    mount -t overlay -o "lowerdir=$MNT,upperdir=$WORK/upper/upper,workdir=$WORK/upper/work" overlay "$WORK/overlay"
    loop_create --readonly t0 "$WORK/overlay/file" 0 - direct_io
    flush_of_a_reader
    true >>"$WORK/overlay/file"
    flush_of_a_reader
    expect 2 "$(flushes_that_came)" "flushes of the device"
    remove t0
    unmount "$WORK/overlay"
    unmount "$WORK/upper"
    fs_end
}
flush_of_a_reader() { python3 -c 'import os; os.fsync(os.open("/dev/mapper/t0", os.O_RDONLY))'; }

# What was overwritten before the device became one that is only read, and nothing was flushed.
only_read_now() {
    fs_make f2fs "$DISK"
    make_file "$MNT/file" "$SIZE"
    loop_create t0 "$MNT/file" 0 - file_mapped direct_io
    write_some 1
    dmsetup load --readonly t0 --table "$(dmsetup table t0)"
    dmsetup suspend --noflush t0
    dmsetup resume t0
    traced "$DISK" flush_of_a_reader | grep '^F'
    remove t0
    fs_end
}

count=$((14 + $(modes_of 9p | wc -w)))
for host in "${ON_DISK[@]}"; do count=$((count + 2 * $(modes_of "$host" | wc -w))); done
plan "$count"
for host in "${ON_DISK[@]}" 9p; do
    LACK=$(host_lacks "$host")
    [ -n "$LACK" ] || host_begin "$host" "$DISK"
    FILE=$FOLDER/file
    for mode in $(modes_of "$host"); do
        TRIED="$host, $mode"
        try "a write with FUA is stable when it ends" stable_when_it_ends "$mode"
        [ "$host" = 9p ] || try "a flush is one of the disk" flushed_behind_async "$mode"
    done
    [ -n "$LACK" ] || host_end
done
# What is below decides.
OVERLAY_ON=f2fs host_begin overlay "$DISK"
FILE=$FOLDER/file
for mode in direct buffered; do
    check "overlay on f2fs, $mode: a flush is one of the disk" flushed_behind_async "$mode"
done
host_end
check "what was lost is told to who flushes, whoever was told before" told_to_each
for host in ext2 overlay; do
    check "$host: so is what a suspend found lost" found_by_a_suspend "$host"
    check "$host: with another table, too" found_by_a_suspend "$host" reload
    check "$host: after a write with FUA was told" found_by_a_suspend "$host" told
    check "$host: with another table, after that" found_by_a_suspend "$host" told reload
done
check "with another table, and a suspend that looks for nothing" found_by_a_suspend ext2 told reload --noflush
check "a file that is only read has nothing that could be forgotten" only_read
check "but what was written before it was only read, is flushed" only_read_now
