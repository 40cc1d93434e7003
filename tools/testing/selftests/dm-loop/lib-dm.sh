# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Making and removing devices; sourced by lib.sh.

modinfo -n dm-loop >/dev/null 2>&1 || { echo "Bail out! dm-loop is not installed" && exit 1; }

# (Without devices, dmsetup says so in words.)
list_devices() {
    local name number
    dmsetup ls 2>/dev/null | while IFS=$'\t' read -r name number; do
        [ -z "$number" ] || echo "$name"
    done
}

# What was there before the script is not ours to remove.
DEVICES_BEFORE=$(list_devices)
MODULE_BEFORE=''
[ ! -d /sys/module/dm_loop ] || MODULE_BEFORE=yes

# file_sectors FILE [OFFSET]: whole sectors from OFFSET to the end of FILE.
file_sectors() { echo $((($(stat -c %s -- "$1") - ${2:-0}) / 512)); }

# escape PATH: as it has to stand in a table.
escape() {
    local path=${1//\\/\\134}
    path=${path// /\\040}
    printf '%s\n' "${path//$'\t'/\\011}"
}

# loop_table FILE OFFSET [SECTORS|-] [FEATURE…]: a table with one target. Without SECTORS,
# or with -, it goes to the end of FILE.
loop_table() {
    local file=$1 offset=$2 sectors=${3:--}
    shift $(($# > 3 ? 3 : $#))
    [ "$sectors" != - ] || sectors=$(file_sectors "$file" "$offset")
    echo "0 $sectors loop $(escape "$file") $offset${1:+ $# $*}"
}

# is_block NAME: whether /dev/mapper/NAME is a block device. To be asked before anything is
# written there: programs make a regular file of a name that does not exist.
is_block() { [ -b "/dev/mapper/$1" ] || fail "/dev/mapper/$1 is not a block device"; }

# loop_create [--readonly] NAME FILE OFFSET [SECTORS|-] [FEATURE…]
loop_create() {
    local options=() name
    while [[ $1 == --* ]]; do options+=("$1") && shift; done
    name=$1
    shift
    dmsetup create "${options[@]}" "$name" --table "$(loop_table "$@")"
    is_block "$name"
}

# loop_refused ERRNO MESSAGE [--readonly] FILE OFFSET [SECTORS|-] [FEATURE…]: creating the
# device must fail with ERRNO (as in EINVAL) and MESSAGE, and leave no device.
loop_refused() {
    local errno=$1 message=$2 options=()
    shift 2
    while [[ $1 == --* ]]; do options+=("$1") && shift; done
    table_refused "$errno" "$message" "$(loop_table "$@")" "${options[@]}"
}

# table_refused ERRNO MESSAGE TABLE [DMSETUP OPTION…]
table_refused() {
    local errno=$1 message=$2 table=$3 log
    shift 3
    kmsg_mark
    if dmsetup create "$@" refused --table "$table"; then
        dmsetup remove --retry refused
        fail "accepted: $table"
    fi
    ! dmsetup info refused >/dev/null 2>&1 || fail "a device is left after: $table"
    log=$(kmsg_since)
    grep -qF "loop: $message (-$errno)" <<<"$log" ||
        fail "expected '$message (-$errno)' for: $table"$'\n'"the log says: $log"
}

# retable NAME TABLE: the device has another table from now on, and nothing is flushed.
retable() {
    dmsetup load "$1" --table "$2"
    dmsetup suspend --noflush --nolockfs "$1"
    dmsetup resume "$1"
}

# status_is NAME WANTED: what `dmsetup status` says after the start and length.
status_is() { expect "$2" "$(dmsetup status "$1" | cut -d' ' -f4-)" "status of $1"; }

# queue DEVICE NAME: an attribute of its queue, such as logical_block_size.
queue() { cat "/sys/block/$(kernel_name "$1")/queue/$2"; }

# disk_stat DEVICE N: the N-th field of its statistics (Documentation/block/stat.rst).
disk_stat() { awk -v n="$2" '{ print $n }' "/sys/block/$(kernel_name "$1")/stat"; }

# kernel_name DEVICE: dm-0 of /dev/mapper/x.
kernel_name() { basename "$(realpath "$1")"; }

# remove NAME…: udev may still have the device open for a moment, hence --retry. That gives
# up after five seconds, which a busy machine may take to begin with its events.
remove() {
    local name
    for name; do
        dmsetup remove --retry "$name" || { udevadm settle && dmsetup remove --retry "$name"; }
    done
}

# without LIST: stdin without the lines that are in LIST.
without() { grep -vxF -- "$1" || true; }

# clear_away DEVICES MOUNTS: unmounts and removes what is below $WORK or a device now and
# was not in these lists, whichever stands on whichever. Says what it could not remove.
clear_away() {
    local round name mount
    for round in 1 2 3 4 5 6; do
        [ "$round" -lt 3 ] || sleep 1
        while read -r mount; do
            umount "$mount" 2>/dev/null || true
        done < <(our_mounts | without "$2")
        while read -r name; do
            dmsetup resume "$name" 2>/dev/null || true
            dmsetup remove --retry "$name" >/dev/null 2>&1 || true
        done < <(list_devices | without "$1")
        [ -n "$(our_mounts | without "$2")$(list_devices | without "$1")" ] || return 0
    done
    echo "# left behind: $(our_mounts | without "$2") $(list_devices | without "$1")"
    return 1
}

# The end of a script.
cleanup_devices() {
    clear_away "$DEVICES_BEFORE" '' || FAILED=$((FAILED + 1))
    [ -n "$MODULE_BEFORE" ] || [ ! -d /sys/module/dm_loop ] || rmmod dm_loop
}

# until_enough COMMAND…: runs COMMAND again and again until there is a file $WORK/enough.
# For the background: load that lasts as long as a test does, however slow the machine.
until_enough() {
    rm -f "$WORK/enough"
    while [ ! -e "$WORK/enough" ]; do
        "$@" || return 1
    done
}
