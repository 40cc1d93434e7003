#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 8G --disk 2G,logical_block_size=4096 --cpus 1 --mem 1G
#
# dmlosetup, which is dmsetup under another name, as people use losetup.
. ./lib.sh
. ./lib-lock.sh

# detach NAME…: udev may still have it open for a moment, and dmlosetup has no --retry.
detach() {
    local said
    for _ in {1..300}; do
        ! said=$(dmlosetup -d "$@" 2>&1) || return 0
        [[ $said == *busy* ]] || break
        sleep 0.2
    done
    fail "$said"
}

SIZE=$((1 << 20))
SECTORS=$((SIZE / 512))
FILE=$MNT/file

attach_and_detach() {
    make_file "$FILE" "$SIZE"
    dmlosetup loop0 "$FILE"
    is_block loop0
    expect "0 $SECTORS loop $FILE 0" "$(dmsetup table loop0)"
    status_is loop0 "block $(extent_count "$FILE") $(mountpoint -d "$MNT")"
    pattern verify --direct /dev/mapper/loop0 0 "$SIZE" 1
    pattern write --direct /dev/mapper/loop0 0 "$SIZE" 2
    claimed "$FILE"
    detach loop0
    [ ! -e /dev/mapper/loop0 ]
    pattern verify "$FILE" 0 "$SIZE" 2
    unclaimed "$FILE"
}

# The last bytes that make no sector are not there, and the device ends within a block.
odd_size() {
    make_file "$FILE" $((SIZE + 4096 + 1000))
    dmlosetup loop1 "$FILE"
    expect "0 $((SECTORS + 9)) loop $FILE 0" "$(dmsetup table loop1)"
    expect "0 $((SECTORS + 9)) loop file direct misaligned 0" "$(dmsetup status loop1)"
    pattern verify /dev/mapper/loop1 0 $((SIZE + 9 * 512)) 1
    detach loop1
    make_file "$FILE" 511
    fails_with "Invalid argument" dmlosetup loop1 "$FILE"
    ! dmsetup info loop1
}

with_offset() {
    local offset
    make_file "$FILE" "$SIZE"
    for offset in 512 32256 4096 $((SIZE - 512)); do
        dmlosetup -o "$offset" loop0 "$FILE"
        is_block loop0
        expect "0 $(((SIZE - offset) / 512)) loop $FILE $offset" "$(dmsetup table loop0)"
        pattern verify --direct /dev/mapper/loop0 0 $((SIZE - offset)) 1 "$offset"
        detach loop0
    done
    for offset in 1 511 1000 "$SIZE"; do
        fails_with "Invalid argument" dmlosetup -o "$offset" loop0 "$FILE"
        if dmsetup info loop0; then fail "there is a device"; fi
    done
    unclaimed "$FILE"
}

# Its numbers have 32 bits, and it takes no suffix.
large_offset() {
    local last=$(((1 << 31) - 512)) offset
    make_sparse "$FILE" $((5 << 30))
    dmlosetup -o "$last" loop0 "$FILE"
    expect "0 $((((5 << 30) - last) / 512)) loop $FILE $last" "$(dmsetup table loop0)"
    detach loop0
    for offset in $((1 << 31)) 2G 1k; do
        fails_with "Invalid argument" dmlosetup -o "$offset" loop0 "$FILE"
    done
    dmlosetup -o $((1 << 32)) loop0 "$FILE"
    expect "0 $(((5 << 30) / 512)) loop $FILE 0" "$(dmsetup table loop0)"
    detach loop0
}

not_implemented() {
    local words
    make_file "$FILE" "$SIZE"
    for words in -a "-a loop0" -f "-f $FILE" "-e cipher loop0 $FILE"; do
        # shellcheck disable=SC2086 # words
        fails_with "not yet implemented" dmlosetup $words
        expect "" "$(list_devices)" "devices after $words"
    done
}

# said_of TEXT ARG…: dmlosetup ARG… fails with that, and makes no device.
said_of() {
    fails_with "$1" dmlosetup "${@:2}"
    expect "" "$(list_devices)" "devices after ${*:2}"
}

wrong_words() {
    make_file "$FILE" "$SIZE"
    make_file "$FILE.other" "$SIZE"
    said_of "Please specify loop_device"
    said_of "Please specify loop_device" -d
    said_of "Too few arguments" loop0
    said_of "Too few arguments" loop0 "$FILE" "$FILE.other"
    said_of "requires an argument" -o
    said_of "invalid option" -x loop0 "$FILE"
    said_of "Invalid argument" -o -512 loop0 "$FILE"
    said_of "Could not parse loop_device" /dev/mapper/loop0 "$FILE"
    unclaimed "$FILE"
    # Anything that begins so will do.
    dmlosetup loopx "$FILE"
    is_block loopx
    # Of several, it is the first.
    dmlosetup loop1 "$FILE.other"
    detach loopx loop1
    expect loop1 "$(list_devices)"
    detach loop1
    rm "$FILE.other"
}

# What a table cannot say as it is, it does not say otherwise.
odd_names() {
    local name
    for name in 'a b' 'a#b' $'a\tb'; do
        make_file "$MNT/$name" "$SIZE"
        fails_with "Invalid argument" dmlosetup loop0 "$MNT/$name"
    done
    for name in 'a\b' 'ä' "a'b\""; do
        make_file "$MNT/$name" "$SIZE"
        dmlosetup loop0 "$MNT/$name"
        pattern verify --direct /dev/mapper/loop0 0 "$SIZE" 1
        detach loop0
    done
}

verbose() {
    local said
    make_file "$FILE" "$SIZE"
    said=$(dmlosetup -v loop0 "$FILE" 2>&1)
    grep -qF "$((SIZE / 1024))kB ($SECTORS sectors)" <<<"$said"
    expect "0 $SECTORS loop $FILE 0" "$(dmsetup table loop0)"
    dmlosetup -v -d loop0
    ! dmsetup info loop0
}

other_paths() {
    make_file "$FILE" "$SIZE"
    ln -s "$FILE" "$WORK/link"
    cd "$MNT"
    for path in file ./file "$WORK/link" ../mnt/file; do
        dmlosetup loop7 "$path"
        expect "0 $SECTORS loop $FILE 0" "$(dmsetup table loop7)"
        detach loop7
    done
    cd /
    # By the name of the node there is no detaching: it is a link to another name.
    dmlosetup loop7 "$FILE"
    if dmlosetup -d /dev/mapper/loop7; then fail "detached"; fi
    detach loop7
}

# A file that only can be read is made a device that only can be read.
read_only() {
    make_file "$FILE" "$SIZE"
    "$@"
    dmlosetup loop0 "$FILE"
    is_block loop0
    expect 1 "$(blockdev --getro /dev/mapper/loop0)"
    status_is loop0 "block $(extent_count "$FILE") $(mountpoint -d "$MNT")"
    pattern verify --direct /dev/mapper/loop0 0 "$SIZE" 1
    fails_with "not permitted" dd if=/dev/zero of=/dev/mapper/loop0 bs=4096 count=1 oflag=direct
    detach loop0
}

immutable() {
    read_only chattr +i "$FILE"
    chattr -i "$FILE"
    unclaimed "$FILE"
}

read_only_mount() {
    read_only mount -o remount,ro "$MNT"
    mount -o remount,rw "$MNT"
    unclaimed "$FILE"
}

what_cannot_be_mapped() {
    fails_with "Could not parse" dmlosetup loop0 "$MNT/nowhere"
    fails_with "Invalid argument" dmlosetup loop0 "$MNT"
    make_file "$FILE" "$SIZE"
    fails_with "Could not parse" dmlosetup disk0 "$FILE"
    dmlosetup loop0 "$FILE"
    fails_with "busy" dmlosetup loop1 "$FILE"
    fails_with "create ioctl on loop0" dmlosetup loop0 "$FILE"
    exec {device}</dev/mapper/loop0
    fails_with "busy" dmlosetup -d loop0
    exec {device}<&-
    detach loop0
    fails_with "No such device" dmlosetup -d loop0
    expect "" "$(list_devices)"
    unclaimed "$FILE"
}

# A file that is not all there can be used all the same.
sparse_file() {
    make_sparse "$FILE" "$SIZE"
    dmlosetup loop0 "$FILE"
    is_block loop0
    pattern write --direct /dev/mapper/loop0 $((SIZE / 2)) 4096 1
    detach loop0
    pattern verify "$FILE" $((SIZE / 2)) 4096 1
    cmp -n $((SIZE / 2)) "$FILE" /dev/zero
}

fs_make ext4
plan 13
check "attached and detached" attach_and_detach
check "a file of an odd size" odd_size
check "-o" with_offset
check "-o, larger than it can be" large_offset
check "-v" verbose
check "-a, -e, -f" not_implemented
check "wrong words" wrong_words
check "odd names" odd_names
check "relative paths and links" other_paths
check "an immutable file" immutable
check "a file on a read-only mount" read_only_mount
check "what cannot be mapped" what_cannot_be_mapped
check "a sparse file" sparse_file
fs_end
