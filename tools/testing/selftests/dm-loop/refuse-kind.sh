#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 8G --disk 2G,logical_block_size=4096 --cpus 1 --mem 1G
#
# Kinds of files and of file systems that cannot be block-mapped at all: encrypted, sealed,
# journalled, or not on a disk.
. ./lib.sh
. ./lib-refuse.sh

SIZE=$((2 << 20))
FILE=$MNT/file

# mount_new OPTIONS MKFS…: the file system that the command makes, mounted.
mount_new() {
    local flags=$1
    shift
    "$@" "$(disk 0)" >/dev/null
    mount ${flags:+-o "$flags"} "$(disk 0)" "$MNT"
}

# The kernel has a key for trying it out.
encrypted() {
    local type=$1
    shift
    modprobe "$type"
    [ -e "/sys/fs/$type/features/encryption" ] || skip_this "this kernel has no fscrypt"
    "$@" >/dev/null
    mount -o test_dummy_encryption "$(disk 0)" "$MNT"
    make_file "$FILE" "$SIZE"
    # shellcheck disable=SC2012 # only its flags matter
    lsattr "$FILE" | grep -q '^[^ ]*E'
    not_block_mapped "file is encrypted" "$FILE"
    not_block_mapped "file is encrypted" --readonly "$FILE"
    pattern verify "$FILE" 0 "$SIZE" 1
    umount "$MNT"
}

sealed_by_verity() {
    mount_new "" "$@"
    make_file "$FILE" "$SIZE"
    fsverity enable "$FILE"
    export SEALED=1
    file_refused EPERM "Cannot open backing file" "$FILE" 0 - block_mapped
    not_block_mapped "file is protected by fs-verity" --readonly "$FILE"
    pattern verify "$FILE" 0 "$SIZE" 1
    umount "$MNT"
}

# Data goes to the journal first, from where it may be written again at any time.
journal_of_data() {
    mount_new data=journal mkfs.ext4 -qF
    make_file "$FILE" "$SIZE"
    not_block_mapped "file system refused" "$FILE"
    umount "$MNT"
}

journal_of_one_file() {
    # With delayed allocation the attribute has no effect.
    mount_new nodelalloc mkfs.ext4 -qF
    : >"$FILE"
    chattr +j "$FILE"
    make_file_in_place
    not_block_mapped "file system refused" "$FILE"
    chattr -j "$FILE"
    loop_create ordered "$FILE" 0 - block_mapped
    remove ordered
    umount "$MNT"
}

make_file_in_place() {
    pattern write "$FILE" 0 "$SIZE" 1
    sync "$FILE"
}

# Small files within their inode: no block is theirs.
inline_data() {
    mount_new "" mkfs.ext4 -qF -I 1024 -O inline_data
    make_file "$FILE" 600
    not_block_mapped "file system refused" "$FILE"
    umount "$MNT"
}

# Two copies of each block: no place is the only one.
two_disks() {
    local half=$((1 << 20)) n
    modprobe btrfs
    for n in 0 1; do
        dmsetup create "half$n" --table "0 $half linear $(disk 0) $((n * half))"
    done
    mkfs.btrfs -qf -d raid1 -m raid1 /dev/mapper/half0 /dev/mapper/half1
    mount /dev/mapper/half0 "$MNT"
    chattr +C "$MNT"
    make_file "$FILE" "$SIZE"
    not_block_mapped "file system refused" "$FILE"
    umount "$MNT"
    remove half0 half1
}

log_structured() {
    mount_new mode=lfs mkfs.f2fs -qf
    make_file "$FILE" "$SIZE"
    not_block_mapped "file system refused" "$FILE"
    umount "$MNT"
}

mounted_read_only() {
    mount_new "" mkfs.f2fs -qf
    make_file "$FILE" "$SIZE"
    mount -o remount,ro "$MNT"
    SEALED=1 not_block_mapped "file system refused" --readonly "$FILE"
    umount "$MNT"
}

# Whoever can read a file can unpin it.
readable_by_others() {
    local mode
    mount_new "" mkfs.f2fs -qf
    make_file "$FILE" "$SIZE"
    for mode in 640 604 610 666; do
        chmod "$mode" "$FILE"
        not_block_mapped "file system refused" "$FILE"
    done
    chmod 600 "$FILE"
    chown 65534 "$FILE"
    not_block_mapped "file system refused" "$FILE"
    chown 0 "$FILE"
    loop_create t0 "$FILE" 0 - block_mapped
    remove t0
    # It is so: nobody's is enough, and asks for nothing but to read.
    chmod 755 "$WORK" "$MNT"
    chmod 604 "$FILE"
    setpriv --reuid 65534 --regid 65534 --clear-groups python3 -S -c 'import fcntl, os, struct, sys
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x4004F50D, struct.pack("<L", 0))' "$FILE"
    umount "$MNT"
}

compressed() {
    mount_new "" mkfs.f2fs -qf -O extra_attr,compression
    : >"$FILE"
    chattr +c "$FILE"
    make_file_in_place
    not_block_mapped "file system refused" "$FILE"
    umount "$MNT"
}

in_memory() {
    local kind
    for kind in tmpfs ramfs; do
        mount -t "$kind" "$kind" "$MNT"
        make_file "$FILE" "$SIZE"
        not_block_mapped "file system has no block device" "$FILE"
        not_block_mapped "file system has no block device" --readonly "$FILE"
        pattern verify "$FILE" 0 "$SIZE" 1
        umount "$MNT"
    done
}

# Files of the kernel: some have no size, some a very large one.
of_the_kernel() {
    refused EOPNOTSUPP "Cannot block-map: file system has no block device" \
        "0 8 loop /sys/kernel/uevent_seqnum 0 1 block_mapped" --readonly
    refused EINVAL "Device does not fit in the backing file" "0 8 loop /proc/version 0 1 block_mapped" --readonly
    refused EINVAL "Device does not fit in the backing file" "0 8 loop /proc/self/mem 0 1 block_mapped" --readonly
}

# From a server on this machine.
nfs() {
    local version
    fs_make ext4 "$(disk 0)" "$WORK/exported"
    make_file "$WORK/exported/file" "$SIZE"
    nfs_begin
    for version in 3 4.2; do
        mount -t nfs -o "vers=$version,hard,nolock" "localhost:$WORK/exported" "$MNT"
        not_block_mapped "file system has no block device" "$FILE"
        not_block_mapped "file system has no block device" --readonly "$FILE"
        umount "$MNT"
    done
    nfs_end
    unmount "$WORK/exported"
}

nfs_begin() {
    if ! modprobe nfsd || [ -z "$(type -P rpc.nfsd)" ]; then
        skip_this "no NFS server here"
    fi
    mountpoint -q /proc/fs/nfsd || mount -t nfsd nfsd /proc/fs/nfsd
    [ "$(cat /proc/fs/nfsd/threads)" = 0 ] || skip_this "there is an NFS server already"
    mkdir -p /run/rpcbind /var/lib/nfs/v4recovery
    RPC=()
    rpcbind -w -f &
    RPC+=($!)
    timeout 60 sh -c 'until rpcinfo -p >/dev/null 2>&1; do sleep 0.1; done'
    exportfs -o rw,no_root_squash,insecure,fsid=77 "localhost:$WORK/exported"
    # Its clients must not wait long for those of a server before it.
    rpc.nfsd --grace-time 10 --lease-time 10 1
    rpc.mountd -F &
    RPC+=($!)
    timeout 60 sh -c 'until rpcinfo -t localhost mountd 3 >/dev/null 2>&1; do sleep 0.1; done'
}

nfs_end() {
    exportfs -u "localhost:$WORK/exported"
    rpc.nfsd 0
    # The kernel's caches hold the exported file system.
    exportfs -f
    kill "${RPC[@]}"
    wait "${RPC[@]}" || true
    umount /proc/fs/nfsd
}

# Both what was copied up and what lies below still.
overlay() {
    local name
    fs_make ext4 "$(disk 0)" "$WORK/below"
    mkdir "$WORK/below"/{lower,upper,work}
    make_file "$WORK/below/lower/old" "$SIZE"
    mount -t overlay -o "lowerdir=$WORK/below/lower,upperdir=$WORK/below/upper,workdir=$WORK/below/work" \
        overlay "$MNT"
    make_file "$MNT/new" "$SIZE"
    not_block_mapped "file system has no block device" "$MNT/new"
    SEALED=1 not_block_mapped "file system has no block device" --readonly "$MNT/old"
    [ ! -e "$WORK/below/upper/old" ]
    # Opened for writing it is copied up, as always there.
    refused EOPNOTSUPP "Cannot block-map: file system has no block device" \
        "$(loop_table "$MNT/old" 0 - block_mapped)"
    pattern verify "$MNT/old" 0 "$SIZE" 1
    unclaimed "$MNT/old"
    umount "$MNT"
    umount "$WORK/below"
}

# On a disk, but nobody has shown that mapping it is safe.
exfat() {
    mount_new "" mkfs.exfat
    make_file "$FILE" "$SIZE"
    not_block_mapped "file system is not supported" "$FILE"
    not_block_mapped "file system is not supported" --readonly "$FILE"
    umount "$MNT"
}

squashfs() {
    mkdir "$WORK/tree"
    make_file "$WORK/tree/file" "$SIZE"
    mksquashfs "$WORK/tree" "$WORK/image" -quiet -no-progress -noappend
    dd if="$WORK/image" of="$(disk 0)" bs=1M conv=notrunc,fsync status=none
    mount -t squashfs "$(disk 0)" "$MNT"
    SEALED=1 file_refused EROFS "Cannot open backing file" "$FILE" 0 - block_mapped
    SEALED=1 not_block_mapped "file system is not supported" --readonly "$FILE"
    umount "$MNT"
}

# The disk does not say where the file lies.
unreadable() {
    local sectors table
    sectors=$((256 << 11))
    table="0 $sectors linear $(disk 0) 0"
    dmsetup create below --table "$table"
    is_block below
    fs_make ext4-1k /dev/mapper/below "$WORK/on"
    make_fragmented "$WORK/on/file" "$SIZE"
    umount "$WORK/on"
    mount -t ext4 /dev/mapper/below "$WORK/on"
    # Its inode is known, but not yet where its blocks are.
    stat "$WORK/on/file" >/dev/null
    dmsetup load below --table "0 $sectors error"
    dmsetup suspend --nolockfs below
    dmsetup resume below
    echo 1 >/proc/sys/vm/drop_caches
    SEALED=1 MENTIONED=$WORK/on/file refused EIO "Cannot claim backing file" \
        "$(loop_table "$WORK/on/file" 0 - block_mapped)"
    dmsetup load below --table "$table"
    dmsetup suspend --nolockfs below
    dmsetup resume below
    unclaimed "$WORK/on/file"
    pattern verify "$WORK/on/file" 0 "$((SIZE - 512))" 1
    umount "$WORK/on"
    remove below
}

# A disk of zones, which are only ever written from front to back.
zoned() {
    local folder=/sys/kernel/config/nullb/zoned
    modprobe null_blk nr_devices=0
    mountpoint -q /sys/kernel/config || mount -t configfs configfs /sys/kernel/config
    mkdir "$folder"
    echo 1 >"$folder/memory_backed"
    echo 1 >"$folder/zoned"
    echo 4 >"$folder/zone_size"
    echo 40 >"$folder/zone_nr_conv"
    echo 512 >"$folder/size"
    echo 1 >"$folder/power"
    udevadm settle
    expect host-managed "$(queue /dev/zoned zoned)"
    # Its first 160 MiB are as other disks are.
    mkfs.ext4 -qF -E nodiscard /dev/zoned 150M
    mount /dev/zoned "$MNT"
    make_file "$FILE" "$SIZE"
    not_block_mapped "file system is not supported" "$FILE"
    pattern verify "$FILE" 0 "$((SIZE - 512))" 1
    umount "$MNT"
    echo 0 >"$folder/power"
    rmdir "$folder"
    modprobe -r null_blk
}

refusals_begin
# one NAME COMMAND…: what it leaves mounted when it fails must not fail the others.
one() {
    local mount
    check "$@"
    while read -r mount; do umount "$mount"; done < <(our_mounts)
}

plan 20
one "ext4: encrypted" encrypted ext4 mkfs.ext4 -qF -O encrypt "$(disk 0)"
one "f2fs: encrypted" encrypted f2fs mkfs.f2fs -qf -O encrypt "$(disk 0)"
one "ext4: verity" sealed_by_verity mkfs.ext4 -qF -O verity
one "f2fs: verity" sealed_by_verity mkfs.f2fs -qf -O verity
one "ext4: data=journal" journal_of_data
one "ext4: data of one file in the journal" journal_of_one_file
one "ext4: inline data" inline_data
one "btrfs: two copies on two disks" two_disks
one "f2fs: log-structured" log_structured
one "f2fs: readable by others" readable_by_others
one "f2fs: mounted read-only" mounted_read_only
one "f2fs: compressed" compressed
one "tmpfs and ramfs" in_memory
one "proc and sysfs" of_the_kernel
one "NFS" nfs
one "overlay" overlay
one "exfat" exfat
one "squashfs" squashfs
one "a disk of zones" zoned
one "a disk that cannot be read" unreadable
