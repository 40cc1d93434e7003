# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What the sections of the admins' pages find when they begin; sourced by examples.sh, which
# sets WORK, MNT, and ARGUMENTS, those of examples.py for the section at hand.

# shellcheck source=lib-nfs.sh
. "$HERE/lib-nfs.sh"

SIZE=$((16 << 20))
FILE=/srv/disk.img
PMEM=/dev/pmem0

# What stands before each section with commands: a function below.
# shellcheck disable=SC2034 # for examples.sh
declare -A BEFORE=(
    [dm-loop/intro]=nothing
    [dm-loop/Errors]=nothing
    ["dm-loop/A disk image with partitions"]=local_disk
    ["dm-loop/Two files as one disk"]=local_disk
    ["dm-loop/A snapshot of an image"]=local_disk
    ["dm-loop/Making a device larger"]=local_disk
    [dm-loop/Swap]=local_disk
    ["dm-loop/Encrypted swap"]=swap_file
    ["dm-loop/Images of many containers"]=local_disk
    ["dm-loop/An image in a home on NFS"]=home_on_nfs
    ["dm-loop/Moving from /dev/loop"]=old_image
    [dm-loop/Troubleshooting]=sparse_file
    [dm-loop/requested]=file_mapped_device
    [dm-loop/in_use]=used_file
    [dm-loop/sparse]=sparse_file
    [dm-loop/unwritten]=fallocated_file
    [dm-loop/cow]=shared_files
    [dm-loop/no_blockdev]=file_in_memory
    [dm-loop/fs_unsupported]=file_on_exfat
    [dm-loop/fs_refused]=refused_files
    [dm-loop/encrypted]=encrypted_home
    [dm-loop/verity]=sealed_file
    [dm-loop/dax]=file_on_pmem
    [dm-loop/misaligned]=odd_file
    [dmloop/intro]=nothing
    ["dmloop/At boot"]=nothing
    [dmloop/Installing]=other_machine
)

# What must hold of the files that are shown, with them in their places.
# shellcheck disable=SC2034 # for examples.sh
declare -A AFTER=(
    ["dm-loop/Encrypted swap"]=boot_files
    ["dmloop/At boot"]=boot_files
)

# dmloop's generator makes a unit of each line, and has nothing to say. (There is no systemd here.)
boot_files() (
    units=$(mktemp -d)
    ln -s "$(type -P dmloop)" "$units/dmloop-generator"
    "$units/dmloop-generator" "$units" "$units" "$units"
    awk 'NF && !/^#/ { print "dmloop@" $1 ".service" }' /etc/dmlooptab | sort >"$units/wanted"
    (cd "$units" && printf '%s\n' dmloop@*.service) | diff - "$units/wanted" && rm -r "$units"
)

# lacks WHY: the commands of this section are for another machine than this.
lacks() { program examples.py skip "${ARGUMENTS[@]}" "$WORK/done" && skip_this "$@"; }

nothing() { :; }
other_machine() { lacks "this is for where the module is built"; }
local_disk() { fs_make ext4 "$(disk 0)" /srv; }
# Written, and in one piece.
image() { dmloop prepare --quiet --size "$SIZE" "${1:-$FILE}"; }
swap_file() {
    local_disk
    SIZE=256M image /srv/swap.img
}
sparse_file() {
    local_disk
    make_sparse "$FILE" "$SIZE"
    make_sparse /srv/other.img "$SIZE"
}
fallocated_file() {
    local_disk
    make_fallocated "$FILE" "$SIZE"
}
odd_file() {
    local_disk
    SIZE=$((SIZE + 512)) image || [ $? = 3 ]
}
file_in_memory() {
    local_disk
    mount -t tmpfs tmpfs /mnt
    make_file /mnt/disk.img "$SIZE"
}

home_on_nfs() {
    fs_make ext4 "$(disk 0)" "$MNT"
    mkdir "$MNT/ada"
    nfs_serve "$MNT"
    nfs_mount /home
}

# As mkfs makes them.
old_image() {
    local_disk
    make_sparse /srv/old.img $((64 << 20))
    mkfs.ext4 -qF /srv/old.img
    modprobe loop
}

file_mapped_device() {
    local_disk
    image
    dmloop attach --file-mapped "$FILE" disk
}

used_file() {
    local_disk
    image
    modprobe loop
    losetup /dev/loop0 "$FILE"
    # Under that name it stands in for a virtual machine.
    cp "$(type -P sleep)" "$WORK/qemu"
    "$WORK/qemu" 3600 >>"$FILE" 2>/dev/null &
    echo $! >"$WORK/pid"
}

shared_files() {
    mkdir -p /srv/btrfs /srv/xfs
    fs_make btrfs-cow "$(disk 1)" /srv/btrfs
    make_file /srv/btrfs/disk.img "$SIZE"
    fs_make xfs "$(disk 2)" /srv/xfs
    make_reflinked /srv/xfs/disk.img "$SIZE"
}

file_on_exfat() {
    local_disk
    mkfs.exfat "$(disk 1)" >/dev/null
    mount "$(disk 1)" /mnt
    make_file /mnt/disk.img "$SIZE"
}

# With delayed allocation the attribute j has no effect on ext4.
refused_files() {
    mkdir -p /srv/btrfs /srv/ext4
    fs_make btrfs "$(disk 1)" /srv/btrfs
    btrfs -q subvolume create /srv/btrfs/images
    chattr +C /srv/btrfs/images
    image /srv/btrfs/images/disk.img
    btrfs -q subvolume snapshot -r /srv/btrfs/images /srv/btrfs/yesterday
    fs_format ext4 "$(disk 2)"
    mount -o nodelalloc "$(disk 2)" /srv/ext4
    image /srv/ext4/disk.img
    chattr +j /srv/ext4/disk.img
}

# The kernel has a key for trying it out.
encrypted_home() {
    local_disk
    mkfs.ext4 -qF -O encrypt "$(disk 1)"
    mount -o test_dummy_encryption "$(disk 1)" /home || lacks "this kernel has no fscrypt"
    mkdir /home/ada
    make_file /home/ada/disk.img "$SIZE"
}

sealed_file() {
    mkfs.ext4 -qF -O verity "$(disk 0)"
    mount "$(disk 0)" /srv
    make_file "$FILE" "$SIZE"
    fsverity enable "$FILE" || lacks "this kernel has no fs-verity"
}

file_on_pmem() {
    modprobe -a nd_e820 nd_pmem 2>/dev/null || true
    udevadm settle
    [ -b "$PMEM" ] || lacks "this kernel makes no disk of memory"
    fs_format ext4 "$PMEM"
    mount -o dax=always "$PMEM" /mnt
    image /mnt/disk.img || [ $? = 3 ]
}
