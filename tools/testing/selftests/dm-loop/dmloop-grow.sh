#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 8G --disk 2G,logical_block_size=4096 --cpus 1 --mem 1G --tools
#
# dmloop grow: a device and its file get larger, while in use, and no other file does.
. ./lib.sh
. ./lib-tools.sh

SIZE=$((1 << 20))
FILE=$MNT/file

written_once_more() {
    python3 "$HERE/pattern.py" write --direct /dev/mapper/x 65536 4096 2 && touch "$WORK/written"
}

# grow KIND: a file of that kind, its device, and a writer who does not stop meanwhile.
grow() {
    local writer size mapping=file
    rm -f "$WORK/enough" "$WORK/written"
    case $1 in
    sparse) make_sparse "$FILE" "$SIZE" ;;
    written)
        make_file "$FILE" "$SIZE"
        mapping=block
        ;;
    esac
    dmloop attach "$FILE" x -o 4096
    pattern write --direct /dev/mapper/x 0 65536 1
    until_enough written_once_more &
    writer=$!
    wait_until [ -e "$WORK/written" ]
    dmloop grow x 2M
    dmloop grow x +1M
    touch "$WORK/enough"
    wait "$writer"
    expect $((3 * SIZE)) "$(blockdev --getsize64 /dev/mapper/x)"
    expect $((3 * SIZE + 4096)) "$(stat -c %s "$FILE")"
    expect "0 $((3 * SIZE / 512)) loop $FILE 4096" "$(dmsetup table x)"
    expect "$mapping" "$(dmsetup status x | cut -d' ' -f4)"
    pattern verify --direct /dev/mapper/x 0 65536 1
    pattern verify --direct /dev/mapper/x 65536 4096 2
    pattern write --direct /dev/mapper/x $((3 * SIZE - 4096)) 4096 3
    dmloop grow x 3M | grep -qF already
    # Not by whole blocks of the file system; nor of the disk's, for a block-mapped one.
    dmloop grow x $((3 * SIZE + 512))
    expect $((3 * SIZE + 512)) "$(blockdev --getsize64 /dev/mapper/x)"
    expect "$mapping" "$(dmsetup status x | cut -d' ' -f4)"
    dmloop_fails 1 "grow makes nothing smaller" grow x 1M
    # A sparse one needs no room.
    if [ "$mapping" = block ]; then
        size=$(stat -c %s "$FILE")
        dmloop_fails 1 "make room on the file system" grow x 1T
        # Not even as much as there is room for.
        expect "$size" "$(stat -c %s "$FILE")"
    fi
    expect $((3 * SIZE + 512)) "$(blockdev --getsize64 /dev/mapper/x)"
    dmloop_fails 2 "not a multiple of 512" grow x 4000000
    dmloop_fails 2 "a size is a number" grow x +
    dmloop_fails 4 "there is no device" grow nowhere 1M
    dmsetup suspend x
    dmloop_fails 5 "dmsetup resume x first" grow x 4M
    dmsetup resume x
    dmloop detach x
    # The file holds what was written beyond its old end.
    tail -c +$((3 * SIZE + 1)) "$FILE" >"$WORK/tail"
    pattern verify "$WORK/tail" 0 4096 3 $((3 * SIZE - 4096))
}

# catches PROCESS: whether it is dmloop, and handles SIGTERM by now, or has ended.
catches() {
    local key value
    while read -r key value _; do
        case $key in
        Name:) [ "$value" = dmloop ] || return 1 ;;
        State:) [ "$value" != Z ] || return 0 ;;
        SigCgt:) return $(((0x$value & 1 << 14) == 0)) ;;
        esac
    done <"/proc/$1/status"
}

# grow_interrupted KIND: it is as large as it was, or as it should be, and goes on working.
grow_interrupted() {
    local n size before worker status seen=''
    case $1 in
    sparse) make_sparse "$FILE" "$SIZE" ;;
    written) make_file "$FILE" "$SIZE" ;;
    esac
    dmloop attach "$FILE" x
    for n in {0..11}; do
        before=$(blockdev --getsize64 /dev/mapper/x)
        # So that it gets hardly any time while it is looked at.
        nice -n 19 "$DMLOOP" grow x +8M >/dev/null 2>"$WORK/said" &
        worker=$!
        until [ ! -e "/proc/$worker/status" ] || catches "$worker" 2>/dev/null; do :; done
        # At once, while the file gets larger, and while the table is changed.
        [ "$n" -lt 4 ] || sleep "0.$(printf %02d $(((n - n % 3) * 5 / 3)))"
        kill -TERM "$worker" 2>/dev/null || true
        status=0
        wait "$worker" 2>/dev/null || status=$?
        seen+=" $status"
        size=$(blockdev --getsize64 /dev/mapper/x)
        case $status in
        0) expect $((before + (8 << 20))) "$size" "size after $n" ;;
        130)
            expect "$before" "$size" "size after $n"
            grep -qF "interrupted:" "$WORK/said"
            ;;
        *) fail "exit code $status: $(<"$WORK/said")" ;;
        esac
        expect Active "$(dmsetup info -c --noheadings -o suspended x)" "state after $n"
        expect "Live" "$(dmsetup info -c --noheadings -o tables_loaded x)" "tables after $n"
        pattern write --direct /dev/mapper/x $((size - 4096)) 4096 "$n"
        pattern verify --direct /dev/mapper/x $((size - 4096)) 4096 "$n"
    done
    [[ $seen == *130* ]] || fail "it was never interrupted:$seen"
    dmloop grow x +8M
    expect $((size + (8 << 20))) "$(blockdev --getsize64 /dev/mapper/x)"
    dmloop detach x
}

# grow_leaves FILE: as it is, where something else than the file of x has the name of that.
grow_leaves() {
    stat -c '%s %b %Y %Z' "$1" >"$WORK/before"
    dmloop_fails 1 "$MNT/folder/file is not the file that x is on" grow x 2M
    stat -c '%s %b %Y %Z' "$1" | cmp - "$WORK/before"
}

# The path in the table leads to another file, on another file system or on the same: that
# is none of the device's business.
grow_another_file() {
    local kind folder=$MNT/folder other=$MNT/other
    for kind in "make_sparse tmpfs" "make_sparse bind" "make_file tmpfs" "make_file bind"; do
        mkdir "$folder" "$other"
        ${kind% *} "$folder/file" "$SIZE"
        make_file "$other/file" "$SIZE"
        dmloop attach "$folder/file" x
        case $kind in
        *tmpfs) mount -t tmpfs tmpfs "$folder" && cp "$other/file" "$folder" ;;
        *bind) mount --bind "$other" "$folder" ;;
        esac
        dmsetup table x >"$WORK/table"
        grow_leaves "$folder/file"
        if [[ $kind == *tmpfs ]]; then
            # One that nobody writes to.
            mv "$folder/file" "$folder/away"
            mkfifo "$folder/file"
            grow_leaves "$folder/away"
            mv "$folder/away" "$folder/file"
        fi
        dmsetup table x | cmp - "$WORK/table"
        pattern verify "$folder/file" 0 "$SIZE" 1
        # Nor does it show that file.
        expect "" "$(dmloop list -n -j "$folder/file")"
        umount "$folder"
        expect "$SIZE" "$(stat -c %s "$folder/file")"
        dmloop grow x 2M
        expect "0 $((2 * SIZE / 512)) loop $folder/file 0" "$(dmsetup table x)"
        dmloop detach x
        rm -r "$folder" "$other"
    done
}

# Whoever can read the file can lock it: that is told, and does not last.
grow_locked() {
    local worker status=0
    make_sparse "$FILE" "$SIZE"
    dmloop attach "$FILE" x
    exec {lock}<"$FILE"
    flock -s "$lock"
    dmloop_fails 5 "$FILE is locked" grow x 2M
    # (Who has the lock from us would keep it.)
    (exec "$DMLOOP" grow x 2M) {lock}<&- >/dev/null 2>"$WORK/said" &
    worker=$!
    wait_until catches "$worker"
    kill -TERM "$worker"
    wait "$worker" 2>/dev/null || status=$?
    expect 130 "$status"
    grep -qF "interrupted: nothing is changed" "$WORK/said"
    expect "$SIZE" "$(stat -c %s "$FILE")"
    (exec "$DMLOOP" grow x 2M) {lock}<&- &
    worker=$!
    wait_until catches "$worker"
    exec {lock}<&-
    wait "$worker"
    expect $((2 * SIZE)) "$(blockdev --getsize64 /dev/mapper/x)"
    dmloop detach x
}

# What does not become ready at once is made longer step by step.
grow_in_steps() {
    local worker status=0 size
    make_file "$FILE" "$SIZE"
    dmloop attach --block-mapped "$FILE" x
    dmloop grow x +600M
    expect $((SIZE + (600 << 20))) "$(blockdev --getsize64 /dev/mapper/x)"
    pattern verify --direct /dev/mapper/x 0 "$SIZE" 1 -- zeros /dev/mapper/x $((600 << 20)) "$SIZE"
    size=$(stat -c %s "$FILE")
    nice -n 19 "$DMLOOP" grow x +3G >/dev/null 2>"$WORK/said" &
    worker=$!
    until [ "$(stat -c %s "$FILE")" -gt "$size" ]; do :; done
    kill -TERM "$worker"
    wait "$worker" 2>/dev/null || status=$?
    expect 130 "$status" "exit code ($(<"$WORK/said"))"
    grep -qF "the device is as large as it was, and its file may be longer; run it again to go on" "$WORK/said"
    expect "$size" "$(blockdev --getsize64 /dev/mapper/x)"
    pattern write --direct /dev/mapper/x 0 "$SIZE" 2
    dmloop grow x +3G
    expect $((size + (3 << 30))) "$(blockdev --getsize64 /dev/mapper/x)"
    dmloop detach x
    pattern verify "$FILE" 0 "$SIZE" 2
    rm "$FILE"
}

# Nothing that cannot be mended is left even of one that was killed.
grow_killed() {
    local n ms size
    make_file "$FILE" "$SIZE"
    dmloop attach --block-mapped "$FILE" x
    for n in {0..15}; do
        ms=$((n * n * 4))
        interrupt "$((ms / 1000)).$(printf %03d $((ms % 1000)))" KILL grow x +8M
        dmsetup resume x
        size=$(blockdev --getsize64 /dev/mapper/x)
        pattern write --direct /dev/mapper/x $((size - 4096)) 4096 "$n" -- \
            verify --direct /dev/mapper/x $((size - 4096)) 4096 "$n"
    done
    dmloop grow x $((size + SIZE))
    expect $((size + SIZE)) "$(blockdev --getsize64 /dev/mapper/x)"
    dmloop detach x
}

grow_in_the_way() {
    make_file "$FILE" $((2 * SIZE))
    dmloop attach --block-mapped --sizelimit "$SIZE" "$FILE" x
    dmloop attach --block-mapped -o "$SIZE" "$FILE" y
    dmloop_fails 5 "the kernel has refused the new table: Backing file is in use" grow x +4K
    expect "0 $((SIZE / 512)) loop $FILE 0 1 block_mapped" "$(dmsetup table x)"
    expect Live "$(dmsetup info -c --noheadings -o tables_loaded x)"
    dmloop detach y
    # Thawed also if a check fails.
    trap 'fsfreeze -u "$MNT" 2>/dev/null || true' EXIT
    fsfreeze -f "$MNT"
    dmloop_fails 5 "x stays as it is" grow x 4M
    fsfreeze -u "$MNT"
    expect $((2 * SIZE)) "$(stat -c %s "$FILE")"
    dmloop detach x
    make_sparse "$FILE" "$SIZE"
    dmloop attach -o 4096 "$FILE" x
    dmloop_fails 2 "larger than any file" grow x 9223372036854775296
    dmloop detach x
}

grow_refused() {
    local folder=$WORK/other file=$WORK/other/file
    # Its disk does not write zeroes by itself.
    fs_make xfs "$(disk 1)" "$folder"
    make_file "$file" "$SIZE"
    dmloop attach --block-mapped "$file" x
    dmloop_fails 1 "dmloop detach x, then dmloop prepare --size $((2 * SIZE)) $file" grow x 2M
    expect "$SIZE" "$(stat -c %s "$file")"
    dmloop detach x
    # What the message says.
    dmloop prepare --quiet --size $((2 * SIZE)) "$file"
    dmloop attach --block-mapped "$file" x
    expect $((2 * SIZE)) "$(blockdev --getsize64 /dev/mapper/x)"
    pattern verify --direct /dev/mapper/x 0 "$SIZE" 1
    dmloop detach x
    unmount "$folder"
    make_file "$FILE" "$SIZE"
    dmloop attach -r --block-mapped "$FILE" x
    dmloop_fails 1 "x is block-mapped and read-only: dmloop detach x" grow x 2M
    dmloop detach x
    make_sparse "$FILE" "$SIZE"
    dmloop attach -r "$FILE" x
    dmloop_fails 1 "the device is read-only" grow x 2M
    dmloop detach x
    dmsetup create x <<<"0 8 loop $FILE 0"$'\n'"8 16 loop $FILE 8192"
    dmloop_fails 1 "made of several parts" grow x 2M
    dmloop detach x
}

fs_make ext4
plan 10
check "file-mapped" grow sparse
check "block-mapped" grow written
check "file-mapped, interrupted" grow_interrupted sparse
check "block-mapped, interrupted" grow_interrupted written
check "a path that leads to another file" grow_another_file
check "a file that is locked" grow_locked
check "in steps" grow_in_steps
check "killed" grow_killed
check "something in the way" grow_in_the_way
check "what cannot be grown" grow_refused
fs_end
