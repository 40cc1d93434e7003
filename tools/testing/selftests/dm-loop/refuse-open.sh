#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 8G --disk 2G,logical_block_size=4096 --cpus 1 --mem 1G
#
# Paths that lead to no regular file, or to one that must not be opened; nothing that is
# no regular file may be opened in order to find out.
. ./lib.sh
. ./lib-refuse.sh

CANNOT_OPEN="Cannot open backing file"
NOT_REGULAR="Backing file is not a regular file"
SIZE=$((1 << 20))
FILE=$WORK/file
make_file "$FILE" "$SIZE"

# unreachable ERRNO PATH…
unreachable() {
    local errno=$1 path
    shift
    for path; do refused "$errno" "$CANNOT_OPEN" "0 8 loop $path 0"; done
}

no_such_file() {
    ln -s "$WORK/nowhere" "$WORK/dangling"
    unreachable ENOENT "$WORK/nowhere" "$WORK/no/where" "$WORK/dangling"
    unreachable ENOTDIR "$FILE/below" "$FILE/" "$FILE/."
    ln -s "$WORK/link2" "$WORK/link1"
    ln -s "$WORK/link1" "$WORK/link2"
    unreachable ELOOP "$WORK/link1" "$WORK/link1/below"
    unreachable ENAMETOOLONG "$WORK/$(printf 'n%.0s' {1..256})" "/$(printf './%.0s' {1..2100})tmp"
}

# not_regular PATH…: with and without write access, and as a device that must be block-mapped.
not_regular() {
    local path
    for path; do
        refused EINVAL "$NOT_REGULAR" "0 8 loop $path 0"
        refused EINVAL "$NOT_REGULAR" "0 8 loop $path 0" --readonly
        refused EINVAL "$NOT_REGULAR" "0 8 loop $path 0 1 block_mapped"
    done
}

directory() {
    ln -s "$WORK" "$WORK/to-directory"
    not_regular "$WORK" / /proc /sys/kernel "$WORK/to-directory"
}

# Somebody who waits for the other end of a FIFO would get it by an open.
fifo() {
    local waiting
    mkfifo "$WORK/fifo"
    not_regular "$WORK/fifo"
    cat "$WORK/fifo" >"$WORK/heard" &
    waiting=$!
    not_regular "$WORK/fifo"
    # Still in open(2): at the end of its input it would have ended.
    kill -0 "$waiting"
    echo word >"$WORK/fifo"
    wait "$waiting"
    expect word "$(cat "$WORK/heard")"
    (echo word >"$WORK/fifo") &
    waiting=$!
    not_regular "$WORK/fifo"
    kill -0 "$waiting"
    expect word "$(cat "$WORK/fifo")"
    wait "$waiting"
}

socket() {
    python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$WORK/socket"
    [ -S "$WORK/socket" ]
    not_regular "$WORK/socket"
}

# loadable: "MODULE MAJOR MINOR" of a module that is not loaded, but can be, and would be by
# opening a device.
loadable() {
    local module major minor
    awk '$1 == "alias" && $2 ~ /^char-major-[0-9]+-[0-9]+$/ {
        split($2, part, "-"); gsub(/-/, "_", $3); print $3, part[3], part[4] }' \
        "/lib/modules/$(uname -r)/modules.alias" | while read -r module major minor; do
        [ ! -d "/sys/module/$module" ] || continue
        modprobe "$module" 2>/dev/null || continue
        rmmod "$module" 2>/dev/null || continue
        echo "$module $major $minor"
        break
    done
}

character_device() {
    local module major minor
    read -r module major minor < <(loadable) || skip_this "there is no module to load"
    mknod "$WORK/character" c "$major" "$minor"
    not_regular "$WORK/character" /dev/null /dev/full
    [ ! -d "/sys/module/$module" ]
    # That it was not loaded says something, for this is how:
    : <"$WORK/character" 2>/dev/null || true
    [ -d "/sys/module/$module" ]
    rmmod "$module"
}

block_device() {
    modprobe -r loop
    mknod "$WORK/block" b 7 0
    not_regular "$WORK/block" "$(disk 0)"
    [ ! -d /sys/module/loop ]
    : <"$WORK/block" || true
    [ -d /sys/module/loop ]
    udevadm settle
    modprobe -r loop
}

# The file is there, and may be read, but the table asks for write access.
read_only_mount() {
    fs_make ext4
    make_file "$MNT/file" "$SIZE"
    mount -o remount,ro "$MNT"
    SEALED=1 file_refused EROFS "$CANNOT_OPEN" "$MNT/file" 0
    SEALED=1 file_refused EROFS "$CANNOT_OPEN" "$MNT/file" 0 - block_mapped
    loop_create --readonly ro "$MNT/file" 0 - block_mapped
    pattern verify /dev/mapper/ro 0 "$SIZE" 1
    remove ro
    mount -o remount,rw "$MNT"
    mkdir "$WORK/bound"
    mount --bind "$MNT" "$WORK/bound"
    mount -o remount,bind,ro "$WORK/bound"
    SEALED=1 file_refused EROFS "$CANNOT_OPEN" "$WORK/bound/file" 0
    umount "$WORK/bound"
    loop_create rw "$MNT/file" 0
    remove rw
    fs_end
}

# sealed ATTRIBUTE: chattr +i or +a.
sealed() {
    chattr "+$1" "$FILE"
    SEALED=1 file_refused EPERM "$CANNOT_OPEN" "$FILE" 0
    chattr "-$1" "$FILE"
    unclaimed "$FILE"
}

# Whoever may make devices may still not be allowed to open the file.
no_permission() {
    local AS=(setpriv --reuid 65534 --regid 65534 --clear-groups
        "--inh-caps=-all,+sys_admin" "--ambient-caps=-all,+sys_admin" --)
    chmod 0666 /dev/mapper/control
    chmod 0755 "$WORK"
    chmod 0000 "$FILE"
    refused EACCES "$CANNOT_OPEN" "0 8 loop $FILE 0"
    refused EACCES "$CANNOT_OPEN" "0 8 loop $FILE 0" --readonly
    chmod 0444 "$FILE"
    refused EACCES "$CANNOT_OPEN" "0 8 loop $FILE 0"
    # They are what keeps it from the file, and nothing else.
    chmod 0666 "$FILE"
    refused EINVAL "Invalid offset" "0 8 loop $FILE x"
    "${AS[@]}" dmsetup create --noudevsync permitted --table "0 8 loop $FILE 0"
    chmod 0600 /dev/mapper/control
    udevadm settle
    remove permitted
}

running_program() {
    cp "$(command -v sleep)" "$WORK/program"
    "$WORK/program" 300 &
    wait_until [ "/proc/$!/exe" -ef "$WORK/program" ]
    refused ETXTBSY "$CANNOT_OPEN" "0 8 loop $WORK/program 0"
    kill $!
    wait $! || true
    unclaimed "$WORK/program"
}

refusals_begin
plan 11
check "no such file" no_such_file
check "directory" directory
check "FIFO is not opened" fifo
check "socket" socket
check "character device is not opened" character_device
check "block device is not opened" block_device
check "read-only mount" read_only_mount
check "immutable file" sealed i
check "append-only file" sealed a
check "no permission" no_permission
check "running program" running_program
