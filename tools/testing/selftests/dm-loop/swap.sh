#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 8G --cpus 1 --mem 256M --alone
# trust
#
# A small machine that works with more memory than it has, swapping to a block-mapped device,
# and to dm-crypt on one: the work is done, and nothing was lost. /dev/loop has to do the same
# with full counts, for the record: there, only its figures are told.
. ./lib.sh

TIME=30
[ -z "${LONG:-}" ] || TIME=600
SIZE=$((768 << 20))
FILE=$MNT/swap
TARGET=/dev/mapper/swap
KEY=$(printf '%064x' 12345)
# In KiB: what there is, and what is asked for.
TOTAL=$(awk '$1 == "MemTotal:" { print $2 }' /proc/meminfo)
WANTED=$((TOTAL * 13 / 10))

counter() { awk -v name="$1" '$1 == name { n = $2 } END { print n + 0 }' /proc/vmstat; }

# work WHAT DEVICE: stress-ng writes all of that memory again and again, and verifies it.
work() {
    local out in killed
    mkswap -q "$2"
    swapon "$2"
    # Whatever happens, the next one must find it gone.
    trap 'swapoff '"$2" EXIT
    out=$(counter pswpout) in=$(counter pswpin) killed=$(counter oom_kill)
    timeout $((TIME * 10 + 300)) stress-ng --vm 2 --vm-bytes $((WANTED / 2))K --vm-keep --vm-populate \
        --vm-method incdec --verify --timeout "${TIME}s" --metrics-brief >"$WORK/stress" 2>&1 ||
        fail "stress-ng: $? $(<"$WORK/stress")"
    if grep -iE 'fail:|error' "$WORK/stress"; then fail "$(<"$WORK/stress")"; fi
    out=$(($(counter pswpout) - out)) in=$(($(counter pswpin) - in))
    expect "$killed" "$(counter oom_kill)" "processes that were killed"
    [ "$out" -gt 2000 ] || fail "only $out pages were swapped out"
    swapoff "$2"
    trap - EXIT
    echo "# $1: $out pages out, $in in, $(awk '$4 == "vm" { print $5 }' "$WORK/stress" | tail -n 1) operations in $TIME s" >>"$WORK/figures"
}

plain() {
    loop_create swap "$FILE" 0 - block_mapped
    work "block-mapped" "$TARGET"
    remove swap
}

encrypted() {
    loop_create swap "$FILE" 0 - block_mapped
    dmsetup create secret --table "0 $((SIZE / 512)) crypt aes-xts-plain64 $KEY 0 $TARGET 0"
    is_block secret
    work "dm-crypt on it" /dev/mapper/secret
    remove secret swap
}

# What came of it is told, but is not our affair.
beside() {
    local loop status
    [ -n "${LONG:-}" ] || skip_this "with full counts only"
    modprobe loop
    loop=$(losetup --show --direct-io=on -f "$FILE")
    set +e
    (set -e && work "/dev/loop" "$loop")
    status=$?
    set -e
    [ $status = 0 ] || echo "# /dev/loop: did not get to its end" >>"$WORK/figures"
    losetup -d "$loop"
}

fs_make ext4
# Zeros take no room on the emulated disk.
dd if=/dev/zero of="$FILE" bs=1M count=$((SIZE >> 20)) oflag=direct conv=fsync status=none
chmod 600 "$FILE"
plan 3
check "swapping to a block-mapped device" plain
check "swapping to dm-crypt on one" encrypted
check "swapping to /dev/loop, for the record" beside
[ ! -e "$WORK/figures" ] || cat "$WORK/figures"
fs_end
