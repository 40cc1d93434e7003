# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# File systems and files to map; sourced by lib.sh.

# The file systems whose files can be block-mapped, as fs_make knows them.
# shellcheck disable=SC2034 # for the scripts
FILE_SYSTEMS=(ext4 ext4-1k ext3 ext2 xfs btrfs f2fs vfat)

# disk N: the N-th disk to spend. DM_LOOP_DISKS names others than the guest's.
disk() {
    local disks
    read -ra disks <<<"${DM_LOOP_DISKS:-/dev/vm/disk0 /dev/vm/disk1 /dev/vm/disk2 /dev/vm/disk3 /dev/vm/disk4 /dev/vm/disk5}"
    [ -b "${disks[$1]:-}" ] || { echo "there is no disk $1" >&2 && return 1; }
    realpath "${disks[$1]}"
}

# fs_format KIND DEVICE
fs_format() {
    local kind=$1 device=$2
    case $kind in
    # Everything is initialized at once: no background writes while a test counts.
    ext4) mkfs.ext4 -qF -b 4096 -E lazy_itable_init=0,lazy_journal_init=0 -N 8192 "$device" ;;
    ext4-1k) mkfs.ext4 -qF -b 1024 -E lazy_itable_init=0,lazy_journal_init=0 -N 8192 "$device" ;;
    ext3) mkfs.ext3 -qF -b 4096 -E lazy_itable_init=0,lazy_journal_init=0 -N 8192 "$device" ;;
    ext2) mkfs.ext2 -qF -b 4096 -E lazy_itable_init=0 -N 8192 "$device" ;;
    xfs) mkfs.xfs -qf "$device" ;;
    xfs-1k) mkfs.xfs -qf -b size=1024 "$device" ;;
    btrfs | btrfs-cow) mkfs.btrfs -qf -d single "$device" ;;
    f2fs) mkfs.f2fs -qf "$device" ;;
    vfat) mkfs.vfat -I -F 32 "$device" >/dev/null ;;
    *) echo "unknown file system $kind" >&2 && return 1 ;;
    esac
}

# fs_make KIND [DEVICE [FOLDER]]: an empty file system, mounted. New files of btrfs are
# NODATACOW, those of btrfs-cow are not.
fs_make() {
    local kind=$1 device folder=${3:-$MNT}
    device=${2:-$(disk 0)}
    # Makes /dev/btrfs-control, which mkfs looks for.
    [[ $kind != btrfs* ]] || modprobe btrfs
    fs_format "$kind" "$device"
    mkdir -p "$folder"
    mount -t "$(fs_type "$kind")" "$device" "$folder"
    [ "$folder" != "$MNT" ] || FS_KIND=$kind
    [ "$kind" != btrfs ] || chattr +C "$folder"
}

# fs_type KIND: what mount and fsck call it.
fs_type() {
    case $1 in
    *-1k) echo "${1%-1k}" ;;
    btrfs-cow) echo btrfs ;;
    *) echo "$1" ;;
    esac
}

# fs_check KIND DEVICE: fsck of an unmounted file system, changing nothing.
fs_check() {
    case $1 in
    ext*) e2fsck -fn "$2" ;;
    xfs*) xfs_repair -n "$2" ;;
    btrfs*) btrfs check --readonly "$2" ;;
    f2fs) fsck.f2fs --dry-run "$2" ;;
    vfat) fsck.vfat -n "$2" ;;
    esac
}

# unmount FOLDER: udev, a loop device that ends with its last user, or an export may hold
# it for a moment longer. Who wants to know that nobody does calls umount.
unmount() {
    for _ in {1..300}; do
        ! umount "$1" 2>"$WORK/umount" || return 0
        sleep 0.2
    done
    cat "$WORK/umount"
    return 1
}

# fs_end: unmounts what fs_make put at $MNT, and makes sure that it is sound.
fs_end() {
    local device
    device=$(findmnt -nro SOURCE "$MNT")
    unmount "$MNT"
    fs_check "$FS_KIND" "$device" >"$WORK/fsck" 2>&1 || {
        comment <"$WORK/fsck"
        return 1
    }
}

# What is mounted below $WORK, innermost first.
our_mounts() {
    local mount found=''
    while read -r _ _ _ _ mount _; do
        [[ $mount != "$WORK/"* ]] || found=$mount$'\n'$found
    done </proc/self/mountinfo
    printf '%s' "$found"
}

# Files. All but the sparse and the fallocated one are fully written.

# pattern write|verify … : see pattern.py, which makes and knows again contents that
# depend on a seed and on the place in the file.
pattern() { program pattern.py "$@"; }

# make_file FILE BYTES [SEED]: as contiguous as the file system likes.
make_file() {
    rm -f -- "$1"
    pattern write "$1" 0 "$2" "${3:-1}"
    sync -- "$1"
}

# make_fragmented FILE BYTES [SEED]: its blocks alternate with those of FILE.other, which
# stays so that nothing can be joined again.
make_fragmented() {
    local disk small old
    rm -f -- "$1" "$1.other"
    # ext2 allocates hundreds of blocks ahead for each file, except for small ones, which
    # share a stock. Here every file is small.
    disk=$(findmnt -nro SOURCE -T "$(dirname "$1")")
    small=/sys/fs/ext4/${disk##*/}/mb_stream_req
    if [ -e "$small" ]; then
        old=$(<"$small")
        echo 1048576 >"$small"
    fi
    program fragment.py "$1" "$1.other" "$2" "${3:-1}"
    [ ! -e "$small" ] || echo "$old" >"$small"
    sync -- "$1"
    # By chance some pieces come to lie behind those that they follow.
    [ "$(extent_count "$1")" -ge $(($2 * 9 / (10 * $(stat -f -c %S -- "$1")))) ] || fail "$1 is in $(extent_count "$1") pieces"
}

make_sparse() { rm -f -- "$1" && truncate -s "$2" -- "$1"; }
make_fallocated() { rm -f -- "$1" && fallocate -l "$2" -- "$1" && sync -- "$1"; }

# make_reflinked FILE BYTES: FILE shares its blocks with FILE.other.
make_reflinked() {
    make_file "$@"
    cp --reflink=always -- "$1" "$1.other"
    sync -- "$1"
}

# extent_count FILE [BYTES]: how many pieces it, or its beginning, lies in, as the file
# system says.
extent_count() { program layout.py count "$@"; }

# fs_block FOLDER: the size of the blocks that the file system writes by itself. FAT's are
# sectors; what statfs tells is a cluster.
fs_block() {
    case $(stat -f -c %T "$1") in
    msdos) queue "$(findmnt -nro SOURCE -T "$1")" logical_block_size ;;
    *) stat -f -c %S "$1" ;;
    esac
}

# mappable_sectors FILE [OFFSET]: how many sectors from OFFSET on can be block-mapped. The
# last block of the file, where the file does not fill it, cannot.
mappable_sectors() {
    local block
    block=$(fs_block "$(dirname "$1")")
    echo $((($(stat -c %s -- "$1") / block * block - ${2:-0}) / 512))
}

# fill FOLDER: files of many sizes, 10 MiB of them. filled FOLDER: whether all of them are still there.
fill() { program tree.py "$1" >"$WORK/sums"; }
filled() { (cd "$1" && sha256sum --quiet --strict -c "$WORK/sums"); }

drop_caches() { sync && echo 3 >/proc/sys/vm/drop_caches; }
