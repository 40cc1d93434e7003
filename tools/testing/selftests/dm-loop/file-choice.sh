#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 8G --cpus 1 --mem 1G
# smoke
#
# How the target chooses between its two mappings: what is asked for, what the file allows,
# and what other targets do with the same file. file-data.sh has the common reasons.
. ./lib.sh
. ./lib-file.sh

SIZE=$((2 << 20))
HALF=$((SIZE / 1024))
FILE=$MNT/file

# shown NAME: the file that make_file made, read and written.
shown() {
    pattern verify --direct "/dev/mapper/$1" 0 "$SIZE" 1 -- \
        write --direct "/dev/mapper/$1" 65536 65536 2 -- \
        verify "$FILE" 65536 65536 2 -- \
        write --direct "/dev/mapper/$1" 65536 65536 1
}

requested() {
    local features
    make_file "$FILE" "$SIZE"
    loop_create t0 "$FILE" 0
    status_is t0 "block $(extent_count "$FILE") $(mountpoint -x "$(disk 0)")"
    remove t0
    for features in file_mapped "file_mapped direct_io" direct_io "no_discard file_mapped" \
        "buffered_io file_mapped" buffered_io "no_discard buffered_io"; do
        # shellcheck disable=SC2086 # words
        loop_create t0 "$FILE" 0 - $features
        case $features in
        *buffered_io*) mapped_as t0 buffered requested ;;
        *) mapped_as t0 direct requested ;;
        esac
        shown t0
        remove t0
    done
}

# The file stays an ordinary one: nothing is forbidden to others.
unlocked() {
    make_file "$FILE" "$SIZE"
    loop_create t0 "$FILE" 0 - file_mapped
    pattern write "$FILE" 0 4096 3
    truncate -s $((SIZE + 4096)) "$FILE"
    truncate -s "$SIZE" "$FILE"
    fallocate -p -o 65536 -l 65536 "$FILE"
    mv "$FILE" "$FILE.moved"
    expect "0 $((SIZE / 512)) loop $FILE.moved 0 1 file_mapped" "$(dmsetup table t0)"
    mv "$FILE.moved" "$FILE"
    pattern verify --direct /dev/mapper/t0 0 4096 3 -- zeros --direct /dev/mapper/t0 65536 65536
    remove t0
}

# A file is never mapped in both ways: the claim on its blocks would forbid our own writes.
file_first() {
    make_file "$FILE" "$SIZE"
    loop_create first "$FILE" 0 "$HALF" file_mapped
    loop_create second "$FILE" $((SIZE / 2))
    mapped_as second direct in_use
    loop_refused EBUSY "Backing file is in use" "$FILE" $((SIZE / 2)) - block_mapped
    # The window of another device.
    loop_refused EBUSY "Backing file is in use" "$FILE" 0 8
    loop_refused EBUSY "Backing file is in use" "$FILE" 0 8 file_mapped
    pattern write --direct /dev/mapper/first 0 $((SIZE / 2)) 2 -- \
        write --direct /dev/mapper/second 0 $((SIZE / 2)) 3 $((SIZE / 2))
    remove first
    # Still file-mapped, by the one that stays.
    loop_create first "$FILE" 0 "$HALF"
    mapped_as first direct in_use
    remove first second
    pattern verify "$FILE" 0 $((SIZE / 2)) 2 -- verify "$FILE" $((SIZE / 2)) $((SIZE / 2)) 3
    loop_create first "$FILE" 0
    status_is first "block $(extent_count "$FILE") $(mountpoint -x "$(disk 0)")"
    remove first
}

# Somebody might write to it in between: it is not block-mapped, and nothing is lost.
others_write() {
    make_file "$FILE" "$SIZE"
    exec {writer}<>"$FILE"
    loop_refused EBUSY "Backing file is in use" "$FILE" 0 - block_mapped
    loop_create t0 "$FILE" 0
    mapped_as t0 direct in_use
    shown t0
    printf x >&"$writer"
    expect x "$(dd if=/dev/mapper/t0 iflag=direct bs=512 count=1 status=none | head -c 1)"
    remove t0
    exec {writer}>&-
    loop_create t0 "$FILE" 0
    status_is t0 "block $(extent_count "$FILE") $(mountpoint -x "$(disk 0)")"
    remove t0
}

block_first() {
    make_file "$FILE" "$SIZE"
    loop_create first "$FILE" 0 "$HALF" block_mapped
    loop_refused EBUSY "Backing file is in use" "$FILE" $((SIZE / 2)) - file_mapped
    loop_refused EBUSY "Backing file is in use" "$FILE" $((SIZE / 2)) - buffered_io
    # What chooses for itself joins.
    loop_create second "$FILE" $((SIZE / 2))
    status_is second "block $(extent_count "$FILE") $(mountpoint -x "$(disk 0)")"
    remove first second
    loop_create first "$FILE" 0 - file_mapped
    shown first
    remove first
}

both_read() {
    make_sparse "$FILE" "$SIZE"
    loop_create --readonly first "$FILE" 0
    loop_create --readonly second "$FILE" 0
    mapped_as first direct sparse
    mapped_as second direct in_use
    pattern zeros --direct /dev/mapper/first 0 "$SIZE" -- zeros --direct /dev/mapper/second 0 "$SIZE"
    loop_refused EBUSY "Backing file is in use" "$FILE" 0
    remove first second
}

swap_file() {
    local features
    make_file "$FILE" "$SIZE"
    chmod 600 "$FILE"
    mkswap -q "$FILE"
    swapon "$FILE"
    for features in "" file_mapped block_mapped; do
        # shellcheck disable=SC2086 # words
        if ! (loop_refused EBUSY "Backing file is in use" "$FILE" 0 - $features); then
            swapoff "$FILE"
            return 1
        fi
    done
    swapoff "$FILE"
}

# mapped REASON [--readonly]: FILE, as it is, by default.
mapped() {
    block_mapped_refused "$FILE" "$1" "${@:2}"
    loop_create "${@:2}" t0 "$FILE" 0
    mapped_as t0 "${MODE:-direct}" "$1"
    pattern verify --direct /dev/mapper/t0 0 "$(($(stat -c %s "$FILE") / 512 * 512))" 1
    [ $# -gt 1 ] || shown t0
    remove t0
}

sealed_by_verity() {
    mkfs.ext4 -qF -b 4096 -O verity "$(disk 0)"
    mount "$(disk 0)" "$MNT"
    make_file "$FILE" "$SIZE"
    fsverity enable "$FILE" || skip_this "this kernel has no fs-verity"
    # No direct I/O where each page has to be checked.
    MODE=buffered mapped verity --readonly
    umount "$MNT"
}

journal_of_data() {
    mkfs.ext4 -qF "$(disk 0)"
    mount -o data=journal "$(disk 0)" "$MNT"
    make_file "$FILE" "$SIZE"
    MODE=buffered mapped fs_refused
    loop_refused EINVAL "Backing file does not support direct I/O" "$FILE" 0 - direct_io
    umount "$MNT"
}

unknown_file_system() {
    mkfs.exfat "$(disk 0)"
    mount "$(disk 0)" "$MNT"
    make_file "$FILE" "$SIZE"
    mapped fs_unsupported
    umount "$MNT"
}

# What is made in the page cache cannot go past it.
encrypted() {
    local mode lack
    lack=$(host_lacks fscrypt)
    [ -z "$lack" ] || skip_this "$lack"
    mode=$(modes_of fscrypt | cut -d' ' -f1)
    host_begin fscrypt
    make_file "$FILE" "$SIZE"
    MODE=$mode mapped encrypted
    if [ "$mode" = direct ]; then
        loop_create t0 "$FILE" 0 - direct_io
        mapped_as t0 direct requested
        remove t0
    else
        loop_refused EINVAL "Backing file does not support direct I/O" "$FILE" 0 - direct_io
    fi
    host_end
}

# btrfs can pin nothing smaller than a page.
part_of_a_page() {
    fs_make btrfs
    make_file "$FILE" $((SIZE + 512))
    mapped misaligned
    fs_end
}

plan 12
fs_make ext4
check "what is asked for" requested
check "a file-mapped file is not locked" unlocked
check "a file that is file-mapped is not block-mapped" file_first
check "a file that is block-mapped is not file-mapped" block_first
check "a file that others have open for writing" others_write
check "two readers of a sparse file" both_read
check "an active swap file" swap_file
fs_end
check "a file sealed by fs-verity" sealed_by_verity
check "a file with a journal of its data" journal_of_data
check "a file that is encrypted" encrypted
check "a file system that is not known" unknown_file_system
check "a file that ends within a page" part_of_a_page
