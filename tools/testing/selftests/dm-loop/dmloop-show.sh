#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 8G --disk 2G,logical_block_size=4096 --cpus 1 --mem 1G --tools
#
# What dmloop shows (list, check, map, stat, report), and dmloop grow.
. ./lib.sh
. ./lib-lock.sh
. ./lib-tools.sh

SIZE=$((1 << 20))
FILE=$MNT/file

# json CODE <JSON: CODE in Python must hold for `all`.
json() { python3 -c "import json, sys; all = json.load(sys.stdin); assert $1, all"; }

two_devices() {
    make_file "$FILE" "$SIZE"
    make_sparse "$FILE.sparse" $((2 * SIZE))
    dmloop attach "$FILE" a -o 512K
    dmloop attach "$FILE.sparse" b -r --sizelimit 1M
}

list() {
    expect "" "$(dmloop list)"
    dmloop list --json | json 'all == {"loopdevices": []}'
    two_devices
    expect "NAME SIZE OFFSET RO MAPPING REASON EXTENTS BACK-FILE" "$(dmloop list | head -n 1 | xargs)"
    expect "/dev/mapper/a 512K 512K 0 block - $(extent_count "$FILE") $FILE" "$(dmloop list -n a | xargs)"
    expect "/dev/mapper/b 1M 0 1 file sparse - $FILE.sparse" "$(dmloop list -n /dev/mapper/b | xargs)"
    expect "b 1048576" "$(dmloop list -n -b -o name,size b | xargs | sed s,/dev/mapper/,,)"
    expect "524288 524288" "$(dmloop list -n --bytes -o SIZE,OFFSET a | xargs)"
    expect "253:" "$(dmloop list -n -o MAJ:MIN a | cut -c1-4)"
    expect /dev/mapper/b "$(dmloop list -n -o NAME -j "$FILE.sparse")"
    expect "" "$(dmloop list -n -j "$HERE/lib.sh")"
    dmloop list --json >"$WORK/json"
    json '[d["name"] for d in all["loopdevices"]] == ["/dev/mapper/a", "/dev/mapper/b"]' <"$WORK/json"
    json 'all["loopdevices"][0]["offset"] == 524288 and all["loopdevices"][0]["sizelimit"] == 0' <"$WORK/json"
    json 'all["loopdevices"][1]["ro"] and all["loopdevices"][1]["sizelimit"] == 1048576' <"$WORK/json"
    json 'all["loopdevices"][1]["reason"] == "sparse" and all["loopdevices"][0]["reason"] is None' <"$WORK/json"
    # losetup's own keys, so that scripts find what they know.
    modprobe loop
    losetup -f "$HERE/lib.sh" -r
    losetup --json >"$WORK/losetup"
    losetup -D
    python3 -c 'import json, sys
theirs, ours = (json.load(open(path))["loopdevices"][0] for path in sys.argv[1:])
assert set(theirs) <= set(ours), set(theirs) - set(ours)
assert all(type(theirs[key]) == type(ours[key]) for key in theirs), (theirs, ours)' "$WORK/losetup" "$WORK/json"
    dmloop detach --all
}

list_many_targets() {
    make_file "$FILE" "$SIZE"
    dmsetup create x <<<"0 8 loop $FILE 0"$'\n'"8 16 loop $FILE 8192"
    expect "4096 0 8192 4096" "$(dmloop list -n -b -o SIZE,START | xargs)"
    dmsetup create none --notable
    dmsetup create mixed <<<$'0 8 zero\n8 8 loop '"$FILE 65536"
    expect 2 "$(dmloop list -n | wc -l)"
    remove none mixed
    dmloop detach x
}

list_errors() {
    dmloop_fails 2 "there is no column X; there are NAME" list -o NAME,X
    dmloop_fails 4 "there is no device x" list x
    dmloop_fails 1 "No such file" list -j "$MNT/nowhere"
}

# check_is CODE WORD FILE ARG…
check_is() {
    local code=$1 word=$2
    shift 2
    stat -c '%s %b %Y %Z %a %u %h' "$1" >"$WORK/before"
    dmloop map --json "$1" >>"$WORK/before"
    dmloop_exits "$code" check "$@" >"$WORK/said"
    grep -qF "$word" "$WORK/said" || fail "expected '$word': $(<"$WORK/said")"
    expect "" "$(dmloop_exits "$code" check --quiet "$@")"
    expect "" "$(list_devices)"
    (stat -c '%s %b %Y %Z %a %u %h' "$1" && dmloop map --json "$1") | cmp - "$WORK/before"
    unclaimed "$1"
}

check_reasons() {
    make_file "$FILE" "$SIZE"
    check_is 0 "would be block-mapped, in one piece" "$FILE"
    check_is 0 "would be block-mapped" "$FILE" -o 4K --sizelimit 8K
    make_fragmented "$FILE" "$SIZE"
    check_is 0 "in $(extent_count "$FILE") pieces" "$FILE"
    make_sparse "$FILE" "$SIZE"
    check_is 3 "1M of 1M is not written" "$FILE"
    check_is 3 "to mend it: dmloop prepare $FILE" "$FILE"
    make_fallocated "$FILE" "$SIZE"
    check_is 3 "(unwritten)" "$FILE"
    make_file "$FILE" $((SIZE + 512))
    check_is 3 "it may do with --sizelimit $SIZE" "$FILE"
    make_file "$FILE" "$SIZE"
    exec {writer}>>"$FILE"
    dmloop_exits 3 check "$FILE" | grep -qF "(in_use)"
    exec {writer}>&-
    mkdir "$WORK/tmpfs"
    mount -t tmpfs tmpfs "$WORK/tmpfs"
    make_sparse "$WORK/tmpfs/file" "$SIZE"
    dmloop_exits 3 check "$WORK/tmpfs/file" | grep -qF "copy it to ext4"
    umount "$WORK/tmpfs"
}

check_attached() {
    two_devices
    dmloop_exits 0 check "$FILE" | grep -qF "is attached as a, block-mapped"
    dmloop_exits 3 check "$FILE.sparse" | grep -qF "is attached as b, file-mapped"
    dmloop detach --all
    chattr +i "$FILE"
    dmloop_exits 0 check "$FILE" | grep -qF "would be block-mapped"
    chattr -i "$FILE"
}

check_errors() {
    dmloop_fails 1 "No such file" check "$MNT/nowhere"
    dmloop_fails 1 "is a folder" check "$MNT"
    dmloop_fails 1 "not a multiple" check "$FILE" -o 1
}

map() {
    make_fragmented "$FILE" "$SIZE"
    dmloop map "$FILE" >"$WORK/said"
    head -n 1 "$WORK/said" | grep -qF "1M in $(extent_count "$FILE") extents"
    expect "$(extent_count "$FILE")" "$(grep -c ' written$' "$WORK/said")"
    # The same places as others see.
    program layout.py show "$FILE" | awk '{ print $1, $2, $3 }' >"$WORK/wanted"
    awk '/ written$/ { print $2, $3, $4 }' "$WORK/said" | cmp - "$WORK/wanted"
    grep -qF "the disk from" "$WORK/said"
    if dmloop map --no-picture "$FILE" | grep -qF "the disk from"; then fail "a picture"; fi
    dmloop map --json "$FILE" | json "len(all['files'][0]['extents']) == $(extent_count "$FILE")"
    dmloop attach "$FILE" x -o 512K --sizelimit 256K
    dmloop map --json x | json 'all["files"][0]["start"] == 524288 and all["files"][0]["end"] == 786432'
    dmloop map --json /dev/mapper/x | json 'sum(e["length"] for e in all["files"][0]["extents"]) == 262144'
    dmloop detach x
    make_sparse "$FILE" "$SIZE"
    pattern write "$FILE" 4096 4096 1
    sync "$FILE"
    expect "hole written hole" "$(dmloop map --no-picture "$FILE" | awk 'NR > 2 { print $NF }' | xargs)"
    # To a reader who soon has enough.
    dmloop map "$FILE" | head -n 1 | grep -qF "$FILE"
}

# A drawing is XML, whatever the file is called.
drawing() {
    make_fragmented "$MNT/<&>" "$SIZE"
    dmloop map "$MNT/<&>" --svg "$WORK/x.svg" >/dev/null
    # (Without the folder of the tests: a file there has the name of one of its modules.)
    python3 -I - "$WORK/x.svg" "$(extent_count "$MNT/<&>")" <<'PYTHON'
import sys, xml.etree.ElementTree as tree
root = tree.parse(sys.argv[1]).getroot()
assert root.tag.endswith("svg")
assert len(root.findall("{http://www.w3.org/2000/svg}polygon")) == int(sys.argv[2])
PYTHON
    rm "$MNT/<&>"*
}

map_errors() {
    dmloop_fails 4 "there is no device and no file nowhere" map nowhere
    dmloop_fails 1 "No such file" map "$MNT/nowhere"
    dmloop_fails 1 "No such file" map "$FILE" --svg "$WORK/nowhere/x.svg"
    dmsetup create x --table "0 8 zero"
    dmloop_fails 4 "none of the target" map /dev/mapper/x
    remove x
}

# What only the target counts, after so much of each: a flush for each, a read of everything.
stat_answer() {
    local extents
    make_fragmented "$FILE" "$SIZE"
    dmloop attach --block-mapped "$FILE" x
    udevadm settle
    dmloop stat x --json >"$WORK/before"
    dd if=/dev/mapper/x of=/dev/null iflag=direct bs="$SIZE" count=1 status=none
    for _ in 1 2 3; do dd if=/dev/zero of=/dev/mapper/x bs=4096 count=1 oflag=direct conv=fsync status=none; done
    udevadm settle
    dmloop stat x --json >"$WORK/after"
    extents=$(dmsetup status x | cut -d' ' -f5)
    [ "$extents" -gt 9 ]
    python3 - "$extents" "$WORK/before" "$WORK/after" <<'PYTHON'
import json, sys
before, after = (json.load(open(path)) for path in sys.argv[2:])
assert after["flushes"] - before["flushes"] == 3, (before, after)
# Once at the end of each extent but the last, and more where the bios were smaller.
assert after["splits"] - before["splits"] >= int(sys.argv[1]) // 2, (before, after)
assert after["errors"] == 0, after
PYTHON
    expect "flushes" "$(dmsetup message x 0 stat | cut -d' ' -f1)"
    dmloop detach x
    # A file that was cut: what is behind its end fails.
    make_sparse "$FILE" "$SIZE"
    dmloop attach "$FILE" x
    truncate -s 4096 "$FILE"
    dmloop stat x --json | json 'all["errors"] == 0 and all["splits"] == 0'
    fails_with "Input/output error" dd if=/dev/mapper/x of=/dev/null iflag=direct bs=4096 skip=8 count=1
    dmloop stat x --json | json 'all["errors"] == 1'
    dmloop stat x | grep -qE '^  errors +1$'
    dmloop detach x
}

stat_counts() {
    local status=0
    make_sparse "$FILE" "$SIZE"
    dmloop attach "$FILE" x
    udevadm settle
    dmloop stat x --json >"$WORK/before"
    dd if=/dev/mapper/x of=/dev/null iflag=direct bs=4096 count=7 status=none
    dd if=/dev/zero of=/dev/mapper/x oflag=direct bs=4096 count=5 status=none
    # It looks at what has been written to.
    udevadm settle
    dmloop stat x --json >"$WORK/after"
    python3 - "$WORK/before" "$WORK/after" <<'PYTHON'
import json, sys
before, after = (json.load(open(path)) for path in sys.argv[1:])
assert after["reads"] - before["reads"] >= 7, (before, after)
assert after["writes"] - before["writes"] == 5, (before, after)
assert after["written-bytes"] - before["written-bytes"] == 5 * 4096, (before, after)
assert after["in-flight"] == 0 and after["in-workers"] == 0, after
PYTHON
    dmloop stat /dev/mapper/x | grep -qE '^  writes +5 +20K'
    expect 3 "$(dmloop stat x --interval 1 --count 2 | wc -l)"
    dmloop_fails 4 "there is no device nowhere" stat nowhere
    dmloop_fails 2 "--interval" stat x --interval 0
    # It ends when the device does.
    dmloop stat x --interval 1 >"$WORK/lines" 2>"$WORK/said" &
    wait_until [ -s "$WORK/lines" ]
    dmloop detach x
    wait $! || status=$?
    expect 4 "$status"
    grep -qF "the device x is gone" "$WORK/said"
}

written_once_more() {
    python3 "$HERE/pattern.py" write --direct /dev/mapper/x 65536 4096 2 && touch "$WORK/written"
}

# grow KIND: a file of that kind, its device, and a writer who does not stop meanwhile.
grow() {
    local writer mapping=file
    rm -f "$WORK/enough" "$WORK/written"
    case $1 in
    sparse) make_sparse "$FILE" "$SIZE" ;;
    written) make_file "$FILE" "$SIZE" && mapping=block ;;
    esac
    dmloop attach "$FILE" x -o 4096
    pattern write --direct /dev/mapper/x 0 65536 1
    until_enough written_once_more &
    writer=$!
    wait_until [ -e "$WORK/written" ]
    dmloop grow x 2M
    dmloop grow x +1M
    touch "$WORK/enough"
    wait "$writer"
    expect $((3 * SIZE)) "$(blockdev --getsize64 /dev/mapper/x)"
    expect $((3 * SIZE + 4096)) "$(stat -c %s "$FILE")"
    expect "0 $((3 * SIZE / 512)) loop $FILE 4096" "$(dmsetup table x)"
    expect "$mapping" "$(dmsetup status x | cut -d' ' -f4)"
    pattern verify --direct /dev/mapper/x 0 65536 1
    pattern verify --direct /dev/mapper/x 65536 4096 2
    pattern write --direct /dev/mapper/x $((3 * SIZE - 4096)) 4096 3
    dmloop grow x 3M | grep -qF already
    # Not by whole blocks of the file system; nor of the disk's, for a block-mapped one.
    dmloop grow x $((3 * SIZE + 512))
    expect $((3 * SIZE + 512)) "$(blockdev --getsize64 /dev/mapper/x)"
    expect "$mapping" "$(dmsetup status x | cut -d' ' -f4)"
    dmloop_fails 1 "grow makes nothing smaller" grow x 1M
    # A sparse one needs no room.
    [ "$mapping" = file ] || dmloop_fails 1 "make room on the file system" grow x 1T
    expect $((3 * SIZE + 512)) "$(blockdev --getsize64 /dev/mapper/x)"
    dmloop_fails 2 "not a multiple of 512" grow x 4000000
    dmloop_fails 2 "a size is a number" grow x +
    dmloop_fails 4 "there is no device" grow nowhere 1M
    dmsetup suspend x
    dmloop_fails 5 "dmsetup resume x first" grow x 4M
    dmsetup resume x
    dmloop detach x
    # The file holds what was written beyond its old end.
    tail -c +$((3 * SIZE + 1)) "$FILE" >"$WORK/tail"
    pattern verify "$WORK/tail" 0 4096 3 $((3 * SIZE - 4096))
}

# grow_interrupted KIND: it is as large as it was, or as it should be, and goes on working.
grow_interrupted() {
    local n size worker
    case $1 in
    sparse) make_sparse "$FILE" "$SIZE" ;;
    written) make_file "$FILE" "$SIZE" ;;
    esac
    dmloop attach "$FILE" x
    for n in {1..12}; do
        "$DMLOOP" grow x +1M >/dev/null 2>&1 &
        worker=$!
        sleep "0.$(printf %02d $((n * 4)))"
        kill -INT "$worker" 2>/dev/null || true
        wait "$worker" 2>/dev/null || true
        size=$(blockdev --getsize64 /dev/mapper/x)
        expect Active "$(dmsetup info -c --noheadings -o suspended x)" "state after $n"
        expect "Live" "$(dmsetup info -c --noheadings -o tables_loaded x)" "tables after $n"
        pattern write --direct /dev/mapper/x $((size - 4096)) 4096 "$n"
        pattern verify --direct /dev/mapper/x $((size - 4096)) 4096 "$n"
    done
    [ "$size" -gt "$SIZE" ]
    dmloop detach x
}

grow_refused() {
    local folder=$WORK/other file=$WORK/other/file
    # Its disk does not write zeroes by itself.
    fs_make xfs "$(disk 1)" "$folder"
    make_file "$file" "$SIZE"
    dmloop attach --block-mapped "$file" x
    dmloop_fails 1 "dmloop detach x, then dmloop prepare --size $((2 * SIZE)) $file" grow x 2M
    expect "$SIZE" "$(stat -c %s "$file")"
    dmloop detach x
    # What the message says.
    dmloop prepare --quiet --size $((2 * SIZE)) "$file"
    dmloop attach --block-mapped "$file" x
    expect $((2 * SIZE)) "$(blockdev --getsize64 /dev/mapper/x)"
    pattern verify --direct /dev/mapper/x 0 "$SIZE" 1
    dmloop detach x
    unmount "$folder"
    make_file "$FILE" "$SIZE"
    dmloop attach -r --block-mapped "$FILE" x
    dmloop_fails 1 "x is block-mapped and read-only: dmloop detach x" grow x 2M
    dmloop detach x
    make_sparse "$FILE" "$SIZE"
    dmloop attach -r "$FILE" x
    dmloop_fails 1 "the device is read-only" grow x 2M
    dmloop detach x
    dmsetup create x <<<"0 8 loop $FILE 0"$'\n'"8 16 loop $FILE 8192"
    dmloop_fails 1 "made of several parts" grow x 2M
    dmloop detach x
}

report() {
    local name
    mkdir "$MNT/secret folder"
    make_file "$MNT/secret folder/private.img" "$SIZE"
    dmloop attach "$MNT/secret folder/private.img" confidential
    dmloop attach "$FILE" other
    cd "$WORK"
    dmloop report | grep -qF "dmloop-report.tar.gz contains:"
    expect 600 "$(stat -c %a dmloop-report.tar.gz)"
    tar -xzf dmloop-report.tar.gz
    for name in README versions config log device-confidential/{table,queue,file-0,layout-0} device-other/table; do
        [ -s "dmloop-report/$name" ] || fail "$name is missing or empty"
    done
    grep -qF "private.img" dmloop-report/device-confidential/table
    grep -qE '^target loop [0-9.]+$' dmloop-report/versions
    grep -qF "type ext4" dmloop-report/device-confidential/file-0
    rm -r dmloop-report
    dmloop report confidential --redact -o hidden.tar >said
    tar -xf hidden.tar
    expect 1 "$(find dmloop-report/device-device-* -name table -size +0 | wc -l)"
    [ ! -e dmloop-report/device-other ]
    for name in secret private confidential "$(hostname)" "${WORK##*/}"; do
        ! grep -rnwF -- "$name" dmloop-report said || fail "$name is there"
    done
    dmloop_fails 2 "the archive is a .tar" report -o x.zip
    dmloop_fails 4 "there is no device nowhere" report nowhere -o x.tar
    dmloop_fails 1 "No such file" report -o "$WORK/nowhere/x.tar"
    [ ! -e x.tar ]
    cd /
    dmloop detach --all
}

fs_make ext4
plan 17
check "list" list
check "list: devices of several parts, and others" list_many_targets
check "list: errors" list_errors
check "check: reasons" check_reasons
check "check: files that are attached or cannot be written" check_attached
check "check: errors" check_errors
check "map" map
check "map: a drawing" drawing
check "map: errors" map_errors
check "stat" stat_counts
check "stat: what only the target counts" stat_answer
check "grow: file-mapped" grow sparse
check "grow: block-mapped" grow written
check "grow: file-mapped, interrupted" grow_interrupted sparse
check "grow: block-mapped, interrupted" grow_interrupted written
check "grow: what cannot be grown" grow_refused
check "report" report
fs_end
