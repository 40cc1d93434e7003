#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 8G --disk 2G,logical_block_size=4096 --cpus 1 --mem 1G
#
# What `dmsetup table` prints makes the same device again, whatever the path looks like.
. ./lib.sh
. ./lib-lock.sh

SIZE=65536
SECTORS=$((SIZE / 512))

# arguments PATH [REST]: how the path has to stand in a table, and what follows it. Besides
# white space as C knows it, the kernel takes the byte 0xa0 for space; and dmsetup takes '#'
# for the beginning of a comment.
arguments() {
    python3 -c 'import os, re, sys
path = re.sub(rb"[\t-\r #\xa0\\]", lambda found: b"\\%03o" % found[0][0], os.fsencode(sys.argv[1]))
sys.stdout.buffer.write(path + b" " + os.fsencode(sys.argv[2]))' "$1" "${2-0}"
}

# line PATH [REST]: the table.
line() { printf '0 %s loop ' "$SECTORS" && arguments "$@" && echo; }

# again FILE: from the printed table, as it stands.
again() {
    pattern verify /dev/mapper/path 0 "$SIZE" 1
    dmsetup table path >"$WORK/table"
    remove path
    dmsetup create path <"$WORK/table"
    is_block path
    dmsetup table path | cmp - "$WORK/table"
    pattern verify --direct /dev/mapper/path 0 "$SIZE" 1
    claimed "$1"
    remove path
    # Not by a name that is longer still.
    truncate -s "$SIZE" -- "$1"
}

# round_trip NAME: of a file of that name, given and printed with escapes.
round_trip() {
    local file=$WORK/$1
    make_file "$file" "$SIZE"
    line "$file" "0 1 block_mapped" >"$WORK/line"
    dmsetup create path <"$WORK/line"
    is_block path
    dmsetup table path | cmp - "$WORK/line"
    again "$file"
    rm -- "$file"
}

# Each byte that can stand in a name.
every_byte() {
    local code name='' part
    for code in {1..46} {48..255}; do
        printf -v part %b "\\x$(printf %02x "$code")"
        name+=$part
    done
    round_trip "$name"
}

# deep_file LENGTH PART: a path of LENGTH bytes below $WORK, through folders with names of
# PARTs.
deep_file() {
    local length=$1 name='' file=$WORK/deep
    while [ ${#name} -lt 250 ]; do name+=$2; done
    while [ $((length - ${#file})) -gt 256 ]; do file+=/${name:0:250}; done
    mkdir -p "$file"
    file+=/
    while [ ${#file} -lt "$length" ]; do file+=f; done
    echo "$file"
}

# longest PART: the longest that the kernel takes: 4096 with the NUL at the end.
longest() {
    local file
    file=$(deep_file 4095 "$1")
    make_file "$file" "$SIZE"
    dmsetup create path --table "$(line "$file")"
    again "$file"
    fails_with "File name too long" dmsetup create path --table "$(line "${file}f")"
}

# Twenty long ones in one table are more than the first buffer of dmsetup holds. (None that
# has to be escaped: libdevmapper has not counted on that many backslashes.)
many_long() {
    local file n
    file=$(deep_file 4095 n)
    make_file "$file" "$SIZE"
    for n in {0..19}; do echo "$((n * SECTORS)) $SECTORS loop $(arguments "$file")"; done >"$WORK/many"
    dmsetup create path <"$WORK/many"
    dmsetup table path | cmp - "$WORK/many"
    remove path
}

# A file that only a relative path reaches; the table says where it is, at full length.
beyond_path_max() {
    local n
    cd "$WORK"
    for n in {1..20}; do
        mkdir "$(printf 'd%.0s' {1..250})"
        cd "$(printf 'd%.0s' {1..250})"
    done
    pattern write file 0 "$SIZE" 1
    dmsetup create path --table "0 $SECTORS loop file 0"
    is_block path
    dmsetup table path >"$WORK/table"
    expect $((${#WORK} + 20 * 251 + 5)) "$(awk '{ print length($4) }' "$WORK/table")"
    dmsetup status path
    remove path
    cd "$WORK"
    rm -rf ddd*
}

# Absolute and without links, and true after the folder has another name.
other_names() {
    mkdir "$WORK/folder"
    make_file "$WORK/folder/file" "$SIZE"
    ln -s "$WORK/folder" "$WORK/link"
    for path in "$WORK/link/file" "$WORK/link/../folder//./file"; do
        dmsetup create path --table "0 $SECTORS loop $path 0"
        expect "0 $SECTORS loop $WORK/folder/file 0" "$(dmsetup table path)"
        remove path
    done
    cd "$WORK/link"
    dmsetup create path --table "0 $SECTORS loop ./file 0"
    cd /
    expect "0 $SECTORS loop $WORK/folder/file 0" "$(dmsetup table path)"
    mv "$WORK/folder" "$WORK/other folder"
    expect "0 $SECTORS loop $WORK/other\\040folder/file 0" "$(dmsetup table path)"
    again "$WORK/other folder/file"
}

# What each form of status looks like.
formats() {
    local number
    make_fragmented "$WORK/file" $((1 << 20))
    number=$(mountpoint -d "$(df --output=target "$WORK" | tail -n 1)")
    loop_create path "$WORK/file" 512 7
    expect "0 7 loop block $(extent_count "$WORK/file") $number" "$(dmsetup status path)"
    expect "0 7 loop $WORK/file 512" "$(dmsetup table path)"
    remove path
    loop_create --readonly path "$WORK/file" 0 2048 no_discard block_mapped
    expect "0 2048 loop block $(extent_count "$WORK/file") $number" "$(dmsetup status path)"
    expect "0 2048 loop $WORK/file 0 2 block_mapped no_discard" "$(dmsetup table path)"
    expect "path: 0 2048 loop $WORK/file 0 2 block_mapped no_discard" "$(dmsetup table)"
    expect "0" "$(dmsetup deps path | sed -n 's/ .*//p')"
    remove path
    dmsetup create path --table "0 8 loop $WORK/file 0 0"
    expect "0 8 loop $WORK/file 0" "$(dmsetup table path)"
    remove path
}

plan 28
# Each of these is a name as it stands.
# shellcheck disable=SC1003,SC2016
for name in plain "two words" "a  b   c " " leading" $'tab\tand\vand\fand\r' 'back\slash' '\' '\\\' '\041 \101\400\000' \
    'à la carte' 'ünïcödé 文件 🖴' "quote'd \"twice\"" '$(dollar) `tick`' 'semi;colon,comma&' '%s%n\040\n' \
    '-dash' $'\xa0\xff\x80' $'à\xa0' \
    '#1 # two' '#' $'one\ntwo\n\nthree\n'; do
    check "a file named $(printf %q "$name")" round_trip "$name"
done
check "a file with every byte in its name" every_byte
check "a path of 4095 bytes" longest n
check "a path of 4095 bytes that needs escapes" longest ' a # b'
check "twenty paths of 4095 bytes" many_long
check "a path longer than that" beyond_path_max
check "relative paths, links, renamed folders" other_names
check "formats" formats
