#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 8G --disk 2G,logical_block_size=4096 --cpus 1 --mem 1G --tools
#
# The commands that only look, interrupted: nothing is left of them, and nothing has changed.
. ./lib.sh
. ./lib-lock.sh
. ./lib-tools.sh

SIZE=$((1 << 20))
FILE=$MNT/file

# at_many_moments COMMAND CODE ARG…: `dmloop ARG…` gets a signal at one moment after the other,
# and ends by it or with exit code CODE; each time COMMAND must hold. Both have to happen.
at_many_moments() {
    local holds=$1 code=$2 n ms signal by_signal=0 by_itself=0
    shift 2
    for n in {0..23}; do
        signal=INT
        [ $((n % 2)) = 0 ] || signal=TERM
        # At first hardly any time apart: some are done soon.
        ms=$((n * n * 5))
        interrupt "$((ms / 1000)).$(printf %03d $((ms % 1000)))" "$signal" "$@"
        case $STATUS in
        "$code") by_itself=$((by_itself + 1)) ;;
        130 | 143) by_signal=$((by_signal + 1)) ;;
        *) fail "exit code $STATUS after $ms ms" ;;
        esac
        echo "after $ms ms: exit code $STATUS"
        "$holds"
        # From then on it would end by itself each time.
        [ "$by_itself" -lt 4 ] || break
    done
    [ "$by_signal" -gt 0 ] || fail "it was never interrupted"
    [ "$by_itself" -gt 0 ] || fail "it never came to its end"
}

unused() {
    expect "" "$(list_devices)" devices
    expect control "$(ls /dev/mapper)" nodes
    unclaimed "$FILE"
}
# checks MAKE CODE: what the kernel would make of a file is asked of the kernel.
checks() {
    "make_$1" "$FILE" "$SIZE"
    at_many_moments unused "$2" check "$FILE"
    dmloop_exits "$2" check "$FILE" >/dev/null
}

attached() {
    expect x "$(list_devices)" devices
    status_is x "block $(extent_count "$FILE") $(mountpoint -d "$MNT")"
}

# The archive is whole or not there.
whole_archive() {
    attached
    expect "" "$(find "$WORK/reports" ! -type d ! -name r.tar)" "what is left beside it"
    [ ! -e "$WORK/reports/r.tar" ] || tar -tf "$WORK/reports/r.tar" >/dev/null
    rm -f "$WORK/reports/r.tar"
}
reports() {
    mkdir "$WORK/reports"
    at_many_moments whole_archive 0 report -o "$WORK/reports/r.tar"
}

lists() { at_many_moments attached 0 list; }

whole_drawing() {
    attached
    expect "" "$(find "$WORK/drawings" ! -type d ! -name d.svg)" "what is left beside it"
    [ ! -e "$WORK/drawings/d.svg" ] || python3 -c 'import sys, xml.dom.minidom; xml.dom.minidom.parse(sys.argv[1])' "$WORK/drawings/d.svg"
    rm -f "$WORK/drawings/d.svg"
}
maps() {
    mkdir "$WORK/drawings"
    at_many_moments whole_drawing 0 map x --svg "$WORK/drawings/d.svg"
}

# With an interval it goes on until it is interrupted.
stats() {
    local signal
    for signal in INT TERM; do
        interrupt 2 "$signal" stat x --interval 1
        expect $((128 + $(kill -l "$signal"))) "$STATUS" "exit code after $signal"
        attached
    done
}

with_device() {
    make_file "$FILE" "$SIZE"
    dmloop attach "$FILE" x
    "$1"
    dmloop detach x
    unclaimed "$FILE"
}

fs_make ext4
plan 6
check "check of a file that can be block-mapped" checks file 0
check "check of one that cannot" checks sparse 3
check "list" with_device lists
check "map" with_device maps
check "report" with_device reports
check "stat" with_device stats
fs_end
