#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 8G --disk 2G,logical_block_size=4096 --cpus 1 --mem 1G --tools
#
# dmloop attach and detach: devices made and removed.
. ./lib.sh
. ./lib-lock.sh
. ./lib-tools.sh

SIZE=$((1 << 20))
SECTORS=$((SIZE / 512))
FILE=$MNT/file

attach_and_detach() {
    make_file "$FILE" "$SIZE"
    expect "" "$(dmloop attach "$FILE" mine)"
    is_block mine
    expect "0 $SECTORS loop $FILE 0" "$(dmsetup table mine)"
    status_is mine "block $(extent_count "$FILE") $(mountpoint -d "$MNT")"
    pattern verify --direct /dev/mapper/mine 0 "$SIZE" 1
    pattern write --direct /dev/mapper/mine 0 "$SIZE" 2
    claimed "$FILE"
    expect "" "$(dmloop detach mine)"
    [ ! -e /dev/mapper/mine ]
    pattern verify "$FILE" 0 "$SIZE" 2
    unclaimed "$FILE"
}

# The first name that is free, whosever the others are.
free_names() {
    local n
    for n in 0 1 2 3; do make_file "$FILE$n" "$SIZE"; done
    dmsetup create loop1 --table "0 8 zero"
    expect /dev/mapper/loop0 "$(dmloop attach "$FILE0")"
    expect /dev/mapper/loop2 "$(dmloop attach "$FILE1")"
    expect /dev/mapper/other "$(dmloop attach --show "$FILE2" other)"
    dmloop detach loop0
    expect /dev/mapper/loop0 "$(dmloop attach "$FILE3")"
    dmloop detach /dev/mapper/loop0 "$(realpath /dev/mapper/loop2)" other
    expect loop1 "$(list_devices)"
    remove loop1
}

# options TABLE ARG…
options() {
    local table=$1
    shift
    dmloop attach "$FILE" x "$@"
    expect "$table" "$(dmsetup table x)" "table for $*"
    expect "${RO:-0}" "$(blockdev --getro /dev/mapper/x)"
    dmloop detach x
}

all_options() {
    make_file "$FILE" "$SIZE"
    options "0 $SECTORS loop $FILE 0"
    options "0 $((SECTORS - 63)) loop $FILE 32256" -o 32256
    options "0 1024 loop $FILE 524288" --offset 512K
    options "0 8 loop $FILE 4096" -o 4096 --sizelimit 4K
    options "0 $SECTORS loop $FILE 0" --sizelimit 1T
    options "0 $SECTORS loop $FILE 0 1 block_mapped" --block-mapped
    options "0 $SECTORS loop $FILE 0 1 file_mapped" --file-mapped
    options "0 $SECTORS loop $FILE 0 1 direct_io" --direct-io on
    options "0 $SECTORS loop $FILE 0 1 buffered_io" --direct-io=off
    options "0 $SECTORS loop $FILE 0 2 block_mapped no_discard" --no-discard --block-mapped
    RO=1 options "0 $SECTORS loop $FILE 0" -r
    RO=1 options "0 $SECTORS loop $FILE 0 1 file_mapped" --read-only --file-mapped
    unclaimed "$FILE"
}

# A file is what it is called, in the table, in the list, and in JSON.
odd_names() {
    local name path
    for name in 'two words' '#1' 'back\slash' '\040' 'ü' $'one\ntwo' $'\xa0\xff'; do
        path=$MNT/$name
        make_file "$path" "$SIZE"
        dmloop attach "$path" x
        pattern verify --direct /dev/mapper/x 0 "$SIZE" 1
        claimed "$path"
        expect 1 "$(dmloop list -n -j "$path" | wc -l)"
        dmloop list --json -o BACK-FILE | python3 -c 'import json, os, sys
wanted = os.fsencode(sys.argv[1]).decode("utf-8", "replace")
got = json.load(sys.stdin)["loopdevices"][0]["back-file"]
assert got == wanted, (got, wanted)' "$path"
        dmloop detach x
        rm -- "$path"
    done
    make_file "$MNT/-dash" "$SIZE"
    (cd "$MNT" && dmloop attach -- -dash x)
    dmloop detach x
    ln -s "$FILE" "$WORK/link"
    make_file "$FILE" "$SIZE"
    (cd "$MNT" && dmloop attach ../mnt/./file x)
    dmloop detach x
    dmloop attach "$WORK/link" x
    expect "0 $SECTORS loop $FILE 0" "$(dmsetup table x)"
    dmloop detach x
}

# What cannot be written is attached so, and that is said.
read_only() {
    make_file "$FILE" "$SIZE"
    "$@"
    dmloop attach "$FILE" x 2>"$WORK/said"
    grep -qF "x is read-only" "$WORK/said"
    expect 1 "$(blockdev --getro /dev/mapper/x)"
    pattern verify --direct /dev/mapper/x 0 "$SIZE" 1
    dmloop detach x
}
immutable() {
    trap 'chattr -i "$FILE"' EXIT
    read_only chattr +i "$FILE"
}
read_only_mount() {
    trap 'mount -o remount,rw "$MNT"' EXIT
    read_only mount -o remount,ro "$MNT"
}

no_overlap() {
    make_file "$FILE" "$SIZE"
    expect /dev/mapper/loop0 "$(dmloop attach -L "$FILE" -o 64K --sizelimit 64K)"
    expect /dev/mapper/loop0 "$(dmloop attach --nooverlap "$FILE" -o 64K --sizelimit 64K)"
    expect loop0 "$(list_devices)"
    dmloop_fails 5 "in a part that overlaps: loop0" attach -L "$FILE"
    dmloop_fails 5 "in a part that overlaps: loop0" attach -L "$FILE" -o 127K
    expect /dev/mapper/loop1 "$(dmloop attach -L "$FILE" -o 128K)"
    dmloop detach --all
    # It has to be as it would be made.
    dmloop attach --file-mapped "$FILE" x
    expect /dev/mapper/x "$(dmloop attach -L "$FILE")"
    expect /dev/mapper/x "$(dmloop attach -L --file-mapped "$FILE")"
    dmloop_fails 5 "as x, which is not block-mapped" attach -L --block-mapped "$FILE"
    dmloop_fails 5 "as x, which does not go through the page cache" attach -L --direct-io off "$FILE"
    dmloop_fails 5 "as x, which is not read-only" attach -L -r "$FILE"
    dmloop_fails 5 "as x, which offers discard" attach -L --no-discard "$FILE"
    dmloop detach x
    dmloop attach -r "$FILE" x
    expect /dev/mapper/x "$(dmloop attach -L -r --block-mapped "$FILE")"
    dmloop_fails 5 "as x, which is not file-mapped" attach -L -r --file-mapped "$FILE"
    dmloop_fails 5 "as x, which is read-only" attach -L "$FILE"
    dmloop detach x
    # Partitions can be added.
    make_file "$FILE" $((16 << 20))
    sfdisk -q --label dos "$FILE" <<<$'2048,4096'
    dmloop attach "$FILE" x
    expect /dev/mapper/x "$(dmloop attach -L -P "$FILE")"
    expect /dev/mapper/x "$(dmloop attach -L -P "$FILE")"
    expect 'x xp1' "$(list_devices | sort | xargs)"
    dmloop detach --all
}

# partitions LABEL: as sfdisk makes them, and the kernel would find them.
partitions() {
    local part
    make_file "$FILE" $((16 << 20))
    sfdisk -q --label "$1" "$FILE" <<<$'2048,4096\n8192,8192\n20480,2048'
    dmloop attach -P "$FILE" x
    expect 'x xp1 xp2 xp3' "$(list_devices | sort | xargs)"
    expect '4096 8192 2048' "$(for part in 1 2 3; do blockdev --getsz /dev/mapper/xp$part; done | xargs)"
    is_block xp2
    pattern write --direct /dev/mapper/xp2 0 65536 3
    # 4 MiB into the file.
    dd if=/dev/mapper/x iflag=direct bs=64K skip=64 count=1 of="$WORK/seen" status=none
    pattern verify "$WORK/seen" 0 65536 3
    fails_with "busy" dmsetup remove x
    mkfs.ext4 -qF /dev/mapper/xp2
    mkdir -p "$WORK/part"
    mount /dev/mapper/xp2 "$WORK/part"
    # None of the others goes.
    dmloop_fails 5 "its partition xp2 is in use: mounted at $WORK/part" detach x
    dmloop_fails 5 "its partition xp2 is in use" detach --all
    umount "$WORK/part"
    dmloop detach x
    expect "" "$(list_devices)"
    # Somebody has the device itself open, or they go when they can.
    dmloop attach -P "$FILE" x
    exec {reader}</dev/mapper/x
    dmloop_fails 5 "x is in use: open in" detach x
    exec {reader}<&-
    mount /dev/mapper/xp2 "$WORK/part"
    dmloop detach --deferred x
    expect 'x xp2' "$(list_devices | sort | xargs)"
    umount "$WORK/part"
    wait_until no_device
    unclaimed "$FILE"
}
no_device() { [ -z "$(list_devices)" ]; }

# One whose name is taken: none is made.
partition_names_taken() {
    local status=0
    make_file "$FILE" $((16 << 20))
    sfdisk -q --label dos "$FILE" <<<$'2048,4096\n8192,8192\n20480,2048'
    dmsetup create xp2 --table "0 8 zero"
    dmloop attach -P "$FILE" x 2>"$WORK/said" || status=$?
    expect 5 "$status"
    grep -qF "x is attached, but not its partitions: there is a device xp2 already" "$WORK/said"
    expect 'x xp2' "$(list_devices | sort | xargs)"
    dmloop detach x
    remove xp2
}

# A stack: the lower one has the smaller name, and is kept by nothing but the upper one.
stacked() {
    make_file "$FILE" $((32 << 20))
    dmloop attach "$FILE" a
    mkfs.ext4 -qF /dev/mapper/a
    mkdir -p "$WORK/a"
    mount /dev/mapper/a "$WORK/a"
    make_file "$WORK/a/file" "$SIZE"
    dmloop attach "$WORK/a/file" b
    dmloop_fails 5 "mounted at $WORK/a" detach a
    umount -l "$WORK/a"
    dmloop detach --all
    expect "" "$(list_devices)"
}

no_partitions() {
    make_file "$FILE" "$SIZE"
    dmloop attach -P "$FILE" x 2>"$WORK/said"
    grep -qF "x has no partitions" "$WORK/said"
    expect x "$(list_devices)"
    dmloop detach x
}

# With all of its partitions, or not at all.
partitions_interrupted() {
    local n ms seen='' whole=0
    make_file "$FILE" $((16 << 20))
    sfdisk -q --label gpt "$FILE" <<<$'2048,4096\n8192,8192\n20480,2048'
    for n in {0..29}; do
        ms=$((n * n * 8))
        interrupt "$((ms / 1000)).$(printf %03d $((ms % 1000)))" INT attach -P "$FILE" x
        seen+=" $STATUS"
        case $STATUS in
        0)
            expect 'x xp1 xp2 xp3' "$(list_devices | sort | xargs)" "devices after $n"
            is_block xp3
            dmloop detach x
            whole=$((whole + 1))
            ;;
        130) expect "" "$(list_devices)" "devices after $n ($(<"$WORK/said"))" ;;
        *) fail "exit code $STATUS" ;;
        esac
        udevadm settle
        expect control "$(ls /dev/mapper)" "nodes after $n"
        # From then on it would come to its end each time.
        [ "$whole" -lt 4 ] || break
    done
    [[ $seen == *130* ]] || fail "it was never interrupted:$seen"
    [ "$whole" -gt 0 ] || fail "it never came to its end:$seen"
    unclaimed "$FILE"
}

# Some are detached, and the others work.
several_interrupted() {
    local n name left some=''
    for n in {1..12}; do make_file "$MNT/many$n" "$SIZE"; done
    for n in {1..8}; do
        for name in {1..12}; do
            [ -e "/dev/mapper/many$name" ] || dmloop attach "$MNT/many$name" "many$name"
        done
        interrupt "0.$(printf %02d $((n * 10)))" TERM detach --all
        left=$(list_devices | wc -l)
        case $STATUS in
        0) expect 0 "$left" "devices after $n" ;;
        143) ;; # Before it could ask for the signal.
        130)
            grep -qF "interrupted: not all are detached" "$WORK/said"
            [ "$left" -gt 0 ] || fail "all are detached"
            [ "$left" = 12 ] || some=1
            ;;
        *) fail "exit code $STATUS" ;;
        esac
        for name in $(list_devices); do
            is_block "$name"
            status_is "$name" "block 1 $(mountpoint -d "$MNT")"
        done
    done
    [ "$some" ] || fail "it was never interrupted between two of them"
    dmloop detach --all
    rm "$MNT"/many*
}

# There is a device that works, or there is none.
interrupted() {
    local n seen=''
    make_file "$FILE" "$SIZE"
    for n in {0..14}; do
        interrupt "0.$(printf %02d $((n * 4)))" INT attach "$FILE" x
        seen+=" $STATUS"
        case $STATUS in
        0)
            is_block x
            status_is x "block 1 $(mountpoint -d "$MNT")"
            dmloop detach x
            ;;
        130) ;;
        *) fail "exit code $STATUS" ;;
        esac
        expect "" "$(list_devices)" "devices after $n"
        # Nor a node, which would lead to whatever device gets the number next.
        udevadm settle
        expect control "$(ls /dev/mapper)" "nodes after $n"
    done
    [[ $seen == *130* ]] || fail "it was never interrupted:$seen"
    # Not even so is there anything left that cannot be removed.
    for n in {0..14}; do
        interrupt "0.$(printf %02d $((n * 4)))" KILL attach "$FILE" x
        [ -z "$(list_devices)" ] || dmloop detach x
        expect "" "$(list_devices)" "devices after killing $n"
    done
    for n in {0..9}; do
        dmloop attach "$FILE" x
        interrupt "0.$(printf %02d $((n * 4)))" TERM detach x
        case $STATUS in
        0) expect "" "$(list_devices)" "devices after detaching $n" ;;
        # Before it could ask for the signal.
        143)
            expect x "$(list_devices)" "devices after ending $n"
            dmloop detach x
            ;;
        130)
            if [ -n "$(list_devices)" ]; then
                is_block x
                dmloop detach x
            fi
            ;;
        *) fail "exit code $STATUS" ;;
        esac
    done
    several_interrupted
    # Of those that were killed, a semaphore may be left.
    ipcs -s | awk '$1 ~ /^0x0d4d/ { print $2 }' | xargs -r -n 1 ipcrm -s
    unclaimed "$FILE"
}

fs_make ext4
FILE0=${FILE}0 FILE1=${FILE}1 FILE2=${FILE}2 FILE3=${FILE}3
plan 16
check "attached and detached" attach_and_detach
check "the first free name" free_names
check "options" all_options
check "odd names" odd_names
check "an immutable file" immutable
check "a file on a read-only mount" read_only_mount
check "--nooverlap" no_overlap
check "partitions of an MBR" partitions dos
check "partitions of a GPT" partitions gpt
check "partitions whose names are taken" partition_names_taken
check "one on another" stacked
check "no partitions" no_partitions
check "afterwards there is no semaphore" test -z "$(ipcs -s | awk '$1 ~ /^0x0d4d/')"
check "partitions, interrupted" partitions_interrupted
check "interrupted" interrupted
check "afterwards there is no device" test -z "$(list_devices)"
fs_end
