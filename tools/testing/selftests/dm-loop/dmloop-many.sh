#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 8G --disk 2G,logical_block_size=4096 --cpus 2 --mem 1G --timeout 1800 --tools
#
# Two hundred dmloop attach at once: each gets a device of its own.
. ./lib.sh
. ./lib-lock.sh
. ./lib-tools.sh

COUNT=200
PART=16384

make_files() {
    local n
    for ((n = 0; n < COUNT; n++)); do
        { echo "$n" && head -c "$PART" /dev/zero; } | head -c "$PART" >"$MNT/$n"
    done
    sync
}

# All wait for a lock that is given up when the last one has been started.
attach_at_once() {
    local n failed=0 jobs=()
    exec {gate}>"$WORK/gate"
    flock "$gate"
    mkdir "$WORK/names"
    for ((n = 0; n < COUNT; n++)); do
        (
            flock -s 9
            "$DMLOOP" attach "$MNT/$n" >"$WORK/names/$n"
        ) 9<"$WORK/gate" {gate}>&- &
        jobs+=($!)
    done
    exec {gate}>&-
    for n in "${jobs[@]}"; do
        wait "$n" || failed=$((failed + 1))
    done
    expect 0 "$failed" "attaches that failed"
    expect "$COUNT" "$(sort -u "$WORK"/names/* | wc -l)" "names"
    expect "$COUNT" "$(list_devices | grep -cE '^loop[0-9]+$')" "devices"
    # None is left out.
    expect "$(seq 0 $((COUNT - 1)) | sed s/^/loop/ | sort)" "$(list_devices | sort)"
}

# Each is the one that its caller was told.
each_its_own() {
    local n name
    for ((n = 0; n < COUNT; n++)); do
        name=$(<"$WORK/names/$n")
        [ -b "$name" ] || fail "$name is not a block device"
        expect "$n" "$(head -n 1 "$name" | tr -d '\0')" "number in $name" || return
    done
    expect "$COUNT" "$(dmloop list -n -o MAPPING | grep -c ^block)"
}

all_detached() {
    dmloop detach --all
    expect "" "$(list_devices)"
    expect "" "$(ipcs -s | awk '$1 ~ /^0x0d4d/')"
    unclaimed "$MNT/0"
    unclaimed "$MNT/$((COUNT - 1))"
}

fs_make ext4
plan 4
check "$COUNT files" make_files
check "$COUNT attached at once" attach_at_once
check "each is its caller's" each_its_own
check "all detached" all_detached
fs_end
