#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 8G --disk 2G,logical_block_size=4096 --cpus 1 --mem 1G --tools
#
# The units that dmloop-generator makes of /etc/dmlooptab. (systemd does not run here: what
# it would run is run by hand.)
. ./lib.sh
. ./lib-lock.sh
. ./lib-tools.sh

SIZE=$((1 << 20))
FILE="$MNT/my image"
UNITS=$WORK/units
ln -s "$DMLOOP" "$WORK/dmloop-generator"

# generate <LINES: makes units of them, with what it says in $WORK/said.
generate() {
    rm -rf "$UNITS"
    mkdir "$UNITS"
    cat >"$WORK/tab"
    DMLOOPTAB=$WORK/tab "$WORK/dmloop-generator" "$UNITS" "$UNITS" "$UNITS" 2>"$WORK/said"
}

# said_of UNIT: what systemd has to say about it.
said_of() { { systemd-analyze verify --man=no --recursive-errors=no "$1" 2>&1 || true; } | { grep -F "${1##*/}" || true; }; }

units() {
    generate <<TAB
# name file offset options
one     $MNT/my\\040image  -    block-mapped
the-two $MNT/other         512  ro,sizelimit=64K,noauto
TAB
    expect "" "$(<"$WORK/said")"
    expect 'dmloop@one.service dmloop@the\x2dtwo.service' "$(cd "$UNITS" && printf '%s\n' *.service | xargs -d '\n')"
    expect 'dmloop@one.service' "$(ls "$UNITS/multi-user.target.wants")"
    [ -e "$UNITS/dev-mapper-one.device.requires/dmloop@one.service" ]
    [ -e "$UNITS/dev-mapper-the\\x2dtwo.device.requires/dmloop@the\\x2dtwo.service" ]
    expect "$(systemd-escape -p --suffix=device /dev/mapper/the-two).requires" \
        "$(basename "$UNITS"/dev-mapper-the*.requires)"
    # It speaks about what is wrong in a unit, and not about these.
    sed 's/^Type=.*/Type=nonsense/' "$UNITS/dmloop@one.service" >"$WORK/broken.service"
    said_of "$WORK/broken.service" | grep -qF nonsense
    for unit in "$UNITS"/*.service; do
        expect "" "$(said_of "$unit")"
    done
}

# run WHAT UNIT: its line, in which no word needs what systemd and a shell see differently.
run() { eval "$(sed -n "s/^$1=//p" "$UNITS/$2")"; }

attached() {
    make_file "$FILE" "$SIZE"
    make_file "$MNT/other" "$SIZE"
    units
    run ExecStart dmloop@one.service
    expect "0 $((SIZE / 512)) loop $MNT/my\\040image 0 1 block_mapped" "$(dmsetup table one)"
    run ExecStart 'dmloop@the\x2dtwo.service'
    expect "0 128 loop $MNT/other 512" "$(dmsetup table the-two)"
    expect 1 "$(blockdev --getro /dev/mapper/the-two)"
    run ExecStop dmloop@one.service
    expect the-two "$(list_devices)"
    run ExecStop 'dmloop@the\x2dtwo.service'
    unclaimed "$FILE"
}

wrong_lines() {
    generate <<TAB
one
two relative
three $MNT/x 0 what
four $MNT/x
four $MNT/y
TAB
    expect dmloop@four.service "$(cd "$UNITS" && echo *.service)"
    expect 4 "$(wc -l <"$WORK/said")"
    grep -qF "line 3: what is the option what?" "$WORK/said"
    grep -qF "line 5: there is a four already" "$WORK/said"
}

nothing() {
    generate </dev/null
    expect "" "$(ls "$UNITS")"
    rm "$WORK/tab"
    DMLOOPTAB=$WORK/tab "$WORK/dmloop-generator" "$UNITS"
    expect "" "$(ls "$UNITS")"
}

fs_make ext4
plan 4
check "units" units
check "what they run" attached
check "lines that make no sense" wrong_lines
check "an empty file, and none" nothing
fs_end
