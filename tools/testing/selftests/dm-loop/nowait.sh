#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 8G --cpus 1 --mem 1G
#
# I/O that must not wait (RWF_NOWAIT, REQ_NOWAIT): done, or refused with EAGAIN; never an
# error, never less than what was asked for.
. ./lib.sh
. ./lib-file.sh

SIZE=$((4 << 20))
FILE=''

# at_once DEVICE SEED: each 4 KiB of it, with RWF_NOWAIT: read, written with SEED, read.
# Prints how many were done and how many were to be tried again.
at_once() {
    python3 -S - "$1" "$2" "$HERE" <<'PYTHON'
import mmap, os, sys
sys.path.insert(0, sys.argv[3])
import pattern
device, seed = sys.argv[1], int(sys.argv[2])
fd = os.open(device, os.O_RDWR | os.O_DIRECT)
size = os.lseek(fd, 0, os.SEEK_END)
buffer = mmap.mmap(-1, 4096)
tally = {"done": 0, "again": 0}

def attempt(function, place):
    try:
        done = function(fd, [buffer], place, os.RWF_NOWAIT)
    except BlockingIOError:
        tally["again"] += 1
        return False
    if done != 4096:
        sys.exit(f"{done} bytes at {place}")
    tally["done"] += 1
    return True

for place in range(0, size, 4096):
    if attempt(os.preadv, place) and buffer[:] != pattern.pattern(1, place, 4096):
        sys.exit(f"wrong data at {place}")
    buffer[:] = pattern.pattern(seed, place, 4096)
    if not attempt(os.pwritev, place):
        os.pwritev(fd, [buffer], place)
    if attempt(os.preadv, place) and buffer[:] != pattern.pattern(seed, place, 4096):
        sys.exit(f"wrong data at {place} after it was written")
os.fsync(fd)
print(tally["done"], tally["again"])
PYTHON
}

# all_at_once FEATURE: nothing has to wait but for the disk; and workers, who may, do what is
# file-mapped. So all is done.
all_at_once() {
    local tally
    make_fragmented "$FILE" "$SIZE"
    loop_create t0 "$FILE" 0 - "$1"
    udevadm settle
    tally=$(at_once /dev/mapper/t0 2)
    echo "tally: $tally"
    expect "$((3 * SIZE / 4096)) 0" "$tally" "done, and to be tried again"
    remove t0
    pattern verify "$FILE" 0 "$SIZE" 2
}

# nowait=1 of fio: io_uring asks for it with each I/O, and by itself otherwise.
through_io_uring() {
    make_file "$FILE" "$SIZE"
    loop_create t0 "$FILE" 0 - "$@"
    for nowait in 0 1; do
        # Whoever closes a device after writing to it has udev look at it again. Where a page
        # of it is cached, the block layer refuses to write past that without waiting.
        udevadm settle
        fio --name=nowait --filename=/dev/mapper/t0 --allow_file_create=0 --direct=1 --ioengine=io_uring \
            --nowait="$nowait" --iodepth=16 --rw=randwrite --bs=4k --size="$SIZE" --verify=crc32c --verify_fatal=1 \
            --minimal >"$WORK/fio"
    done
    remove t0
}

fs_make ext4
FILE=$MNT/file
plan 6
check "block-mapped" all_at_once block_mapped
check "file-mapped, direct" all_at_once direct_io
check "file-mapped, buffered" all_at_once buffered_io
check "io_uring, block-mapped" through_io_uring block_mapped
check "io_uring, direct" through_io_uring file_mapped direct_io
check "io_uring, buffered" through_io_uring file_mapped buffered_io
fs_end
