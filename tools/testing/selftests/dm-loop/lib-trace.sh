# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What really reaches a disk; sourced after lib.sh by the tests that ask.

TRACE=/sys/kernel/tracing
mountpoint -q "$TRACE" || mount -t tracefs tracefs "$TRACE"

# traced DISK COMMAND…: runs COMMAND, then prints each bio that went to DISK meanwhile:
# kind (as blktrace has it: R, W, D for discard; with an F in front for a flush, behind
# for FUA), first sector, number of sectors. Bios and not requests, as discards of
# several places may be merged into one request.
traced() {
    local disk=$1 major minor event=$TRACE/events/block/block_bio_queue status=0
    shift
    IFS=: read -r major minor <<<"$(mountpoint -x "$disk")"
    echo 0 >"$TRACE/tracing_on"
    echo >"$TRACE/trace"
    echo "dev == $((major << 20 | minor))" >"$event/filter"
    echo 1 >"$event/enable"
    echo 1 >"$TRACE/tracing_on"
    "$@" >&2 || status=$?
    echo 0 >"$TRACE/tracing_on"
    echo 0 >"$event/enable"
    echo 0 >"$event/filter"
    # … block_bio_queue: 259,0 WFS 35072 + 8 [python3]
    sed -nE 's/.*block_bio_queue: [0-9,]+ ([A-Z]+) ([0-9]+) \+ ([0-9]+) .*/\1 \2 \3/p' "$TRACE/trace"
    return "$status"
}

# fua_alone SIZE: each 4 KiB of t0, with FUA, in ascending order and one after the other, but with
# no flush behind each, which would hide that FUA does nothing: for asynchronous writes the kernel
# sends none.
fua_alone() {
    fio --minimal --allow_file_create=0 --filename=/dev/mapper/t0 --direct=1 --sync=dsync --ioengine=libaio \
        --iodepth=1 --name=fua --rw=write --bs=4k --size="$1" >"$WORK/fio" || { cat "$WORK/fio" && return 1; }
}

# flushes_that_came: how many flushes t0 has seen.
flushes_that_came() { dmsetup message t0 0 stat | cut -d' ' -f2; }
