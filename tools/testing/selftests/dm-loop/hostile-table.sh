#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 8G --disk 2G,logical_block_size=4096 --cpus 1 --mem 1G
#
# Generated table lines: each makes the device that it describes, or is refused with the
# right errno and message; and nothing is left of it. A model says which (table_model.py).
. ./lib.sh
. ./lib-lock.sh

SEED=${SEED:-$(date +%s)}
COUNT=30
[ -z "${LONG:-}" ] || COUNT=1010
KINDS=(valid mutated noise numbers features raw)
FOLDER=$MNT/files
SIZE=262144

make_files() {
    local name
    mkdir -p "$FOLDER/folder"
    for name in plain "with space" "with#hash" "back\\slash" "back\\\\slash \\040 #"; do
        make_file "$FOLDER/$name" "$SIZE"
    done
    make_fragmented "$FOLDER/scattered" "$SIZE"
    make_sparse "$FOLDER/sparse" "$SIZE"
    make_fallocated "$FOLDER/unwritten" "$SIZE"
    make_file "$FOLDER/tiny" 600
    make_file "$FOLDER/tail" 10000
    make_file "$FOLDER/empty" 0
    mkfifo "$FOLDER/fifo"
    ln -s plain "$FOLDER/link"
    ln -s cycle "$FOLDER/cycle"
}

# lines KIND
lines() {
    local said
    said=$(python3 "$HERE/hostile_table.py" hostile "$SEED" "$COUNT" "$1" "$FOLDER") || fail "$said"
    echo "# $1: $said" >>"$WORK/counts"
}

nothing_left() {
    local file
    remove hostile
    expect 0 "$(cat /sys/module/dm_loop/refcnt)" "references to the module"
    for file in "$FOLDER"/*; do
        [ ! -f "$file" ] || [ -L "$file" ] || unclaimed "$file"
    done
    rm -r "$FOLDER"
    fs_end
}

fs_make ext4
make_files
# What it says when it is loaded is not about a table.
modprobe dm-loop
dmsetup create hostile --notable
cd "$FOLDER"
plan $((${#KINDS[@]} + 1))
echo "# seed $SEED"
for kind in "${KINDS[@]}"; do
    check "lines of kind $kind" lines "$kind"
done
cat "$WORK/counts"
cd /
check "nothing is left" nothing_left
