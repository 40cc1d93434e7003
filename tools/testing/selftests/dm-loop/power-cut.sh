#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 8G --disk 2G,logical_block_size=4096 --cpus 1 --mem 1G --timeout 1200
# trust
#
# The power goes: all that the disk below the host file system was asked to do is logged, and
# replayed up to a point, as if nothing had come after it. At each point the host file system
# recovers and is sound, each write to a device that was acknowledged is in its backing file,
# and a file system on a device recovers with all that had been synced to it.
. ./lib.sh

POINTS=3
[ -z "${LONG:-}" ] || POINTS=50
# File system of the host, mapping, file system on the device.
CASES=("ext4 block ext4" "ext4-journal file ext4" "xfs block f2fs" "btrfs block ext4" "f2fs block ext4"
    "ext4 file ext4" "xfs file ext4")
SEED=${SEED:-$(date +%s)}
DISK=$(disk 0)
# In sectors: the disk in question, and where on the real one it, its log, its copy and what
# recovery changes in the copy lie.
SECTORS=$((640 << 11))
INNER=$WORK/inner
INNER_SIZE=$((48 << 20)) RAW_SIZE=$((4 << 20))

part() { dmsetup create "$1" --table "0 $3 linear $DISK $(($2 << 21))"; }

# mount_host KIND DEVICE
mount_host() {
    case $1 in
    ext4-journal) mount -t ext4 -o data=journal "$2" "$MNT" ;;
    # It remembers devices that hold the same, or have held.
    btrfs) udevadm settle && btrfs -q device scan --forget && mount -t btrfs "$2" "$MNT" ;;
    *) mount -t "$1" "$2" "$MNT" ;;
    esac
}

# device NAME MAPPING: on the file of that name, mapped as it should be.
device() {
    local features=()
    [ "$2" != block ] || features=(block_mapped)
    loop_create "$1" "$MNT/$1" 0 - "${features[@]}"
    [[ $(dmsetup status "$1") == *" loop $2 "* ]]
}

# work HOST MAPPING INNER: leaves the log.
work() {
    local host=$1 mapping=$2 inner=$3
    modprobe dm-log-writes 2>/dev/null || [ -d /sys/module/dm_log_writes ] || skip_this "this kernel has no dm-log-writes"
    blkdiscard -f "$DISK"
    part data 0 "$SECTORS"
    part log 1 $((2 << 21))
    dmsetup create logged --table "0 $SECTORS log-writes /dev/mapper/data /dev/mapper/log"
    fs_format "${host%-journal}" /dev/mapper/logged
    mount_host "$host" /dev/mapper/logged
    [ "$host" != btrfs ] || chattr +C "$MNT"
    make_file "$MNT/raw" "$RAW_SIZE" 0
    if [ "$mapping" = block ]; then
        dd if=/dev/zero of="$MNT/inner" bs=1M count=$((INNER_SIZE >> 20)) conv=fsync status=none
    else
        make_sparse "$MNT/inner" "$INNER_SIZE"
    fi
    device raw "$([ "$host/$mapping" = ext4-journal/file ] && echo file || echo block)"
    device inner "$mapping"
    fs_format "$inner" /dev/mapper/inner
    mount -t "$inner" /dev/mapper/inner "$INNER"
    sync
    program acknowledge.py load logged "$INNER" /dev/mapper/raw "$SEED" "$POINTS"
    umount "$INNER"
    remove inner raw
    umount "$MNT"
    remove logged
    part copy 4 "$SECTORS"
    part changes 5 "$SECTORS"
    rm -f "$WORK/position"
    expect "$POINTS" "$(logwrites marks /dev/mapper/log | grep -c '^step-')" "marks in the log"
}

logwrites() { program logwrites.py "$@"; }

# cut HOST MAPPING INNER STEP [loosely]: the power goes after STEP, or soon after it.
cut_power() {
    local host=$1 mapping=$2 inner=$3 step=$4 loosely=${5:-}
    logwrites replay /dev/mapper/log /dev/mapper/copy "$WORK/position" "step-$step" ${loosely:+"$SEED $step"}
    dmsetup create cut --table "0 $SECTORS snapshot /dev/mapper/copy /dev/mapper/changes N 8"
    mount_host "$host" /dev/mapper/cut
    device inner "$mapping"
    mount -t "$inner" /dev/mapper/inner "$INNER"
    program acknowledge.py verify "$INNER" "$MNT/raw" "$SEED" "$step" ${loosely:+loosely}
    umount "$INNER"
    fs_check "$inner" /dev/mapper/inner
    remove inner
    umount "$MNT"
    fs_check "${host%-journal}" /dev/mapper/cut
    remove cut
}

# cuts HOST MAPPING INNER: at each mark, and somewhere before the next one, by turns.
cuts() {
    local step
    dmsetup info copy >/dev/null 2>&1 || fail "there is no log"
    for ((step = 1; step <= POINTS; step++)); do
        if [ $((step % 2)) = 1 ]; then
            cut_power "$@" "$step"
        else
            cut_power "$@" "$step" loosely
        fi
    done
}

mkdir "$INNER"
modprobe btrfs
plan $((2 * ${#CASES[@]}))
echo "# seed $SEED"
for words in "${CASES[@]}"; do
    read -ra case <<<"$words"
    check "${case[2]} on a ${case[1]}-mapped device on ${case[0]}: $POINTS steps" work "${case[@]}"
    check "the power goes, $POINTS times" cuts "${case[@]}"
    clear_away "$DEVICES_BEFORE" ''
done
