#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Discard and write zeroes reach the disk as what they are, clear the range they name, and
# change nothing around it: in the file, in another file between its pieces, in the file
# system.
#
# vm: --disk 8G --disk 2G,logical_block_size=4096 --cpus 1 --mem 1G
. ./lib.sh

# shellcheck source=lib-trace.sh
. ./lib-trace.sh

plan $((${#FILE_SYSTEMS[@]} * 3 + 1))
DISK=$(disk 0)
FILE=$MNT/file
# Of the device and, as it begins at 512, not of any block of the file.
START=32256
LENGTH=$((128 * 1024 + 1536))

# clear_range LETTERS OPTION…: blkdiscard with OPTIONs must reach the disk in bios
# whose kind begins with LETTERS, which cover the range exactly.
clear_range() {
    local letters=$1 size status=0
    shift
    size=$(stat -c %s "$FILE")
    pattern write "$FILE" 0 "$size" 1
    loop_create t0 "$FILE" 512 "$(mappable_sectors "$FILE" 512)" block_mapped
    # Nothing that the file system writes by itself is to be among it. (vfat cannot be
    # frozen, and does nothing by itself.)
    [ "$FS_KIND" = vfat ] || fsfreeze -f "$MNT"
    traced "$DISK" blkdiscard "$@" -o "$START" -l "$LENGTH" /dev/mapper/t0 >"$WORK/trace" || status=$?
    [ "$FS_KIND" = vfat ] || fsfreeze -u "$MNT"
    [ "$status" = 0 ]
    awk -v letters="$letters" 'index($1, letters) == 1 { print $2, $3 }' "$WORK/trace" |
        sectors >"$WORK/went"
    program layout.py show "$FILE" |
        awk -v from=$((START + 512)) -v to=$((START + 512 + LENGTH)) '{
            low = $1 > from ? $1 : from
            high = $1 + $3 < to ? $1 + $3 : to
            if (low < high) print ($2 + low - $1) / 512, (high - low) / 512
        }' | sectors >"$WORK/wanted"
    [ -s "$WORK/wanted" ] || fail "the range lies nowhere"
    diff "$WORK/wanted" "$WORK/went" >"$WORK/diff" ||
        fail "wanted and went differ: $(head -n 3 "$WORK/diff"); trace: $(head -n 3 "$WORK/trace")"
    pattern zeros --direct /dev/mapper/t0 "$START" "$LENGTH" -- \
        verify --direct /dev/mapper/t0 0 "$START" 1 512
    remove t0
    pattern verify "$FILE" 0 $((START + 512)) 1 -- \
        zeros "$FILE" $((START + 512)) "$LENGTH" -- \
        verify "$FILE" $((START + 512 + LENGTH)) $((size - START - 512 - LENGTH)) 1 -- \
        verify "$FILE.other" 0 "$size" 1
}

# sectors: "first count" lines to one line a sector, each once.
sectors() { awk '{ for (i = 0; i < $2; i++) print $1 + i }' | sort -nu; }

# The whole of the device, and I/O on it after that.
whole() {
    local size sectors
    size=$(stat -c %s "$FILE")
    sectors=$(mappable_sectors "$FILE" 512)
    loop_create t0 "$FILE" 512 "$sectors" block_mapped
    blkdiscard /dev/mapper/t0
    pattern zeros --direct /dev/mapper/t0 0 $((sectors * 512)) -- \
        write --direct /dev/mapper/t0 0 65536 5 512
    remove t0
    pattern verify "$FILE" 0 512 1 -- verify "$FILE" 512 65536 5 -- \
        verify "$FILE.other" 0 "$size" 1
}

no_discard() {
    loop_create t0 "$FILE" 0 8 block_mapped no_discard
    expect 0 "$(queue /dev/mapper/t0 discard_max_bytes)" "discard limit"
    fails_with "Operation not supported" blkdiscard /dev/mapper/t0
    # Zeroes are another matter.
    blkdiscard -z -l 4096 /dev/mapper/t0
    pattern zeros --direct /dev/mapper/t0 0 4096
    remove t0
}

for fs in "${FILE_SYSTEMS[@]}"; do
    fs_make "$fs"
    make_fragmented "$FILE" $((256 * $(stat -f -c %S "$MNT") + 512))
    check "$fs: discard" clear_range D
    check "$fs: write zeroes" clear_range W -z
    check "$fs: discard of everything" whole
    [ "$fs" != ext4 ] || check "without discard, if the table says so" no_discard
    fs_end
done
