#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 8G --disk 2G,logical_block_size=4096 --cpus 1 --mem 1G
# trust
#
# A disk that fails below the host file system, in the sectors of the backing file: what fails
# is an I/O error at the right place of the device, nothing is ever wrong data, and the device
# works again when the disk does.
. ./lib.sh
. ./lib-lock.sh

KINDS=(ext4) SECONDS_EACH=4
[ -z "${LONG:-}" ] || { KINDS=(ext4 xfs btrfs f2fs) && SECONDS_EACH=60; }
MAPPINGS=(block direct buffered)
SIZE=$((1 << 20)) BAD=20
FILE=$MNT/file
DISK=$(disk 0)
DISK_SECTORS=$((2 << 20))
HOST=/dev/mapper/host
LINEAR="0 $DISK_SECTORS linear $DISK 0"
SEED=${SEED:-$(date +%s)}

segments() { program segments.py "$@"; }
observe() { program observe.py "$@"; }

# become TABLE: the disk is another one from now on.
become() {
    retable host "$1"
    echo 3 >/proc/sys/vm/drop_caches
}

# begin MAPPING SEED: a device t0 on a new file, in pieces, on a sound disk.
begin() {
    local feature=$1_io
    [ "$1" != block ] || feature=block_mapped
    make_fragmented "$FILE" "$SIZE" "$2"
    loop_create t0 "$FILE" 0 - "$feature"
    STEP=$(queue /dev/mapper/t0 logical_block_size)
    # Random sectors, and the first and the last.
    python3 -c 'import random, sys
seed, count, bad = map(int, sys.argv[1:])
print(*sorted({0, count - 1, *random.Random(seed).sample(range(count), bad)}))' \
        "$SEED" $((SIZE / 512)) "$BAD" >"$WORK/bad"
}

end() {
    remove t0
    unclaimed "$FILE"
    rm "$FILE" "$FILE.other"
}

# spoil TARGET: the bad sectors of the file are such targets; or all of it, with "all".
spoil() {
    local places
    read -ra places <<<"${2:-$(<"$WORK/bad")}"
    become "$(segments table "$DISK" "$DISK_SECTORS" "$FILE" "$1" "${places[@]}")"
}
repair() { become "$LINEAR"; }

# as_should_be MODE BAD-LINES GOOD-LINES GOT: line by line, the first for blocks with bad
# sectors, the second for others. Loosely, other blocks may fail as well.
as_should_be() {
    python3 -S - "$STEP" "$WORK/bad" "$@" <<'PYTHON'
import sys
step, bad, mode = int(sys.argv[1]), open(sys.argv[2]).read().split(), sys.argv[3]
bad = {int(sector) * 512 // step * step for sector in bad}
lines = [[line.split(maxsplit=1) for line in open(path)] for path in sys.argv[4:]]
assert len(lines[2]) == len(lines[1]) > 100
failed = 0
for (place, if_bad), (_, if_good), (_, got) in zip(*lines):
    wanted = if_bad if int(place) in bad else if_good
    failed += got == "EIO\n" and wanted != got
    if got != wanted and not (mode == "loosely" and (got == "EIO\n" or got in (if_bad, if_good) and if_bad != "EIO\n")):
        sys.exit(f"byte {place}: expected {wanted}, got {got}")
print(f"{len(bad)} of {len(lines[2])} blocks are bad, {failed} failed with them")
PYTHON
}

# all_fail LINES: the same places, with errors.
all_fail() { sed 's/ .*/ EIO/' "$1"; }

strictly() { if [ "$1" = buffered ]; then echo loosely; else echo strictly; fi; }

bad_reads() {
    begin "$1" 1
    observe read /dev/mapper/t0 "$STEP" >"$WORK/before"
    all_fail "$WORK/before" >"$WORK/failing"
    if grep EIO "$WORK/before"; then fail "that was before anything was bad"; fi
    spoil "flakey {disk} {sector} 0 1 1 error_reads"
    observe read /dev/mapper/t0 "$STEP" >"$WORK/during"
    as_should_be "$(strictly "$1")" "$WORK/failing" "$WORK/before" "$WORK/during"
    repair
    observe read /dev/mapper/t0 "$STEP" | diff "$WORK/before" -
    end
}

# The same by a disk that knows its bad sectors, until they are written to.
dust() {
    local sector
    modprobe dm-dust 2>/dev/null || [ -d /sys/module/dm_dust ] || skip_this "this kernel has no dm-dust"
    become "0 $DISK_SECTORS dust $DISK 0 512"
    begin "$1" 1
    observe read /dev/mapper/t0 "$STEP" >"$WORK/before"
    all_fail "$WORK/before" >"$WORK/failing"
    dmsetup message host 0 quiet
    # shellcheck disable=SC2046 # numbers
    for sector in $(segments places "$FILE" $(<"$WORK/bad")); do
        dmsetup message host 0 addbadblock "$sector"
    done
    dmsetup message host 0 enable
    echo 3 >/proc/sys/vm/drop_caches
    observe read /dev/mapper/t0 "$STEP" >"$WORK/during"
    as_should_be "$(strictly "$1")" "$WORK/failing" "$WORK/before" "$WORK/during"
    # Whole blocks, as less would have to be read first.
    pattern write --direct /dev/mapper/t0 0 "$SIZE" 2
    echo 3 >/proc/sys/vm/drop_caches
    pattern verify --direct /dev/mapper/t0 0 "$SIZE" 2
    expect "0 bad" "$(dmsetup message host 0 countbadblocks | grep -oE '[0-9]+ bad')"
    become "$LINEAR"
    end
}

bad_writes() {
    begin "$1" 1
    pattern write "$WORK/new" 0 "$SIZE" 2
    observe read /dev/mapper/t0 "$STEP" >"$WORK/old.lines"
    observe read "$WORK/new" "$STEP" >"$WORK/new.lines"
    spoil "flakey {disk} {sector} 0 1 1 error_writes"
    if [ "$1" = buffered ]; then
        # The page cache takes everything; bringing it to the disk is what fails.
        fails_with "Input/output error" dd if="$WORK/new" of=/dev/mapper/t0 bs=64k oflag=direct conv=notrunc,fsync status=none
    else
        observe write /dev/mapper/t0 "$STEP" 2 >"$WORK/during"
        sed "s/ .*/ $STEP/" "$WORK/old.lines" >"$WORK/done"
        all_fail "$WORK/old.lines" >"$WORK/failing"
        as_should_be strictly "$WORK/failing" "$WORK/done" "$WORK/during"
    fi
    repair
    observe read /dev/mapper/t0 "$STEP" >"$WORK/after"
    as_should_be "$(strictly "$1")" "$WORK/old.lines" "$WORK/new.lines" "$WORK/after"
    if grep EIO "$WORK/after"; then fail "on a sound disk"; fi
    pattern write --direct /dev/mapper/t0 0 "$SIZE" 3
    echo 3 >/proc/sys/vm/drop_caches
    pattern verify --direct /dev/mapper/t0 0 "$SIZE" 3
    end
    rm "$WORK/new"
}

gone() {
    begin "$1" 1
    observe read /dev/mapper/t0 65536 >"$WORK/before"
    spoil error all
    observe read /dev/mapper/t0 65536 | diff <(all_fail "$WORK/before") -
    [ "$1" = buffered ] || observe write /dev/mapper/t0 65536 2 | diff <(all_fail "$WORK/before") -
    repair
    observe read /dev/mapper/t0 65536 | diff "$WORK/before" -
    end
}

# load MAPPING: whatever fails meanwhile.
load() {
    local flush=()
    [ "$1" != buffered ] || flush=(--flush)
    program faulty.py load /dev/mapper/t0 "$WORK/state" "$SEED" "$SECONDS_EACH" "$SIZE" "${flush[@]}"
}
right() { program faulty.py verify "$1" "$WORK/state"; }

# Now the disk is there, now it is not.
now_and_then() {
    begin "$1" 0
    spoil "flakey {disk} {sector} 1 1" all
    load "$1" >"$WORK/tally" || fail "$(<"$WORK/tally")"
    repair
    right /dev/mapper/t0
    remove t0
    echo 3 >/proc/sys/vm/drop_caches
    right "$FILE"
    loop_create t0 "$FILE" 0
    tally "$1, disk there and not there" <"$WORK/tally"
    end
}

# Some I/O fails, anywhere below the device, before any driver sees it.
at_random() {
    local fault=/sys/kernel/debug/fail_make_request
    [ -d "$fault" ] || skip_this "this kernel has no fail_make_request"
    dmsetup create part --table "$LINEAR"
    begin "$1" 0
    spoil "linear /dev/mapper/part {sector}" all
    echo 10 >"$fault/probability"
    echo -1 >"$fault/times"
    echo 0 >"$fault/verbose"
    echo 1 >"/sys/block/$(kernel_name /dev/mapper/part)/make-it-fail"
    load "$1" >"$WORK/tally" || fail "$(<"$WORK/tally")"
    echo 0 >"/sys/block/$(kernel_name /dev/mapper/part)/make-it-fail"
    right /dev/mapper/t0
    repair
    remove part
    tally "$1, a tenth fails" <"$WORK/tally"
    end
}
tally() { sed "s|^|# $KIND, $1: |" >>"$WORK/tallies"; }

mountpoint -q /sys/kernel/debug || mount -t debugfs debugfs /sys/kernel/debug
plan $((${#KINDS[@]} * (1 + 6 * ${#MAPPINGS[@]})))
echo "# seed $SEED"
for KIND in "${KINDS[@]}"; do
    dmsetup create host --table "$LINEAR"
    fs_make "$KIND" "$HOST"
    for mapping in "${MAPPINGS[@]}"; do
        check "$KIND, $mapping: sectors that cannot be read" bad_reads "$mapping"
        check "$KIND, $mapping: sectors that cannot be read until written" dust "$mapping"
        check "$KIND, $mapping: sectors that cannot be written" bad_writes "$mapping"
        check "$KIND, $mapping: nothing can be read or written" gone "$mapping"
        check "$KIND, $mapping: disk there and not there, under load" now_and_then "$mapping"
        check "$KIND, $mapping: a tenth of all I/O fails, under load" at_random "$mapping"
        # What failed may have left it so.
        become "$LINEAR"
        rm -f "$MNT"/file*
    done
    check "$KIND: the host file system is sound" fs_end
    remove host
done
[ ! -e "$WORK/tallies" ] || cat "$WORK/tallies"
