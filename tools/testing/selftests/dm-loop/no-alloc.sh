#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 8G --disk 2G,logical_block_size=4096 --cpus 1 --mem 1G
# trust
#
# Block-mapped I/O needs no memory of this module: with every allocation below its code
# failing, none is asked for; and with every allocation of the thread that does the I/O failing,
# those that fail are others', and the I/O succeeds.
. ./lib.sh
. ./lib-fault.sh

faults_needed
SIZE=$((8 << 20))
COUNT=300
[ -z "${LONG:-}" ] || COUNT=20000
FILE=$MNT/file

# forced: how many failures the log tells of since kmsg_mark, and stacks that go through dm-loop.
forced() { grep -c 'FAULT_INJECTION: forcing a failure' <<<"$1" || true; }
ours() { grep -cE '\[dm_loop\]' <<<"$1" || true; }

# io THREAD-FAILS: random reads and writes of many sizes, and flushes, by a process that has all
# it needs before it begins; then, with "yes", each allocation it makes fails.
io() {
    python3 -S - /dev/mapper/t0 "$SIZE" "$COUNT" "$1" "$HERE" <<'PYTHON'
import ctypes, gc, mmap, os, random, sys
sys.path.insert(0, sys.argv[5])
import pattern
device, size, count, failing = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "yes"
largest = 1 << 16
fd = os.open(device, os.O_RDWR | os.O_DIRECT)
buffer = mmap.mmap(-1, largest)
buffer[:] = bytes(largest)
wanted = pattern.pattern(1, 0, size)
rng = random.Random(1)
plan = []
for _ in range(count):
    length = rng.choice([512, 4096, 4096, 16384, largest])
    start = rng.randrange((size - length) // 512 + 1) * 512
    plan.append((rng.random() < 0.5, start, [memoryview(buffer)[:length]], wanted[start : start + length], rng.random() < 0.02))
same = [False] * count
switch = os.open("/proc/self/make-it-fail", os.O_WRONLY)
# Everything that is there stays there, and what comes, at once.
if ctypes.CDLL(None).mlockall(3):
    sys.exit("mlockall failed")
gc.disable()
def run():
    for number, (write, start, views, data, flush) in enumerate(plan):
        if write:
            views[0][:] = data
            same[number] = os.pwritev(fd, views, start) == len(data)
        else:
            same[number] = os.preadv(fd, views, start) == len(data) and views[0] == data
        if flush:
            os.fsync(fd)
if failing:
    os.write(switch, b"1")
try:
    run()
finally:
    os.pwrite(switch, b"0", 0)
sys.exit(None if all(same) else f"{same.count(False)} of {count} failed")
PYTHON
}

# filtered START END: only allocations below this code fail, and all of them.
filtered() {
    fault stacktrace-depth 32
    fault require-start "0x$1"
    fault require-end "0x$2"
    fault times -1
    fault probability 100
}

below_our_code() {
    local first last log
    read -r first last <<<"$(module_text)"
    [ -n "$last" ] && [ "$first" != 0000000000000000 ]
    faults_any 1
    kmsg_mark
    filtered "$first" "$last"
    io no
    fault probability 0
    log=$(kmsg_since)
    faults_end
    expect 0 "$(forced "$log")" "allocations below the module during $COUNT reads and writes"
    # That these filters find what there is: a table cannot be loaded with them.
    faults_any 1
    kmsg_mark
    dmsetup create second --notable
    filtered "$first" "$last"
    if dmsetup load second --table "0 8 loop $FILE.other 0"; then
        faults_end
        fail "a table could be loaded without memory"
    fi
    fault probability 0
    log=$(kmsg_since)
    faults_end
    [ "$(forced "$log")" -gt 0 ] || fail "no allocation of the constructor was seen: $log"
    remove second
}

in_the_thread() {
    local log count
    faults_any 2
    kmsg_mark
    fault task-filter Y
    fault times -1
    fault probability 100
    io yes
    fault probability 0
    log=$(kmsg_since)
    faults_end
    count=$(forced "$log")
    [ "$count" -gt 0 ] || fail "no allocation failed"
    expect 0 "$(ours "$log")" "stacks through the module"
    echo "# $count allocations failed in $COUNT reads and writes, none of them below the module" >>"$WORK/counts"
}

begin() {
    fs_make "$1"
    make_fragmented "$FILE" "$SIZE"
    loop_create t0 "$FILE" 0 - block_mapped
}
end() {
    pattern verify --direct /dev/mapper/t0 0 "$SIZE" 1
    remove t0
    fs_end
}

trap 'faults_end; finish' EXIT
plan 8
for kind in ext4 xfs; do
    check "$kind: a device" begin "$kind"
    check "$kind: no allocation below the module's code" below_our_code
    check "$kind: every allocation of the thread fails" in_the_thread
    check "$kind: the device holds what it should" end
done
[ ! -e "$WORK/counts" ] || cat "$WORK/counts"
