#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# fio writes blocks with checksums and reads them back: in order, at random, of many sizes,
# from several processes, on files in one piece and in thousands.
#
# vm: --disk 8G --disk 2G,logical_block_size=4096 --cpus 2 --mem 1G
. ./lib.sh

KINDS=(ext4 ext4-1k xfs btrfs)
plan $((${#KINDS[@]} * 4 + 2))
FILE=$MNT/file
JOBS=4
# Bytes for each job, of the device's JOBS * PART.
PART=$((2 << 20))

# fio_verify OPTION…: on t0, never on a file of that name.
fio_verify() {
    is_block t0
    fio --name=verify --filename=/dev/mapper/t0 --allow_file_create=0 --direct=1 \
        --numjobs="$JOBS" --size="$PART" --offset_increment="$PART" \
        --verify=crc32c --verify_fatal=1 --do_verify=1 --end_fsync=1 \
        --output-format=json --output="$WORK/fio" "$@"
    # Without errors, and with something read: every byte was verified.
    python3 - "$WORK/fio" $((JOBS * PART)) <<'PYTHON'
import json, sys
with open(sys.argv[1]) as file:
    text = file.read()
jobs = json.loads(text[text.index("{"):])["jobs"]
read = sum(job["read"]["io_bytes"] for job in jobs)
if any(job["error"] for job in jobs) or read < int(sys.argv[2]):
    sys.exit(f"errors {[job['error'] for job in jobs]}, {read} bytes verified of {sys.argv[2]}")
PYTHON
}

fs_make ext4
make_file "$FILE" $((JOBS * PART))
expect 1 "$(extent_count "$FILE")" "pieces"
loop_create t0 "$FILE" 0 - block_mapped
check "ext4, in one piece: at random, 4 KiB, 16 at a time" \
    fio_verify --rw=randwrite --bs=4k --ioengine=io_uring --iodepth=16
check "ext4, in one piece: at random, 512 bytes to 128 KiB, 8 at a time" \
    fio_verify --rw=randwrite --bsrange=512-128k --blockalign=512 --ioengine=libaio --iodepth=8
remove t0
fs_end
for fs in "${KINDS[@]}"; do
    fs_make "$fs"
    make_fragmented "$FILE" $((JOBS * PART))
    loop_create t0 "$FILE" 0 - block_mapped
    check "$fs: in order, 64 KiB" fio_verify --rw=write --bs=64k --ioengine=psync
    check "$fs: at random, 4 KiB, 16 at a time" \
        fio_verify --rw=randwrite --bs=4k --ioengine=io_uring --iodepth=16
    check "$fs: at random, 512 bytes to 128 KiB, 8 at a time" \
        fio_verify --rw=randwrite --bsrange=512-128k --blockalign=512 --ioengine=libaio --iodepth=8
    check "$fs: at random through the page cache of the device" \
        fio_verify --rw=randwrite --bs=4k --direct=0 --ioengine=psync --fsync=64
    remove t0
    fs_end
done
