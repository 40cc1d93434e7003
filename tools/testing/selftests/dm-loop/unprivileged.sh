#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 8G --disk 2G,logical_block_size=4096 --cpus 1 --mem 1G
#
# Who may not make devices can neither make one nor learn anything of one, not even of one
# on a file of their own, and not as root of a namespace of their own either.
. ./lib.sh
. ./lib-lock.sh

SIZE=$((1 << 20))
USER_ID=65534
SECRET=secret-$RANDOM$RANDOM
FOLDER=$WORK/$SECRET
FILE=$FOLDER/file
OWN=$WORK/home/own

nobody() { setpriv --reuid $USER_ID --regid $USER_ID --clear-groups --inh-caps=-all -- "$@"; }
# As root of a user namespace.
imitation() { nobody unshare --user --map-root-user --mount -- "$@"; }

begin() {
    mkdir -m 0700 "$FOLDER"
    make_file "$FILE" "$SIZE"
    chmod 0755 "$WORK"
    mkdir "$WORK/home"
    make_file "$OWN" "$SIZE"
    chown -R $USER_ID "$WORK/home"
    # Where they can read it.
    install -m 0755 "$HERE/raw_table.py" "$WORK/raw_table.py"
    loop_create theirs "$FILE" 0 - block_mapped
}

# dmsetup may not even open the control device; nor does it help if that can be opened.
cannot_create() {
    local as
    for as in nobody imitation; do
        fails_with "Permission denied" $as dmsetup create mine --table "0 8 loop $OWN 0"
    done
    chmod 0666 /dev/mapper/control
    for as in nobody imitation; do
        printf '%s 0' "$OWN" | fails_with EACCES $as python3 "$WORK/raw_table.py" mine 8 loop
        fails_with "Permission denied" $as dmsetup create mine --table "0 8 loop $OWN 0"
        fails_with "Permission denied" $as dmsetup load theirs --table "0 8 loop $OWN 0"
        fails_with "Permission denied" $as dmsetup remove theirs
    done
    chmod 0600 /dev/mapper/control
    expect theirs "$(list_devices)"
    unclaimed "$OWN"
    claimed "$FILE"
}

cannot_ask() {
    local as command
    chmod 0666 /dev/mapper/control
    for as in nobody imitation; do
        for command in table status "info -c" deps ls; do
            # shellcheck disable=SC2086 # two words
            fails_with "Permission denied" $as dmsetup $command
        done
    done
    chmod 0600 /dev/mapper/control
}

# Neither the device nor the disk below.
cannot_read() {
    local as
    for as in nobody imitation; do
        fails_with "Permission denied" $as dd if=/dev/mapper/theirs of=/dev/null bs=512 count=1
        fails_with "Permission denied" $as dd if=/dev/zero of="$(realpath /dev/mapper/theirs)" bs=512 count=1 conv=notrunc
        fails_with "Permission denied" $as ls "$FOLDER"
    done
    pattern verify /dev/mapper/theirs 0 "$SIZE" 1
}

# Nothing that everybody can read says where the file is.
cannot_learn() {
    local number found
    number=$(basename "$(realpath /dev/mapper/theirs)")
    # To be sure that this way of looking finds what is there.
    grep -qF theirs "/sys/block/$number/dm/name"
    found=$(nobody grep -rlF -- "$SECRET" "/sys/block/$number/" /sys/module/dm_loop /sys/module/dm_mod \
        /run/udev/data /proc/swaps /proc/mounts /proc/partitions /proc/diskstats /proc/misc 2>/dev/null || true)
    expect "" "$found"
    [ "$(cat /proc/sys/kernel/dmesg_restrict)" = 0 ] || fails_with "not permitted" nobody dmesg
}

# The owner of a file that is in use cannot get round the lock.
owner_is_locked_out() {
    loop_create mine "$OWN" 0 - block_mapped
    fails_with "Text file busy" nobody truncate -s 0 "$OWN"
    fails_with "Text file busy" nobody dd if=/dev/zero of="$OWN" bs=512 count=1 conv=notrunc
    fails_with "not permitted" nobody rm -f "$OWN"
    nobody chmod 0600 "$OWN"
    pattern verify --direct /dev/mapper/mine 0 "$SIZE" 1
    remove mine
    nobody truncate -s 4096 "$OWN"
}

# A part of the file, given to them through the mode of its node: that part is theirs, and
# nothing around it, neither through the device nor below it.
given_a_part() {
    local node request start=$((256 << 10)) length=$((512 << 10))
    remove theirs
    loop_create part "$FILE" "$start" $((length / 512)) block_mapped
    node=$(realpath /dev/mapper/part)
    chown $USER_ID "$node"
    chmod 0600 "$node"
    install -m 0644 "$HERE/pattern.py" "$HERE/layout.py" "$WORK"
    nobody python3 "$WORK/pattern.py" write "$node" 0 "$length" 2
    nobody python3 "$WORK/pattern.py" verify --direct "$node" 0 "$length" 2
    fails_with "No space left" nobody dd if=/dev/zero of="$node" bs=512 count=1 seek=$((length / 512)) conv=notrunc
    expect 0 "$(nobody dd if="$node" bs=512 skip=$((length / 512)) status=none | wc -c)" "bytes behind the end"
    # What they may ask of it stays within. NVME_IOCTL_ID and SG_IO would go to the disk itself.
    nobody blkdiscard -f --zeroout --offset 4096 --length 4096 "$node"
    for request in 0x4e40 0x2285; do
        # shellcheck disable=SC2016 # it is Python
        fails_with "Inappropriate ioctl" nobody python3 -c 'import fcntl, sys
fcntl.ioctl(open(sys.argv[1], "r+b", buffering=0), int(sys.argv[2], 0), bytes(512))' "$node" "$request"
    done
    # And it opens no other door.
    fails_with "Permission denied" nobody ls "$FOLDER"
    fails_with "Permission denied" nobody dd if="$(disk 0)" of=/dev/null bs=512 count=1
    fails_with "Permission denied" nobody dmsetup table part
    remove part
    pattern verify "$FILE" 0 "$start" 1
    pattern verify "$FILE" "$start" 4096 2 "-$start"
    pattern zeros "$FILE" $((start + 4096)) 4096
    pattern verify "$FILE" $((start + 8192)) $((length - 8192)) 2 "-$start"
    pattern verify "$FILE" $((start + length)) $((SIZE - start - length)) 1
    make_file "$FILE" "$SIZE"
    loop_create theirs "$FILE" 0 - block_mapped
}

begin
plan 6
check "cannot make a device" cannot_create
check "cannot ask for tables" cannot_ask
check "cannot read or write a device" cannot_read
check "cannot learn the path" cannot_learn
check "the owner of the file is locked out" owner_is_locked_out
check "who is given a device has that, and nothing around it" given_a_part
chmod 0600 /dev/mapper/control
remove theirs
