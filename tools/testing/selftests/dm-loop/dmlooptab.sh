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

# wrong CODE TEXT FOLDER…: the generator ends so. (systemd puts what it says into the journal.)
wrong() {
    local code=$1 text=$2 status=0
    shift 2
    DMLOOPTAB=$WORK/tab "$WORK/dmloop-generator" "$@" 2>"$WORK/said" || status=$?
    expect "$code" "$status" "exit code"
    grep -qF -- "$text" "$WORK/said" || fail "expected '$text', got: $(<"$WORK/said")"
}

generator_errors() {
    generate <<<"one $MNT/x"
    wrong 2 "usage: dmloop-generator FOLDER"
    wrong 1 "one: No such file or directory" "$WORK/nowhere"
    rm -r "$UNITS"
    mkdir "$UNITS"
    # One too long for the name of a file; the line behind it counts all the same.
    printf '%s %s\n' "a$(printf -- '-%.0s' {1..100})" /x one "$MNT/x" >"$WORK/tab"
    wrong 1 "the name is too long for a unit" "$UNITS"
    expect dmloop@one.service "$(cd "$UNITS" && echo *.service)"
    rm "$WORK/tab"
    mkdir "$WORK/tab"
    wrong 1 "$WORK/tab: Is a directory" "$UNITS"
    rmdir "$WORK/tab"
}

nothing() {
    generate </dev/null
    expect "" "$(ls "$UNITS")"
    rm "$WORK/tab"
    DMLOOPTAB=$WORK/tab "$WORK/dmloop-generator" "$UNITS"
    expect "" "$(ls "$UNITS")"
}

fs_make ext4
plan 5
check "units" units
check "what they run" attached
check "lines that make no sense" wrong_lines
check "what the generator cannot do" generator_errors
check "an empty file, and none" nothing
fs_end
