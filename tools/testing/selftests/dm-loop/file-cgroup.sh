#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 8G --cpus 1 --mem 1G
#
# What a file-mapped device costs is charged to the cgroup that uses it, though kernel
# threads do the work: the I/O of the host disk, and the page cache.
. ./lib.sh
. ./lib-file.sh

SIZE=$((32 << 20))
ROOT=/sys/fs/cgroup
GROUP=$ROOT/dm-loop-test
DISK=$(disk 0)

# within COMMAND…: in the group.
within() {
    # shellcheck disable=SC2016 # for the inner shell
    bash -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$GROUP" "$@"
}

# charged rbytes|wbytes: what the group has read from or written to the host disk.
charged() {
    awk -v disk="$(mountpoint -x "$DISK")" -v what="$1=" '$1 == disk {
        for (i = 2; i <= NF; i++) if (index($i, what) == 1) n = substr($i, length(what) + 1)
    } END { print n + 0 }' "$GROUP/io.stat"
}
file_pages() { awk '$1 == "file" { print $2 }' "$GROUP/memory.stat"; }

group() {
    mkdir "$GROUP"
    "$@"
    rmdir "$GROUP"
}
# What a failed check left.
again() { [ ! -d "$GROUP" ] || rmdir "$GROUP"; }

direct() {
    local written read
    file_make sparse "$FILE" "$SIZE"
    loop_create t0 "$FILE" 0 - direct_io
    within dd if=/dev/urandom of=/dev/mapper/t0 bs=1M count=32 oflag=direct conv=notrunc status=none
    written=$(charged wbytes)
    [ "$written" -ge "$SIZE" ] || fail "$written bytes of $SIZE are charged"
    within dd if=/dev/mapper/t0 of=/dev/null bs=1M count=32 iflag=direct status=none
    read=$(charged rbytes)
    [ "$read" -ge "$SIZE" ] || fail "$read bytes of $SIZE are charged"
    remove t0
}

buffered() {
    local pages
    file_make sparse "$FILE" "$SIZE"
    loop_create t0 "$FILE" 0 - buffered_io
    drop_caches
    within dd if=/dev/urandom of=/dev/mapper/t0 bs=1M count=32 oflag=direct conv=notrunc status=none
    pages=$(file_pages)
    [ "$pages" -ge $((SIZE * 3 / 4)) ] || fail "$pages bytes of page cache are charged, of $SIZE"
    remove t0
}

# A device that is used by nobody of the group costs it nothing.
others() {
    file_make sparse "$FILE" "$SIZE"
    loop_create t0 "$FILE" 0 - direct_io
    within dd if=/dev/urandom of=/dev/mapper/t0 bs=4k count=1 oflag=direct conv=notrunc status=none
    dd if=/dev/urandom of=/dev/mapper/t0 bs=1M count=32 oflag=direct conv=notrunc status=none
    [ "$(charged wbytes)" -lt $((1 << 20)) ] || fail "$(charged wbytes) bytes are charged"
    remove t0
}

for controller in memory io; do
    grep -qw "$controller" "$ROOT/cgroup.controllers" || skip_all "this kernel has no cgroup controller for $controller"
done
echo "+memory +io" >"$ROOT/cgroup.subtree_control"
plan 6
for host in ext4 xfs; do
    host_begin "$host"
    FILE=$FOLDER/file
    check "$host, direct: the I/O of the disk" group direct
    again
    check "$host, buffered: the page cache" group buffered
    again
    check "$host: the I/O of others" group others
    again
    host_end
done
echo "-memory -io" >"$ROOT/cgroup.subtree_control"
