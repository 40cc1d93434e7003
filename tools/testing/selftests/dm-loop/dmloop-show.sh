#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 8G --disk 2G,logical_block_size=4096 --cpus 1 --mem 1G --tools
#
# What dmloop shows: list, check, map, stat.
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

# Whoever made it was killed before it became active.
list_unfinished() {
    make_file "$FILE" "$SIZE"
    dmsetup create x --notable
    dmsetup load x --table "0 $((SIZE / 512)) loop $FILE 0"
    claimed "$FILE"
    expect "/dev/mapper/x 1M 0 0 unfinished - - $FILE" "$(dmloop list -n | xargs)"
    expect "/dev/mapper/x" "$(dmloop list -n -o NAME -j "$FILE" x)"
    dmloop list --json | json 'all["loopdevices"][0]["mapping"] == "unfinished"'
    dmloop_fails 4 "x has no table yet" stat x
    dmloop_fails 4 "x has no table yet" grow x 2M
    dmloop_fails 5 "is in use by x (which was never finished)" attach "$FILE"
    dmloop_fails 5 "as x, which was never finished" attach -L "$FILE"
    dmloop_fails 5 "is attached as x: detach it first" prepare "$FILE"
    dmsetup create dmloop-check-99999999 --notable
    dmsetup create theirs --notable
    dmsetup create dmloop-check-$$ --notable
    dmloop detach --all
    expect "dmloop-check-$$ theirs" "$(list_devices | sort | xargs)"
    unclaimed "$FILE"
    dmloop detach theirs dmloop-check-$$
}

# check_killed: a device may be left, but none that cannot be seen and removed.
check_killed() {
    local n worker left=0
    make_fragmented "$FILE" $((8 << 20))
    for n in {1..10}; do
        "$DMLOOP" check "$FILE" >/dev/null 2>&1 &
        worker=$!
        until compgen -G "/sys/block/dm-*" >/dev/null || [ ! -e "/proc/$worker/status" ]; do :; done
        kill -KILL "$worker" 2>/dev/null || true
        wait "$worker" 2>/dev/null || true
        [ -z "$(list_devices)" ] || left=$((left + 1))
        dmloop detach --all
        expect "" "$(list_devices)" "devices after $n"
        unclaimed "$FILE"
    done
    [ "$left" != 0 ] || fail "none was left behind"
    dmloop check --quiet "$FILE"
    ipcs -s | awk '$1 ~ /^0x0d4d/ { print $2 }' | xargs -r -n 1 ipcrm -s
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
    # Also beside JSON, in the place of what was there, and to what is no file.
    dmloop map "$MNT/<&>" --json --svg "$WORK/y.svg" | json 'len(all["files"]) == 1'
    cmp "$WORK/x.svg" "$WORK/y.svg"
    dmloop map "$MNT/<&>" --svg "$WORK/y.svg" >/dev/null
    cmp "$WORK/x.svg" "$WORK/y.svg"
    expect 2 "$(find "$WORK" -maxdepth 1 -name '*.svg*' | wc -l)"
    dmloop map "$MNT/<&>" --json --svg /dev/stdout | grep -qF '</svg>'
    rm "$MNT/<&>"*
}

map_errors() {
    dmloop_fails 4 "there is no device and no file nowhere" map nowhere
    dmloop_fails 1 "No such file" map "$MNT/nowhere"
    dmloop_fails 1 "No such file" map "$FILE" --svg "$WORK/nowhere/x.svg"
    ln "$FILE" "$FILE.link"
    sha256sum "$FILE" >"$WORK/sums"
    dmloop_fails 2 "is the file that is to be drawn" map "$FILE" --svg "$FILE"
    dmloop_fails 2 "is the file that is to be drawn" map "$FILE" --svg "$FILE.link"
    sha256sum --quiet -c "$WORK/sums"
    rm "$FILE.link"
    dmsetup create x --table "0 8 zero"
    dmloop_fails 4 "none of the target" map /dev/mapper/x
    remove x
    dmsetup create x <<<"0 8 loop $FILE 0"$'\n'"8 8 loop $FILE 8192"
    dmloop map --json x | json '[part["start"] for part in all["files"]] == [0, 8192]'
    dmloop_fails 2 "the device is made of several parts" map x --svg "$WORK/z.svg"
    [ ! -e "$WORK/z.svg" ]
    dmloop detach x
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

# names_file FILE: the kernel says of the device on it which file that is, as stat(1) does.
names_file() {
    dmloop attach "$1" x
    expect "$(stat -c 'major %Hd minor %Ld inode %i' -- "$1")" \
        "$(dmsetup message x 0 stat | cut -d' ' -f7-)" "numbers of $1"
    expect /dev/mapper/x "$(dmloop list -n -o NAME -j "$1")"
    dmloop detach x
}

# Some file systems choose a number of their own, btrfs one for each subvolume.
stat_names_file() {
    local folder=$WORK/other kind
    make_file "$FILE" "$SIZE"
    names_file "$FILE"
    fs_make btrfs-cow "$(disk 1)" "$folder"
    btrfs subvolume create "$folder/sub" >/dev/null
    make_file "$folder/sub/file" "$SIZE"
    names_file "$folder/sub/file"
    mkdir "$folder/upper" "$folder/work" "$WORK/merged"
    mount -t overlay -o "lowerdir=$folder/sub,upperdir=$folder/upper,workdir=$folder/work" overlay "$WORK/merged"
    names_file "$WORK/merged/file"
    umount "$WORK/merged"
    unmount "$folder"
    for kind in xfs vfat; do
        fs_make "$kind" "$(disk 1)" "$folder"
        make_file "$folder/file" "$SIZE"
        names_file "$folder/file"
        unmount "$folder"
    done
    mount -t tmpfs tmpfs "$WORK/merged"
    make_sparse "$WORK/merged/file" "$SIZE"
    names_file "$WORK/merged/file"
    umount "$WORK/merged"
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

# A read that waits for the disk, and what came of it in the meantime.
stat_in_flight() {
    local folder=$WORK/slow sectors reader
    sectors=$(blockdev --getsz "$(disk 1)")
    dmsetup create slow --table "0 $sectors linear $(disk 1) 0"
    fs_make ext4 /dev/mapper/slow "$folder"
    make_sparse "$folder/file" "$SIZE"
    pattern write "$folder/file" 0 65536 1
    sync
    dmloop attach --direct-io on "$folder/file" x
    udevadm settle
    retable slow "0 $sectors delay $(disk 1) 0 5000"
    dd if=/dev/mapper/x of=/dev/null iflag=direct bs=4096 count=1 status=none &
    reader=$!
    wait_until in_flight 1
    dmloop stat x | grep -qE '^  in flight +1$'
    wait "$reader"
    in_flight 0
    dmloop detach x
    retable slow "0 $sectors linear $(disk 1) 0"
    unmount "$folder"
    remove slow
}
in_flight() { expect "$1 $1" "$(dmloop stat x --json | python3 -c 'import json, sys
all = json.load(sys.stdin)
print(all["in-flight"], all["in-workers"])')" "in flight"; }

# A line of --interval has what came since the one before.
stat_interval() {
    make_sparse "$FILE" "$SIZE"
    dmloop attach "$FILE" x
    udevadm settle
    "$DMLOOP" stat x --interval 1 >"$WORK/steps" &
    wait_until [ -s "$WORK/steps" ]
    dd if=/dev/zero of=/dev/mapper/x oflag=direct bs=4096 count=9 status=none
    sleep 3
    kill $!
    wait $! || true
    dmloop detach x
    # Writes are the third column, below a line of headings.
    expect "9" "$(awk 'NR == 1 && $3 != "writes/s" { exit 1 } NR > 1 { sum += $3 } END { print sum }' "$WORK/steps")"
    [ "$(wc -l <"$WORK/steps")" -gt 2 ]
}

fs_make ext4
plan 16
check "list" list
check "list: devices of several parts, and others" list_many_targets
check "list: a device whose maker was killed" list_unfinished
check "check: killed" check_killed
check "list: errors" list_errors
check "check: reasons" check_reasons
check "check: files that are attached or cannot be written" check_attached
check "check: errors" check_errors
check "map" map
check "map: a drawing" drawing
check "map: errors" map_errors
check "stat" stat_counts
check "stat: what only the target counts" stat_answer
check "stat: which file it is" stat_names_file
check "stat: in flight" stat_in_flight
check "stat: at intervals" stat_interval
fs_end
