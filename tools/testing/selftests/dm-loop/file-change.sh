#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 8G --cpus 1 --mem 1G
#
# A file that others change while a device shows it: the device gives what /dev/loop gives
# of a twin that is changed in the same way; errors or new data, and never the data of
# another file.
. ./lib.sh
. ./lib-file.sh

SIZE=$((1 << 20)) STEP=32768
LOOP=''

# twins MODE: $ours, shown by t0, and $theirs, shown by $LOOP.
twins() {
    local dio=off
    ours=$FOLDER/ours theirs=$FOLDER/theirs
    find "$FOLDER" -maxdepth 1 -type f -delete
    pattern write "$ours" 0 "$SIZE" 1 -- write "$theirs" 0 "$SIZE" 1
    # Not in full, so that it is file-mapped anyway.
    truncate -s $((SIZE + 65536)) "$ours" "$theirs"
    pattern write "$FOLDER/stranger" 0 $((2 * SIZE)) 9
    sync -f "$FOLDER"
    loop_create t0 "$ours" 0 - file_mapped "$1_io"
    mapped_as t0 "$1" requested
    [ "$1" = buffered ] || dio=on
    LOOP=$(losetup --find --show --direct-io="$dio" "$theirs")
    [ -b "$LOOP" ] || fail "no loop device"
}
twins_end() {
    remove t0
    losetup -d "$LOOP"
    find "$FOLDER" -maxdepth 1 -type f -delete
}

observe() { program observe.py "$@"; }

# alike WHAT: both devices read the same.
alike() {
    observe read /dev/mapper/t0 "$STEP" >"$WORK/ours"
    observe read "$LOOP" "$STEP" >"$WORK/theirs"
    diff "$WORK/theirs" "$WORK/ours" >"$WORK/diff" || fail "after $1: $(head -n 6 "$WORK/diff" | xargs)"
}

# both COMMAND…: with @ for the file.
both() {
    local word command file
    for file in "$ours" "$theirs"; do
        command=()
        for word; do command+=("${word//@/$file}"); done
        "${command[@]}"
    done
}

# written SEED: both devices take the same, and the files are the same.
written() {
    observe write /dev/mapper/t0 "$STEP" "$1" >"$WORK/ours"
    observe write "$LOOP" "$STEP" "$1" >"$WORK/theirs"
    diff "$WORK/theirs" "$WORK/ours" >"$WORK/diff" || fail "writing: $(head -n 6 "$WORK/diff" | xargs)"
    sync -f "$FOLDER"
    expect "$(stat -c %s "$theirs")" "$(stat -c %s "$ours")" "size of the file"
    cmp "$ours" "$theirs"
}

overwritten() {
    both pattern write @ 65536 65536 3
    alike "a write"
    pattern verify --direct /dev/mapper/t0 65536 65536 3
    written 4
    alike "writing"
}

truncated() {
    alike "the beginning"
    both truncate -s $((SIZE / 2)) @
    alike "truncating"
    # Somebody else gets the blocks.
    pattern write "$FOLDER/stranger2" 0 "$SIZE" 9
    sync -f "$FOLDER"
    alike "truncating and writing another file"
    expect "$((SIZE / 2)) EIO" "$(grep "^$((SIZE / 2)) " "$WORK/ours")" "reading beyond the end"
    both truncate -s $((SIZE / 2 + 3 * 512)) @
    alike "an end within a block"
    # Not alike: /dev/loop gives the bytes of the last sector again and again.
    both truncate -s $((SIZE / 2 + 700)) @
    observe read /dev/mapper/t0 "$STEP" >"$WORK/ours"
    expect "$((SIZE / 2)) EIO" "$(grep "^$((SIZE / 2)) " "$WORK/ours")" "reading beyond an end within a sector"
    written 5
    alike "writing beyond the end"
    both truncate -s 0 @
    alike "truncating to nothing"
    both truncate -s "$SIZE" @
    alike "growing again"
    pattern zeros --direct /dev/mapper/t0 0 "$SIZE"
    sync /dev/mapper/t0
}

punched() {
    both fallocate -p -o 65536 -l 131072 @
    alike "punching a hole"
    pattern zeros --direct /dev/mapper/t0 65536 131072
    both fallocate -z -o 262144 -l 65536 @ || true
    alike "zeroing"
    written 6
    alike "writing"
}

# Parts of the file go elsewhere, or come from elsewhere.
shuffled() {
    both fallocate -c -o 65536 -l 65536 @
    alike "collapsing"
    both fallocate -i -o 131072 -l 65536 @
    alike "inserting"
    written 7
    alike "writing"
}

cloned() {
    both cp --reflink=always "$FOLDER/stranger" @.clone
    both cp --reflink=always @ @.copy
    written 5
    both pattern verify @.copy 0 "$SIZE" 1
    alike "being cloned"
    # Now the stranger's data is ours, and what we write is not the stranger's.
    both python3 -c 'import fcntl, os, sys
fcntl.ioctl(os.open(sys.argv[2], os.O_WRONLY), 0x40049409, os.open(sys.argv[1], os.O_RDONLY))' @.clone @
    alike "cloning"
    pattern verify --direct /dev/mapper/t0 0 "$SIZE" 9
    written 6
    alike "writing"
    pattern verify "$FOLDER/stranger" 0 $((2 * SIZE)) 9
}

# Another file of the name is another file.
replaced() {
    both cp "$FOLDER/stranger" @.new
    both mv @.new @
    alike "replacing"
    pattern verify --direct /dev/mapper/t0 0 "$SIZE" 1 -- \
        write --direct /dev/mapper/t0 0 65536 5 -- verify --direct /dev/mapper/t0 0 65536 5
    pattern write --direct "$LOOP" 0 65536 5
    alike "writing"
    both cmp -n "$SIZE" @ "$FOLDER/stranger"
    both rm @
    alike "unlinking"
    pattern write --direct /dev/mapper/t0 0 "$SIZE" 6 -- verify --direct /dev/mapper/t0 0 "$SIZE" 6
    touch "$ours"
    expect 0 "$(stat -c %s "$ours")"
}

# Again and again, while the device is read and written.
churned() {
    local changes=(truncate punch)
    [ "$HOST" != xfs ] || changes+=(clone)
    cp "$ours" "$ours.old"
    timeout 300 python3 "$HERE/churn.py" /dev/mapper/t0 "$ours" "$SIZE" 4 "${changes[@]}"
    both truncate -s $((SIZE + 65536)) @
    written 4
    alike "writing"
}

# changed MODE TEST: with new twins.
changed() {
    twins "$1"
    "$2"
    twins_end
}
tests_of() {
    case $1 in
    ext4) echo overwritten truncated punched shuffled churned replaced ;;
    xfs) echo overwritten truncated punched shuffled cloned churned replaced ;;
    btrfs-cow) echo overwritten truncated punched cloned replaced ;;
    tmpfs) echo overwritten truncated punched replaced ;;
    nfs) echo overwritten truncated punched replaced ;;
    esac
}
HOSTS_HERE=(ext4 xfs btrfs-cow tmpfs nfs)
total=0
for host in "${HOSTS_HERE[@]}"; do
    for name in $(tests_of "$host"); do total=$((total + 2)); done
done
plan "$total"
for host in "${HOSTS_HERE[@]}"; do
    host_begin "$host"
    for mode in $(modes_of "$host"); do
        for name in $(tests_of "$host"); do
            check "$host, $mode: a file that is $name" changed "$mode" "$name"
            [ -z "$(list_devices)" ] || remove t0
            loops_end
        done
    done
    host_end
done
