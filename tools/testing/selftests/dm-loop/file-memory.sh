#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 8G --cpus 1 --mem 256M --timeout 3000
#
# A file-mapped device in little memory: a big copy into a file system on a sparse image
# neither fills it with dirty pages nor makes the writer stand still for longer than
# /dev/loop does, what goes past the page cache does not fill that, and neither do bios that
# wait for a disk that has stopped.
. ./lib.sh
. ./lib-file.sh

COPY=160 # MiB
SIZE=$(((COPY + 64) << 20))
INNER=$WORK/inner
mkdir "$INNER"

# copied NAME DEVICE: makes a file system, copies, and sets $NAME to what copy.py says.
copied() {
    local figures
    udevadm settle
    mkfs.ext4 -qF -E lazy_itable_init=1 "$2"
    mount "$2" "$INNER"
    udevadm settle
    drop_caches
    figures=$(python3 "$HERE/copy.py" "$INNER/copy" "$COPY")
    umount "$INNER"
    echo "$1: $figures"
    read -r "${1}_pause" "${1}_sync" "${1}_time" "${1}_dirty" <<<"$figures"
}

# both_copied MODE: on /dev/loop, then on dm-loop.
both_copied() {
    local direct threshold loop
    direct=$([ "$1" = direct ] && echo on || echo off)
    file_make sparse "$FILE" "$SIZE"
    loop=$(losetup --find --show --direct-io="$direct" "$FILE")
    [ -b "$loop" ]
    copied loop "$loop"
    losetup -d "$loop"
    file_make sparse "$FILE" "$SIZE"
    loop_create t0 "$FILE" 0 - "$1_io"
    copied ours /dev/mapper/t0
    e2fsck -fn /dev/mapper/t0
    remove t0
    threshold=$(awk '$1 == "nr_dirty_threshold" { print $2 * 4 }' /proc/vmstat)
    echo "dirty: $ours_dirty KiB, with /dev/loop $loop_dirty, threshold $threshold"
    # The kernel lets nobody dirty more than its threshold, give or take a batch.
    [ "$ours_dirty" -le $((threshold + threshold / 4)) ] ||
        fail "$ours_dirty KiB were dirty, with a threshold of $threshold"
}

# least NAME FIGURE, most NAME FIGURE: keeps the least, or the most, that NAME ever was.
least() { [ "${!1:-$2}" -lt "$2" ] || printf -v "$1" %s "$2"; }
most() { [ "${!1:-$2}" -gt "$2" ] || printf -v "$1" %s "$2"; }

# The longest pause of a write, the sync in the end, and the whole. What else the machine does
# only ever adds to a time, to that of one as to that of the other: with dm-loop there must be
# a round that is no longer than one with /dev/loop. There are more rounds only as long as
# there is none. Of two devices that are alike, five rounds would take one for the slower once
# in 252 times, which is too often for three figures in four checks; ten do so once in 184,756.
big_copy() {
    # shellcheck disable=SC2034 # set by both_copied, and used by name
    local loop_pause loop_sync loop_time loop_dirty ours_pause ours_sync ours_time ours_dirty
    local most_loop_pause='' most_loop_sync='' most_loop_time='' least_ours_pause='' least_ours_sync='' least_ours_time=''
    local round name loop ours longer
    for round in {1..10}; do
        both_copied "$1"
        longer=''
        for name in pause sync time; do
            loop=loop_$name ours=ours_$name
            most "most_$loop" "${!loop}"
            least "least_$ours" "${!ours}"
            loop=most_$loop ours=least_$ours
            [ "${!ours}" -le "${!loop}" ] || longer=yes
        done
        [ "$longer" ] || return 0
    done
    fail "in $round rounds with dm-loop, and with /dev/loop: a pause of $least_ours_pause ms, $most_loop_pause;" \
        "a sync of $least_ours_sync ms, $most_loop_sync; in all $least_ours_time ms, $most_loop_time"
}

# The page cache of the machine, before and after the device was written and read.
past_the_page_cache() {
    local before after
    file_make sparse "$FILE" $((128 << 20))
    loop_create t0 "$FILE" 0 - "$1_io"
    udevadm settle
    drop_caches
    before=$(cached)
    dd if=/dev/urandom of=/dev/mapper/t0 bs=1M count=96 oflag=direct conv=notrunc,fsync status=none
    dd if=/dev/mapper/t0 of=/dev/null bs=1M count=96 iflag=direct status=none
    after=$(cached)
    echo "cached before $before KiB, after $after KiB"
    remove t0
    case $1 in
    direct) [ $((after - before)) -lt 8192 ] || fail "the page cache grew from $before to $after KiB" ;;
    # Which shows that it is measured.
    buffered) [ $((after - before)) -gt 32768 ] || fail "the page cache only grew from $before to $after KiB" ;;
    esac
}

# A backlog that is much larger than the memory.
backlog() {
    file_make sparse "$FILE" "$SIZE"
    loop_create t0 "$FILE" 0 - "$1_io"
    fio --minimal --allow_file_create=0 --filename=/dev/mapper/t0 --thread --direct=1 --ioengine=io_uring \
        --iodepth=256 --name=backlog --rw=randwrite --bs=64k --size=$((COPY))m --io_size=$((COPY))m \
        --verify=crc32c --verify_fatal=1 | awk -F';' '$5 != 0 { print; exit 1 }'
    remove t0
}

# in_flight: bios of the device that have not ended.
in_flight() { dmsetup status t0 | cut -d' ' -f7; }
all_in_flight() { [ "$(in_flight)" -ge "$QUEUED" ]; }

# How many bios are queued, how much of the page cache may be dirty, and the bytes that each bio
# may take.
QUEUED=4096 DIRTY=$((8 << 20)) PER_BIO=4096

# queue_up: fio with that many bios in flight. (It warns of several writers in a line of its own.)
queue_up() {
    fio --minimal --allow_file_create=0 --filename=/dev/mapper/t0 --thread --direct=1 --ioengine=io_uring \
        --numjobs=$((QUEUED / 1024)) --iodepth=1024 --size=8m --offset_increment=8m \
        --name=queued --rw=randwrite --bs=4k --verify=crc32c --verify_fatal=1 >"$WORK/fio"
    awk -F';' -v jobs=$((QUEUED / 1024)) 'NF > 10 { n++; bad += $5 != 0 } END { exit n != jobs || bad }' "$WORK/fio" ||
        fail "$(<"$WORK/fio")"
}

# The disk of the host stops, and thousands of bios wait: what they take.
stopped_disk() {
    local fio slab pages waiting
    file_make sparse "$FILE" $((64 << 20))
    loop_create t0 "$FILE" 0 - "$1_io"
    # What fio takes for itself it has then.
    queue_up
    sync
    dmsetup suspend --noflush --nolockfs slow
    trap 'dmsetup resume slow' EXIT
    slab=$(memory SUnreclaim) pages=$(cached)
    queue_up &
    fio=$!
    wait_until all_in_flight
    waiting=$(in_flight)
    slab=$(($(memory SUnreclaim) - slab)) pages=$(($(cached) - pages))
    trap - EXIT
    dmsetup resume slow
    wait "$fio"
    [ $((slab * 1024 / waiting)) -le "$PER_BIO" ] || fail "$slab KiB for $waiting bios"
    [ "$pages" -le $((DIRTY * 5 / 4 / 1024)) ] || fail "$pages KiB of page cache"
    remove t0
}

plan 10
for host in ext4 xfs; do
    host_begin "$host"
    FILE=$FOLDER/file
    for mode in direct buffered; do check "$host, $mode: a big copy" big_copy "$mode"; done
    if [ "$host" = ext4 ]; then
        for mode in direct buffered; do check "$host, $mode: the page cache" past_the_page_cache "$mode"; done
    else
        for mode in direct buffered; do check "$host, $mode: a large backlog" backlog "$mode"; done
    fi
    host_end
done
dmsetup create slow --table "0 $((1 << 21)) linear $(disk 0) 0"
host_begin ext4 /dev/mapper/slow
FILE=$FOLDER/file
ratio=$(</proc/sys/vm/dirty_ratio)
echo "$DIRTY" >/proc/sys/vm/dirty_bytes
for mode in direct buffered; do check "ext4, $mode: a disk that has stopped" stopped_disk "$mode"; done
echo "$ratio" >/proc/sys/vm/dirty_ratio
host_end
remove slow
