#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What people build on devices: two as one, parts of them, snapshots, delays, encryption,
# and a device on a file on a device. On each an ext4 is made, filled and checked.
#
# vm: --disk 8G --disk 2G,logical_block_size=4096 --cpus 1 --mem 1G
. ./lib.sh

plan 11
A=$MNT/a B=$MNT/b
INNER=$WORK/inner
MAPPER=/dev/mapper

size() { blockdev --getsz "$MAPPER/$1"; }

# stack NAME TABLE: a device on the others.
stack() { dmsetup create "$1" --table "$2" && is_block "$1"; }

# lives NAME: a file system on it.
lives() {
    fs_make ext4 "$MAPPER/$1" "$INNER"
    fill "$INNER"
    umount "$INNER"
    again "$1"
}

# again NAME: the same file system is on it, whole.
again() {
    e2fsck -fn "$MAPPER/$1"
    mount -t ext4 "$MAPPER/$1" "$INNER"
    filled "$INNER"
    umount "$INNER"
}

two_as_one() {
    stack twoasone "0 $(size a) linear $MAPPER/a 0
$(size a) $(size b) linear $MAPPER/b 0"
    expect $(($(size a) + $(size b))) "$(size twoasone)" "size of both"
    lives twoasone
    # Across the seam.
    local seam=$(($(size a) * 512))
    pattern write --direct "$MAPPER/twoasone" $((seam - 65536)) 131072 9
    remove twoasone
    pattern verify --direct "$MAPPER/a" $((seam - 65536)) 65536 9 -- \
        verify --direct "$MAPPER/b" 0 65536 9 "$seam"
}

half_and_rest() {
    local half=$(($(size a) / 2))
    stack halfdisk "0 $half linear $MAPPER/a 0"
    stack oneahalf "0 $(($(size a) - half)) linear $MAPPER/a $half
$(($(size a) - half)) $(size b) linear $MAPPER/b 0"
    lives halfdisk
    mv "$WORK/sums" "$WORK/sums.half"
    lives oneahalf
    mv "$WORK/sums.half" "$WORK/sums"
    again halfdisk
    remove oneahalf halfdisk
}

striped() {
    stack stripes "0 $(($(size a) / 256 * 256)) striped 2 128 $MAPPER/a 0 $MAPPER/b 0"
    lives stripes
    remove stripes
}

# A snapshot keeps what the origin held when it was taken; both are devices of ours.
snapshot() {
    fs_make ext4 "$MAPPER/a" "$INNER"
    fill "$INNER"
    umount "$INNER"
    stack origin "0 $(size a) snapshot-origin $MAPPER/a"
    mount -t ext4 "$MAPPER/origin" "$INNER"
    # Taken of a live file system: suspended, it is at rest.
    dmsetup suspend origin
    stack snap "0 $(size a) snapshot $MAPPER/a $MAPPER/b P 8"
    dmsetup resume origin
    rm -r "$INNER/folder1"
    echo new >"$INNER/new"
    umount "$INNER"
    e2fsck -fn "$MAPPER/origin"
    e2fsck -fy "$MAPPER/snap" || [ $? = 1 ]
    again snap
    mount -t ext4 "$MAPPER/origin" "$INNER"
    [ ! -e "$INNER/folder1" ] || fail "what was deleted in the origin is there again"
    expect new "$(<"$INNER/new")" "a file of the origin"
    umount "$INNER"
    remove snap origin
}

# And is merged back.
snapshot_merge() {
    fs_make ext4 "$MAPPER/a" "$INNER"
    fill "$INNER"
    umount "$INNER"
    stack origin "0 $(size a) snapshot-origin $MAPPER/a"
    dd if=/dev/zero of="$MAPPER/b" bs=64k count=1 conv=notrunc,fsync status=none
    stack snap "0 $(size a) snapshot $MAPPER/a $MAPPER/b P 8"
    mount -t ext4 "$MAPPER/origin" "$INNER"
    rm -r "$INNER/folder2"
    umount "$INNER"
    remove snap
    dmsetup suspend origin
    dmsetup reload origin --table "0 $(size a) snapshot-merge $MAPPER/a $MAPPER/b P 8"
    dmsetup resume origin
    merged
    remove origin
    again a
}

# merged: waits until nothing but metadata is left in the snapshot.
merged() {
    local used metadata i
    for i in {1..1200}; do
        read -r used metadata <<<"$(dmsetup status origin | sed -nE 's|.* ([0-9]+)/[0-9]+ ([0-9]+)$|\1 \2|p')"
        [ "$used" != "$metadata" ] || return 0
        sleep 0.5
    done
    fail "not merged after $i rounds: $(dmsetup status origin)"
}

delay() {
    local began
    stack delayed "0 $(size a) delay $MAPPER/a 0 20"
    began=$(date +%s%N)
    dd if="$MAPPER/delayed" of=/dev/null bs=4096 count=10 iflag=direct status=none
    [ $(($(date +%s%N) - began)) -ge 200000000 ] || fail "ten reads were not delayed by 20 ms each"
    dmsetup suspend delayed
    dmsetup reload delayed --table "0 $(size a) delay $MAPPER/a 0 1"
    dmsetup resume delayed
    lives delayed
    remove delayed
}

# The key is in the table; the file holds nothing readable.
crypt() {
    local text="not to be found in the file"
    stack secret "0 $(size a) crypt aes-xts-plain64 $(printf '%064x' 12345) 0 $MAPPER/a 0 1 allow_discards"
    lives secret
    mount -t ext4 "$MAPPER/secret" "$INNER"
    seq -f "$text %g" 20000 >"$INNER/text"
    umount "$INNER"
    ! grep -qF -- "$text" "$MAPPER/a" || fail "plain text on the device"
    grep -qF -- "$text" "$MAPPER/secret" || fail "no plain text on the encrypted device"
    remove secret
}

luks() {
    echo secret >"$WORK/key"
    cryptsetup luksFormat -q --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 \
        "$MAPPER/b" "$WORK/key"
    cryptsetup open --key-file "$WORK/key" "$MAPPER/b" luks
    is_block luks
    lives luks
    cryptsetup close luks
    cryptsetup open --key-file "$WORK/key" "$MAPPER/b" luks
    again luks
    cryptsetup close luks
}

# A device on a file of a file system on a device.
nested() {
    fs_make ext4 "$MAPPER/a" "$WORK/outer"
    make_file "$WORK/outer/file" $((24 << 20))
    loop_create nested "$WORK/outer/file" 512 - block_mapped
    lives nested
    remove nested
    umount "$WORK/outer"
    e2fsck -fn "$MAPPER/a"
}

# Swapping to an encrypted file, until all has been out and come back.
swap() {
    local cgroup=/sys/fs/cgroup/dm-loop-test
    echo +memory >/sys/fs/cgroup/cgroup.subtree_control || skip_this "no memory controller"
    stack secret "0 $(size a) crypt aes-xts-plain64 $(printf '%064x' 12345) 0 $MAPPER/a 0"
    mkswap "$MAPPER/secret"
    swapon "$MAPPER/secret"
    mkdir "$cgroup"
    trap 'rmdir "$cgroup"; swapoff "$MAPPER/secret"' EXIT
    # Less than the program needs; the rest is room for what is on its way to the disk.
    echo 8M >"$cgroup/memory.high"
    echo 20M >"$cgroup/memory.max"
    bash -c 'echo $$ >"$1/cgroup.procs" && exec python3 -S - "$1"' - "$cgroup" <<'PYTHON'
import sys
pages = 6144
memory = bytearray(4096 * pages)
for page in range(pages):
    memory[4096 * page : 4096 * page + 4] = page.to_bytes(4, "little")
for page in range(pages):
    if memory[4096 * page : 4096 * page + 4] != page.to_bytes(4, "little"):
        sys.exit(f"page {page} came back changed")
used = int(open(sys.argv[1] + "/memory.swap.current").read())
if not used:
    sys.exit("nothing was swapped out")
PYTHON
    rmdir "$cgroup"
    swapoff "$MAPPER/secret"
    trap - EXIT
    remove secret
}

# The file under the stacks, fragmented or not, is still a sound one: removed and made
# again, the devices show the same.
kept() {
    local before
    before=$(sha256sum <"$MAPPER/a")
    remove a b
    expect "$before" "$(sha256sum <"$A")" "the file"
    loop_create a "$A" 0 - block_mapped
    loop_create b "$B" 512 - block_mapped
    expect "$before" "$(sha256sum <"$MAPPER/a")" "a new device"
}

fs_make ext4
mkdir "$INNER" "$WORK/outer"
make_fragmented "$A" $((40 << 20))
make_file "$B" $((40 << 20))
loop_create a "$A" 0 - block_mapped
loop_create b "$B" 512 - block_mapped
check "two as one" two_as_one
check "half of one, and the other half with another" half_and_rest
check "striped" striped
check "snapshot of a device, to a device" snapshot
check "a snapshot merged back" snapshot_merge
check "delayed" delay
check "dm-crypt" crypt
check "LUKS" luks
check "a device on a file on a device" nested
check "swap on dm-crypt on a device" swap
check "the file holds what the device held" kept
remove a b
fs_end
