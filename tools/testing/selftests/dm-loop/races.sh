#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 8G --cpus 4 --mem 1G --timeout 1200 --alone
# trust
#
# Many do many things at the same time: to devices, to their files, to the file system below,
# and to the module. Data is right, everything ends, and the file system is sound.
. ./lib.sh
. ./lib-lock.sh

TIME=${TIME:-20}
[ -z "${LONG:-}" ] || TIME=600
SEED=${SEED:-$(date +%s)}
FOLDER=$MNT/files

# race JOB KIND SECONDS
race() {
    local name
    fs_make "$2"
    mkdir "$FOLDER"
    udevadm control --timeout=240 --stop-exec-queue
    python3 "$HERE/race_jobs.py" "$1" "$3" "$SEED" "$FOLDER" >"$WORK/said" 2>&1 || {
        udevadm control --timeout=240 --start-exec-queue
        fail "$(<"$WORK/said")"
    }
    # What is there at the end, may be suspended.
    while read -r name; do
        dmsetup resume --noudevsync "$name" 2>/dev/null || true
        dmsetup remove --noudevsync --retry "$name"
    done < <(list_devices)
    udevadm control --timeout=240 --start-exec-queue
    udevadm settle
    echo "# $1, $2: $(<"$WORK/said")" >>"$WORK/counts"
    for name in "$FOLDER"/{shared0,read0,still0}; do
        [ ! -e "$name" ] || unclaimed "$name"
    done
    chattr -i "$FOLDER"/* 2>/dev/null || true
    rm -r "$FOLDER"
    fs_end
}

modprobe dm-loop
plan 12
echo "# seed $SEED"
check "devices and tables come and go under I/O, ext4" race crowd ext4 "$TIME"
check "devices and tables come and go under I/O, xfs" race crowd xfs "$TIME"
for kind in ext4 xfs btrfs f2fs; do
    check "files are changed while they are claimed, $kind" race constructor "$kind" "$TIME"
done
check "files are read while their devices are written, ext4" race readers ext4 "$TIME"
check "files are read while their devices are written, btrfs" race readers btrfs "$TIME"
check "the file system is frozen and unmounted, ext4" race freezer ext4 "$TIME"
check "the file system is frozen and unmounted, xfs" race freezer xfs "$TIME"
check "removal in use, and unloading" race unload ext4 "$TIME"
check "removal in use, and unloading, xfs" race unload xfs "$TIME"
[ ! -e "$WORK/counts" ] || cat "$WORK/counts"
