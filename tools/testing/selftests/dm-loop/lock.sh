#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 8G --disk 2G,logical_block_size=4096 --cpus 1 --mem 1G
#
# As long as a file is block-mapped nobody can change it or where it lies; afterwards
# everything works again.
. ./lib.sh
. ./lib-lock.sh

SIZE=$((2 << 20))
FILE=$MNT/file OTHER=$MNT/other

# OTHER begins as FILE does, so that they could be deduplicated.
prepare() {
    fs_make "$1"
    make_file "$FILE" "$SIZE"
    cp --reflink=never "$FILE" "$OTHER"
    drop_caches
    loop_create lock "$FILE" 0 - block_mapped
    snapshot "$FILE" >"$WORK/snapshot"
}

changes_refused() {
    local ops
    prepare "$1"
    read -ra ops <<<"$(ops_of "$1")"
    all_end_in ETXTBSY "$FILE" "$OTHER" "${OPS_EVERYWHERE[@]}" "${ops[@]}"
    all_end_in EPERM "$FILE" "$OTHER" unlink rename rename-over exchange
    all_end_in EBUSY "$FILE" "$OTHER" swapon
    all_end_in SIGBUS "$FILE" "$OTHER" make-writable
}

file_unchanged() {
    snapshot "$FILE" | diff "$WORK/snapshot" -
    pattern verify "$FILE" 0 "$SIZE" 1
    pattern verify --direct /dev/mapper/lock 0 "$SIZE" 1
}

# A second claim that fails must not undo the first.
second_claim_refused() {
    loop_refused EBUSY "Backing file is in use" "$FILE" 0
    loop_refused EBUSY "Backing file is in use" "$FILE" 512 8 block_mapped
    loop_refused EINVAL "Device does not fit in the backing file" "$FILE" 0 $((SIZE / 512 + 8))
    all_end_in ETXTBSY "$FILE" "$OTHER" write truncate allocate-beyond map-shared
    all_end_in EPERM "$FILE" "$OTHER" unlink
    pattern verify --direct /dev/mapper/lock 0 "$SIZE" 1
}

# swapped_to FILE: it can be swap space, and holds after that what it held before.
swapped_to() {
    local kept=$WORK/kept
    cp -- "$1" "$kept"
    mkswap -q "$1"
    swapon "$1"
    swapoff "$1"
    cat -- "$kept" 1<>"$1"
}

all_works_again() {
    local ops
    remove lock
    read -ra ops <<<"$(ops_of "$1")"
    # Without swap space in it, but swapon gets as far as looking for it.
    all_end_in EINVAL "$FILE" "$OTHER" swapon
    swapped_to "$FILE"
    # Deduplication wants equal files, so it comes before what makes them differ.
    all_end_in "done" "$FILE" "$OTHER" "${ops[@]}" "${OPS_EVERYWHERE[@]}" make-writable grow rename
    [ "$1" = ext2 ] || all_end_in "done" "$FILE" "$OTHER" exchange
    all_end_in "done" "$FILE" "$OTHER" rename-over unlink
}

# Somebody who could still write to the file keeps it from being claimed, and not only while
# the file is open: a mapping is enough. A reader does not, and sees what the device holds.
held_from_before() {
    make_file "$FILE" "$SIZE" 2
    hold "$FILE"
    for closed in no yes; do
        [ $closed = no ] || held "done" held-close
        loop_refused EBUSY "Backing file is in use" "$FILE" 0 - block_mapped
        held "done" held-touch held-flush
    done
    release
    pattern verify "$FILE" 4096 $((SIZE - 4096)) 2
    loop_create lock "$FILE" 0 - block_mapped
    remove lock
    hold --readonly "$FILE"
    held h held-peek
    loop_create lock "$FILE" 0 - block_mapped
    head -c 4096 /dev/zero | tr '\0' d | dd of=/dev/mapper/lock oflag=direct conv=notrunc bs=4096 iflag=fullblock status=none
    remove lock
    held d held-peek
    release
    expect d "$(head -c 1 "$FILE")"
}

end() {
    # There if something failed, and then in the way of all that comes.
    ! dmsetup info lock >/dev/null 2>&1 || remove lock
    umount "$MNT"
    fs_check "$1" "$(disk 0)"
}

plan $((6 * ${#FILE_SYSTEMS[@]}))
for kind in "${FILE_SYSTEMS[@]}"; do
    check "$kind: no change is possible while the file is mapped" changes_refused "$kind"
    check "$kind: nothing has changed" file_unchanged
    check "$kind: a second claim that fails does not release the first" second_claim_refused
    check "$kind: everything works after removal" all_works_again "$kind"
    check "$kind: what was opened or mapped before, for writing or not" held_from_before
    check "$kind: the file system is sound" end "$kind"
done
