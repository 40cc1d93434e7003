#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 8G --disk 2G,logical_block_size=4096 --cpus 1 --mem 1G
# trust
#
# Backing files of strange kinds: without a name, in memory, the kernel's own, sealed; and a
# file on a device on a file, many times over. refuse-open.sh has what is no regular file.
. ./lib.sh
. ./lib-refuse.sh

SIZE=$((1 << 20)) SECTORS=2048
FILE=$MNT/file
SEED=${SEED:-$(date +%s)}
COUNT=20
[ -z "${LONG:-}" ] || COUNT=2000
DEPTH=8

# strange KIND: has holder.py hold such a file, and sets STRANGE to a path that leads to it.
strange() {
    coproc HELD { exec python3 "$HERE/holder.py" "$1" "$MNT"; }
    # shellcheck disable=SC2153 # bash sets it
    HOLDER=$HELD_PID
    IFS= read -r -t 60 STRANGE <&"${HELD[0]}"
}
let_go() {
    local fd=${HELD[1]}
    exec {fd}>&-
    wait "$HOLDER" || true
}

# no_name KIND: of a file on a disk. The device works, and its table says that there is no
# way back to the file.
no_name() {
    local before options
    before=$(stat -f -c %f "$MNT")
    for options in block_mapped file_mapped buffered_io; do
        strange "$1"
        loop_create odd "$STRANGE" 0 "$SECTORS" "$options"
        pattern verify --direct /dev/mapper/odd 0 "$SIZE" 1 -- write --direct /dev/mapper/odd 4096 8192 2
        [[ $(dmsetup table odd) == "0 $SECTORS loop /"*"\\040(deleted) 0 1 $options" ]] ||
            fail "the table is $(dmsetup table odd)"
        dmsetup table odd >"$WORK/table"
        # The device keeps it.
        let_go
        drop_caches
        pattern verify --direct /dev/mapper/odd 4096 8192 2 -- verify --direct /dev/mapper/odd 12288 $((SIZE - 12288)) 1
        remove odd
        fails_with "No such file" dmsetup create odd <"$WORK/table"
    done
    sync -f "$MNT"
    [ "$(stat -f -c %f "$MNT")" -ge $((before - 16)) ] || fail "the space has not come back"
}

in_memory() {
    strange memory
    refused EOPNOTSUPP "Cannot block-map: file system has no block device" "0 8 loop $STRANGE 0 1 block_mapped"
    loop_create odd "$STRANGE" 0 "$SECTORS"
    pattern verify --direct /dev/mapper/odd 0 "$SIZE" 1 -- write --direct /dev/mapper/odd 0 4096 2 -- \
        verify "$STRANGE" 0 4096 2
    remove odd
    let_go
}

# It opens for writing; each write fails.
sealed_memory() {
    strange sealed
    loop_create odd "$STRANGE" 0 "$SECTORS"
    pattern verify --direct /dev/mapper/odd 0 "$SIZE" 1
    fails_with "rror" dd if=/dev/zero of=/dev/mapper/odd bs=4096 count=1 oflag=direct conv=notrunc
    pattern verify --direct /dev/mapper/odd 0 "$SIZE" 1 -- verify "$STRANGE" 0 "$SIZE" 1
    remove odd
    let_go
}

# refused_somehow PATH: with a message, whatever it is; and nothing is left.
refused_somehow() {
    local options
    for options in "" --readonly; do
        news >/dev/null
        # shellcheck disable=SC2086 # a word or none
        if dmsetup load refused $options --table "0 8 loop $1 0"; then fail "accepted: $1"; fi
        news | tee "$WORK/news"
        expect 1 "$(grep -c '^device-mapper: table: .*: loop: [A-Z].* (-E[A-Z]*)$' "$WORK/news")" "messages about $1"
    done
}

no_files() {
    local kind
    for kind in pipe socket event inotify poll timer secret; do
        if ! strange "$kind"; then
            # Some kernels have none.
            [ "$kind" = secret ]
            continue
        fi
        refused_somehow "$STRANGE"
        let_go
    done
}

# They can be read, but written to only through a mapping.
huge_pages() {
    local huge=$((4 << 20))
    [ -e /proc/sys/vm/nr_hugepages ] || skip_this "no huge pages"
    echo 4 >/proc/sys/vm/nr_hugepages
    mount -t hugetlbfs -o pagesize=2M none "$WORK/huge" || skip_this "no huge pages of 2 MiB"
    truncate -s "$huge" "$WORK/huge/file"
    refused EINVAL "Backing file cannot be mapped" "$(loop_table "$WORK/huge/file" 0)"
    loop_create --readonly odd "$WORK/huge/file" 0
    pattern zeros --direct /dev/mapper/odd 0 "$huge"
    remove odd
    umount "$WORK/huge"
    echo 0 >/proc/sys/vm/nr_hugepages
}

# of_the_kernel FOLDER…
of_the_kernel() {
    dmsetup create swept --notable
    python3 "$HERE/sweep.py" swept "$COUNT" "$SEED" "$@" >"$WORK/swept"
    [ "$1" != /sys/devices ] || grep "is read" "$WORK/swept"
    sed "s|^|# $1: |" "$WORK/swept" >>"$WORK/counts"
    remove swept
    [ "$(cat /sys/module/dm_loop/refcnt)" = 0 ]
}

# sealed ATTRIBUTE: what may not be written to can be shown by a read-only device.
sealed() {
    local options
    make_file "$FILE" "$SIZE"
    chattr "+$1" "$FILE"
    for options in block_mapped file_mapped; do
        loop_create --readonly odd "$FILE" 0 - "$options"
        pattern verify --direct /dev/mapper/odd 0 "$SIZE" 1
        remove odd
        lsattr "$FILE" | grep -q "^[^ ]*$1"
    done
    chattr "-$1" "$FILE"
    unclaimed "$FILE"
}

bound_read_only() {
    local options
    make_file "$FILE" "$SIZE"
    mount --bind "$MNT" "$WORK/bound"
    mount -o remount,bind,ro "$WORK/bound"
    for options in block_mapped file_mapped; do
        SEALED=1 file_refused EROFS "Cannot open backing file" "$WORK/bound/file" 0 - "$options"
        loop_create --readonly odd "$WORK/bound/file" 0 - "$options"
        pattern verify --direct /dev/mapper/odd 0 "$SIZE" 1
        remove odd
    done
    umount "$WORK/bound"
    unclaimed "$FILE"
}

# tower MODE: devices on files on devices; on the topmost everything works as on a single one.
tower() {
    local level sectors=$(((DEPTH + 1) * 8192)) below=$FILE folder
    make_file "$below" $((sectors * 512))
    loop_create tower0 "$below" 0 - "$1"
    for ((level = 1; level <= DEPTH; level++)); do
        folder=$WORK/tower$level
        mkdir -p "$folder"
        # Smaller by less than what the file system needs for itself would not fit.
        sectors=$((sectors - 8192))
        fs_make ext2 "/dev/mapper/tower$((level - 1))" "$folder"
        make_file "$folder/file" $((sectors * 512))
        loop_create "tower$level" "$folder/file" 0 - "$1"
    done
    pattern verify --direct "/dev/mapper/tower$DEPTH" 0 $((sectors * 512)) 1 -- \
        write --direct "/dev/mapper/tower$DEPTH" 0 $((sectors * 512)) 2 -- \
        verify --direct "/dev/mapper/tower$DEPTH" 0 $((sectors * 512)) 2
    for ((level = DEPTH; level >= 1; level--)); do
        fails_with "failed" dmsetup remove "tower$((level - 1))"
        remove "tower$level"
        [ "$level" != "$DEPTH" ] || pattern verify "$WORK/tower$level/file" 0 $((sectors * 512)) 2
        umount "$WORK/tower$level"
        fs_check ext2 "/dev/mapper/tower$((level - 1))"
    done
    remove tower0
    unclaimed "$FILE"
    rm "$FILE"
}

# A device under that of the file is to show the file: it would write where it is read from.
# Device-mapper recognises this only where there is nothing in between, for its own targets as
# for this one. Such a table may be loaded; it is well as long as nobody resumes it.
itself_through_another() {
    local sectors=262144 disk table
    disk=$(disk 1)
    dmsetup create below --table "0 $sectors linear $disk 0"
    dmsetup create above --table "0 $sectors linear /dev/mapper/below 0"
    # Without this nothing could be taken down again.
    trap 'dmsetup clear below || true' EXIT
    dmsetup load below --table "0 $SECTORS linear /dev/mapper/above 0"
    dmsetup clear below
    fs_make ext4 /dev/mapper/above "$WORK/bound"
    make_file "$WORK/bound/file" "$SIZE"
    for table in "0 $SECTORS loop $WORK/bound/file 0" "0 $SECTORS loop $WORK/bound/file 0 1 file_mapped"; do
        dmsetup load below --table "$table"
        dmsetup clear below
        unclaimed "$WORK/bound/file"
    done
    unmount "$WORK/bound"
    fs_check ext4 /dev/mapper/above
    remove above below
}

fs_make ext4
mkdir "$WORK/bound" "$WORK/huge"
refusals_begin
mountpoint -q /sys/kernel/debug || mount -t debugfs debugfs /sys/kernel/debug
plan 15
echo "# seed $SEED"
check "deleted" no_name deleted
check "never had a name" no_name unnamed
check "in memory" in_memory
check "in memory, sealed" sealed_memory
check "what is behind a descriptor and no file" no_files
check "huge pages" huge_pages
check "files of /proc" of_the_kernel /proc
check "files of /sys" of_the_kernel /sys/devices /sys/kernel /sys/module /sys/fs
check "files of debugfs" of_the_kernel /sys/kernel/debug
check "immutable, read-only table" sealed i
check "append-only, read-only table" sealed a
check "bind mount that is read-only" bound_read_only
check "$DEPTH devices on each other, block-mapped" tower block_mapped
check "$DEPTH devices on each other, file-mapped" tower file_mapped
check "the device itself, through another: no worse than linear" itself_through_another
[ ! -e "$WORK/counts" ] || cat "$WORK/counts"
# The kernel mounts it there for whoever looks.
umount /sys/kernel/debug/tracing 2>/dev/null || true
fs_end
