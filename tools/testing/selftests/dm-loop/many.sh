#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 8G --disk 2G,logical_block_size=4096 --cpus 1 --mem 1G
#
# Two thousand devices at once: half of them on files of their own, half on parts of one.
. ./lib.sh
. ./lib-lock.sh

COUNT=1000
# Lockdep has no room for that many queues.
[ ! -e /proc/lockdep ] || COUNT=100
PART=16384
SECTORS=$((PART / 512))

make_files() {
    mkdir "$MNT/many"
    python3 - "$MNT/many" "$COUNT" "$PART" <<'PYTHON'
import os, sys
folder, count, part = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for n in range(count):
    with open(f"{folder}/{n}", "wb") as file:
        file.write(b"o" * part)
with open(f"{folder}/one", "wb") as file:
    file.write(b"o" * part * count)
os.sync()
PYTHON
}

# One dmsetup makes many of them: NAME,UUID,MINOR,FLAGS,TABLE;…
create() {
    local n some=100 line
    for ((n = 0; n < COUNT; n++)); do
        printf '%s' "own$n,,,rw,0 $SECTORS loop $MNT/many/$n 0 1 block_mapped;"
        printf '%s' "part$n,,,rw,0 $SECTORS loop $MNT/many/one $((n * PART)) 1 block_mapped"
        [ $((n % some)) = $((some - 1)) ] && echo || printf ';'
    done >"$WORK/concise"
    while read -r line; do
        dmsetup create --noudevsync --noudevrules --concise "$line"
    done <"$WORK/concise"
    expect $((2 * COUNT)) "$(list_devices | grep -cE '^(own|part)[0-9]+$')"
    expect $((2 * COUNT)) "$(dmsetup status | grep -cE '^(own|part)[0-9]+: 0 '$SECTORS' loop block [0-9]+ ')"
    expect $((2 * COUNT)) "$(cat /sys/module/dm_loop/refcnt)"
}

# Each gets what no other has; all are written before the first is read.
write_and_read() {
    dmsetup info -c --noheadings -o name,minor --separator ' ' | grep -E '^(own|part)[0-9]+ ' >"$WORK/minors"
    python3 - "$WORK/minors" "$PART" <<'PYTHON'
import mmap, os, stat, sys
devices = [line.split() for line in open(sys.argv[1])]
part = int(sys.argv[2])
buffer = mmap.mmap(-1, part)
def contents(name):
    return (name.encode() + b"." * 16)[:16] * (part // 16)
for name, minor in devices:
    fd = os.open(f"/dev/dm-{minor}", os.O_WRONLY | os.O_DIRECT)
    assert stat.S_ISBLK(os.fstat(fd).st_mode)
    buffer[:] = contents(name)
    assert os.pwrite(fd, buffer, 0) == part, name
    os.close(fd)
for name, minor in devices:
    fd = os.open(f"/dev/dm-{minor}", os.O_RDONLY | os.O_DIRECT)
    assert os.preadv(fd, [buffer], 0) == part and buffer[:] == contents(name), name
    os.close(fd)
print(len(devices))
PYTHON
}

all_written() {
    expect $((2 * COUNT)) "$(write_and_read)"
    claimed "$MNT/many/0"
    claimed "$MNT/many/$((COUNT - 1))"
    claimed "$MNT/many/one"
}

removed() {
    list_devices | grep -E '^(own|part)[0-9]+$' | xargs dmsetup remove --noudevsync --noudevrules
    expect 0 "$(list_devices | grep -cE '^(own|part)[0-9]+$' || true)"
    expect 0 "$(cat /sys/module/dm_loop/refcnt)"
    python3 - "$MNT/many" "$COUNT" "$PART" <<'PYTHON'
import sys
folder, count, part = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
def contents(name):
    return (name.encode() + b"." * 16)[:16] * (part // 16)
one = open(f"{folder}/one", "rb").read()
assert len(one) == count * part
for n in range(count):
    assert open(f"{folder}/{n}", "rb").read() == contents(f"own{n}"), n
    assert one[n * part : (n + 1) * part] == contents(f"part{n}"), n
PYTHON
    unclaimed "$MNT/many/0"
    unclaimed "$MNT/many/one"
}

fs_make ext4
# udev's rules would take longer than all the rest, and so would its list of what it has
# missed: it starts anew afterwards.
[ ! -d /run/systemd/system ] || skip_all "udevd belongs to systemd here"
udevadm control --exit
trap '/usr/lib/systemd/systemd-udevd --daemon; finish' EXIT
plan 4
check "as many files" make_files
check "$((2 * COUNT)) devices" create
check "each written, each read" all_written
check "all removed again" removed
fs_end
