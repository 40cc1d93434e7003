#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 8G --disk 2G,logical_block_size=4096 --cpus 1 --mem 2G
#
# A block-mapped device and its file, made longer while in use: by a message, and then a
# longer table. At no time of it can anybody else write to the file.
. ./lib.sh
. ./lib-lock.sh

SIZE=$(((4 << 20) + 2 * 1024 + 512))
# What the device has of that: whole blocks.
BYTES=$((4 << 20))
LONG=$((40 << 20))
FILE=$MNT/file

# can_grow: whether the file system has a way. That of xfs wants a disk that writes zeroes
# by itself, and a kernel in which it knows how to have that done.
can_grow() {
    case $KIND in
    btrfs | f2fs) return 1 ;;
    xfs) can_write_zeroes ;;
    esac
}
can_write_zeroes() {
    python3 - "$MNT/scratch" <<'PYTHON'
import ctypes, os, sys

FALLOC_FL_WRITE_ZEROES = 0x80
file = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
libc = ctypes.CDLL(None)
libc.fallocate.argtypes = ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64
sys.exit(libc.fallocate(file, FALLOC_FL_WRITE_ZEROES, 0, 4096) != 0)
PYTHON
}

# attack: tries to write to the file, and to cut it, until there is $WORK/stop. Prints how
# often; fails if it could.
attack() {
    python3 - "$FILE" "$WORK/stop" <<'PYTHON'
import errno, os, sys

path, stop = sys.argv[1:]
file = os.open(path, os.O_RDWR)
tried = 0


def refused(operation, *args):
    try:
        operation(*args)
    except OSError as error:
        if error.errno == errno.ETXTBSY:
            return
        raise
    sys.exit(f"{operation.__name__} was not refused")


while not os.path.exists(stop):
    refused(os.pwrite, file, b"x", 0)
    refused(os.pwrite, file, b"x", os.stat(path).st_size)
    refused(os.ftruncate, file, 0)
    tried += 1
print(tried)
PYTHON
}

# grow SIZE: the message.
grow() { dmsetup message t0 0 grow "$1"; }

# written_all_the_time: some data on the device, until there is $WORK/stop.
written_all_the_time() {
    local seed=10
    while [ ! -e "$WORK/stop" ]; do
        seed=$((seed + 1))
        python3 "$HERE/pattern.py" write --direct /dev/mapper/t0 65536 65536 "$seed"
        python3 "$HERE/pattern.py" verify --direct /dev/mapper/t0 65536 65536 "$seed"
    done
    echo "$seed" >"$WORK/seed"
}

grown() {
    local writer attacker
    make_file "$FILE" "$SIZE"
    loop_create t0 "$FILE" 0 $((BYTES / 512)) block_mapped
    pattern write --direct /dev/mapper/t0 0 "$BYTES" 2
    # The page with the end of the file, and blocks of the device, as they are.
    tail -c 8192 "$FILE" >/dev/null
    rm -f "$WORK/stop"
    attack >"$WORK/tried" &
    attacker=$!
    written_all_the_time &
    writer=$!
    sleep 1
    if can_grow; then
        grow "$LONG"
        expect "$LONG" "$(stat -c %s "$FILE")"
    else
        fails_with "Operation not supported" grow "$LONG"
        expect "$SIZE" "$(stat -c %s "$FILE")"
    fi
    touch "$WORK/stop"
    wait "$attacker"
    wait "$writer"
    echo "tried to write $(<"$WORK/tried") times"
    [ "$(<"$WORK/tried")" -gt 0 ]
    claimed "$FILE"
    pattern verify --direct /dev/mapper/t0 0 65536 2
    pattern verify --direct /dev/mapper/t0 65536 65536 "$(<"$WORK/seed")"
    pattern verify --direct /dev/mapper/t0 131072 $((BYTES - 131072)) 2
    ! can_grow || longer
    remove t0
    pattern verify "$FILE" 131072 $((BYTES - 131072)) 2
    unclaimed "$FILE"
}

# The device takes the new part up, and so does another one; it is the file's own.
longer() {
    dmsetup load t0 --table "$(loop_table "$FILE" 0 - block_mapped)"
    dmsetup resume t0
    expect "$LONG" "$(blockdev --getsize64 /dev/mapper/t0)"
    dd if=/dev/mapper/t0 of="$WORK/tail" bs=512 skip=$((BYTES / 512)) count=$(((SIZE - BYTES) / 512)) status=none
    pattern verify "$WORK/tail" 0 $((SIZE - BYTES)) 1 "$BYTES"
    cmp -n $((LONG - SIZE)) -i "$SIZE:0" /dev/mapper/t0 /dev/zero
    pattern verify --direct /dev/mapper/t0 131072 $((BYTES - 131072)) 2
    pattern write --direct /dev/mapper/t0 $((8 << 20)) $((LONG - (8 << 20))) 3
    dmsetup load t0 --table "$(loop_table "$FILE" 0 $((BYTES / 512)) block_mapped)"
    dmsetup resume t0
    loop_create t1 "$FILE" $((8 << 20)) - block_mapped
    pattern verify --direct /dev/mapper/t1 0 $((LONG - (8 << 20))) 3 $((8 << 20))
    remove t1
    remove t0
    pattern verify "$FILE" $((8 << 20)) $((LONG - (8 << 20))) 3
    # Not merely allocated.
    loop_create t0 "$FILE" 0 - block_mapped
}

refused() {
    local message size
    make_file "$FILE" "$BYTES"
    loop_create t0 "$FILE" 0 - block_mapped
    for message in "grow" "grow +1" "grow 1 2" "grow 1M" "shrink 0" "grow 9223372036854775808"; do
        # shellcheck disable=SC2086 # words
        fails_with "Invalid argument" dmsetup message t0 0 $message
    done
    if can_grow; then
        # As long as that, it is.
        grow 1
        case $KIND in
        vfat) fails_with "File too large" grow $((1 << 32)) ;;
        *) fails_with "No space left" grow $((1 << 35)) ;;
        esac
        if [ "$KIND" != vfat ]; then
            trap 'fsfreeze -u "$MNT"' EXIT
            fsfreeze -f "$MNT"
            fails_with "Device or resource busy" grow "$LONG"
            fsfreeze -u "$MNT"
            trap - EXIT
        fi
        if chattr +i "$FILE" 2>/dev/null; then
            fails_with "Operation not permitted" grow "$LONG"
            chattr -i "$FILE"
        fi
    fi
    expect "$BYTES" "$(stat -c %s "$FILE")"
    claimed "$FILE"
    remove t0
    loop_create --readonly t0 "$FILE" 0 - block_mapped
    fails_with "Read-only file system" grow "$LONG"
    # That the file was first mapped to be read is of no account.
    dmsetup load t0 --table "$(loop_table "$FILE" 0 - block_mapped)"
    dmsetup resume t0
    ! can_grow || grow 1
    remove t0
    loop_create t0 "$FILE" 0 - file_mapped
    fails_with "Invalid argument" grow "$LONG"
    remove t0
    expect "$BYTES" "$(stat -c %s "$FILE")"
    pattern verify "$FILE" 0 "$BYTES" 1
    unclaimed "$FILE"
}

longer_than_it_was() { [ "$(stat -c %s "$FILE")" -gt "$BYTES" ]; }

# killed: a message that is broken off. The file can be made longer again; or let go at once,
# with what the device has written last.
killed() {
    local worker size status way
    for way in again go; do
        make_file "$FILE" "$SIZE"
        loop_create t0 "$FILE" 0 $((BYTES / 512)) block_mapped
        tail -c 8192 "$FILE" >/dev/null
        dmsetup message t0 0 grow $((1 << 30)) &
        worker=$!
        wait_until longer_than_it_was
        kill -9 "$worker"
        status=0
        wait "$worker" || status=$?
        size=$(stat -c %s "$FILE")
        echo "ended with status $status, $size bytes"
        claimed "$FILE"
        pattern write --direct /dev/mapper/t0 $((BYTES - 65536)) 65536 5
        if [ "$way" = again ]; then
            size=$(((size + 4095) / 4096 * 4096))
            grow "$size"
            dmsetup load t0 --table "$(loop_table "$FILE" 0 - block_mapped)"
            dmsetup resume t0
            expect "$size" "$(blockdev --getsize64 /dev/mapper/t0)"
        fi
        kmsg_mark
        remove t0
        ! kmsg_since | grep -F "stale pages" || fail "pages are left"
        pattern verify "$FILE" 0 $((BYTES - 65536)) 1
        pattern verify "$FILE" $((BYTES - 65536)) 65536 5
        pattern verify "$FILE" "$BYTES" $((SIZE - BYTES)) 1
        rm "$FILE"
    done
}

# others_too: somebody else makes the file longer all the while, which anybody may. Nothing of
# that gets onto the device.
others_too() {
    local other size n
    make_file "$FILE" "$BYTES"
    loop_create t0 "$FILE" 0 - block_mapped
    rm -f "$WORK/stop"
    python3 - "$FILE" "$WORK/stop" <<'PYTHON' &
import errno, os, sys, time

path, stop = sys.argv[1:]
while not os.path.exists(stop):
    try:
        os.truncate(path, os.stat(path).st_size + 8192)
    except OSError as error:
        # It has become longer than that meanwhile, and cannot be cut.
        if error.errno != errno.ETXTBSY:
            raise
    time.sleep(0.002)
PYTHON
    other=$!
    for n in 1 2 3 4 5 6 7 8; do
        # There may be a new hole by the end of it.
        grow $((BYTES + (n << 20))) || true
    done
    touch "$WORK/stop"
    wait "$other"
    size=$(($(stat -c %s "$FILE") / 4096 * 4096))
    grow "$size"
    dmsetup load t0 --table "$(loop_table "$FILE" 0 $((size / 512)) block_mapped)"
    dmsetup resume t0
    pattern write --direct /dev/mapper/t0 0 "$size" 7
    sync
    drop_caches
    pattern verify --direct /dev/mapper/t0 0 "$size" 7
    remove t0
    pattern verify "$FILE" 0 "$size" 7
}

# Files without extents have a limit of their own: 4 TiB, with blocks of 4 KiB.
too_long() {
    make_file "$FILE" "$BYTES"
    loop_create t0 "$FILE" 0 - block_mapped
    fails_with "File too large" grow $((1 << 43))
    remove t0
}

# What is written through a journal would be written once more after a crash. (The attribute
# means nothing where allocation is delayed.)
journalled() {
    umount "$MNT"
    mount -o nodelalloc "$(disk 0)" "$MNT"
    make_file "$FILE" "$BYTES"
    loop_create t0 "$FILE" 0 - block_mapped
    chattr +j "$FILE"
    fails_with "Operation not supported" grow "$LONG"
    expect "$BYTES" "$(stat -c %s "$FILE")"
    chattr -j "$FILE"
    trap 'dmsetup resume t0' EXIT
    dmsetup suspend t0
    fails_with "Device or resource busy" grow "$LONG"
    dmsetup resume t0
    trap - EXIT
    grow "$LONG"
    remove t0
}

# on KIND NAME [DEVICE]
on() {
    KIND=$1
    fs_make "$1" "${3:-$(disk 0)}"
    check "$2: made longer in use" grown
    check "$2: what is refused" refused
    fs_end
}

plan $((2 * ${#FILE_SYSTEMS[@]} + 10))
for kind in "${FILE_SYSTEMS[@]}"; do
    on "$kind" "$kind"
done
for KIND in ext4-1k ext2 vfat; do
    fs_make "$KIND"
    check "$KIND: killed in the middle" killed
    check "$KIND: made longer by others, too" others_too
    fs_end
done
fs_make ext4
check "ext4: journalled, suspended" journalled
fs_end
fs_make ext2
check "ext2: beyond what a file can be" too_long
fs_end
modprobe scsi_debug dev_size_mb=400 lbpws=1 lbprz=1
udevadm settle
zeroing=$(grep -l scsi_debug /sys/block/*/device/model | cut -d/ -f4)
[ "$(cat "/sys/block/$zeroing/queue/write_zeroes_unmap_max_bytes")" != 0 ]
on xfs "xfs on a disk that writes zeroes" "/dev/$zeroing"
