# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Hosts of files that are file-mapped, and such files; sourced after lib.sh.
#
# A host is a file system, mounted by host_begin, which sets FOLDER. It has one or more
# kinds of files, made by file_make: of each it is known why it is not block-mapped, how
# it is accessed by default, and what a new one reads as.

# shellcheck source=lib-nfs.sh
. "$HERE/lib-nfs.sh"

# Nobody makes its control device before that.
modprobe loop

# shellcheck disable=SC2034 # for the scripts
HOSTS=(ext4 xfs btrfs btrfs-cow f2fs vfat tmpfs overlay fscrypt nfs 9p)
FOLDER='' HOST=''

# kinds_of HOST
kinds_of() {
    case $1 in
    ext4 | f2fs) echo sparse fallocated ;;
    xfs | btrfs) echo sparse fallocated reflinked ;;
    tmpfs | overlay | nfs | 9p) echo sparse ;;
    btrfs-cow | vfat | fscrypt) echo written ;;
    esac
}

# reason_for HOST KIND: as `dmsetup status` has it.
reason_for() {
    case $1/$2 in
    tmpfs/* | overlay/* | nfs/* | 9p/*) echo no_blockdev ;;
    btrfs-cow/*) echo cow ;;
    fscrypt/*) echo encrypted ;;
    # Those it gives a place when it is asked for one.
    f2fs/fallocated) echo requested ;;
    */sparse) echo sparse ;;
    */fallocated) echo unwritten ;;
    xfs/reflinked) echo cow ;;
    btrfs/reflinked) echo fs_refused ;;
    *) echo requested ;;
    esac
}

# block_mapped_refused FILE REASON: and the message names the same reason.
block_mapped_refused() {
    local words
    case $2 in
    sparse) words="file is sparse" ;;
    unwritten) words="file has unwritten extents" ;;
    no_blockdev) words="file system has no block device" ;;
    fs_unsupported) words="file system is not supported" ;;
    fs_refused) words="file system refused" ;;
    cow) words="file is copied on write" ;;
    encrypted) words="file is encrypted" ;;
    verity) words="file is protected by fs-verity" ;;
    dax) words="file is on DAX" ;;
    misaligned) words="file layout is misaligned" ;;
    esac
    loop_refused EOPNOTSUPP "Cannot block-map: ${words?no such reason}" "${@:3}" "$1" 0 - block_mapped
}

# modes_of HOST: by default it is the first. Ciphertext has to be made somewhere: in the page
# cache, up to Linux 7.2 (where the block layer is an option of mounting, if it was built in),
# and in the block layer after that.
modes_of() {
    if [ "$1" = fscrypt ] &&
        { grep -qw fscrypt_dio_supported /proc/kallsyms || ! grep -qw fscrypt_set_bio_crypt_ctx /proc/kallsyms; }; then
        echo buffered
    else
        echo direct buffered
    fi
}

# features_for HOST KIND MODE: what a table must ask for, to have a file of KIND mapped
# in this way; nothing where that is the default.
features_for() {
    local modes
    read -ra modes <<<"$(modes_of "$1")"
    case $1/$2 in
    vfat/written | f2fs/fallocated) echo file_mapped ;;
    esac
    [ "$3" = "${modes[0]}" ] || echo "$3_io"
}

# host_lacks HOST: says why it cannot be had here, if so.
host_lacks() {
    case $1 in
    9p) findmnt -t 9p >/dev/null || echo "no folder of the host is mounted" ;;
    fscrypt) [ -e /sys/fs/ext4/features/encryption ] || echo "this kernel has no fscrypt" ;;
    esac
}

# host_begin HOST [DEVICE]: what an overlay lies on, OVERLAY_ON can say.
host_begin() {
    local device
    HOST=$1 FOLDER=$MNT
    device=${2:-$(disk 0)}
    case $1 in
    tmpfs) mount -t tmpfs -o size=256M tmpfs "$MNT" ;;
    fscrypt)
        # The kernel has a key for trying it out.
        mkfs.ext4 -qF -b 4096 -O encrypt -E lazy_itable_init=0,lazy_journal_init=0 "$device"
        mount -o test_dummy_encryption "$device" "$MNT"
        # shellcheck disable=SC2034 # for fs_end
        FS_KIND=ext4
        ;;
    overlay)
        fs_make "${OVERLAY_ON:-ext4}" "$device"
        mkdir "$MNT"/{lower,upper,work}
        FOLDER=$WORK/overlay
        mkdir -p "$FOLDER"
        mount -t overlay -o "lowerdir=$MNT/lower,upperdir=$MNT/upper,workdir=$MNT/work" overlay "$FOLDER"
        ;;
    nfs)
        fs_make ext4 "$device"
        nfs_serve "$MNT"
        FOLDER=$WORK/nfs
        nfs_mount "$FOLDER"
        ;;
    9p) FOLDER=$(mktemp -d "$(findmnt -t 9p -no TARGET | head -n 1)/dm-loop-test.XXXXXX") ;;
    *) fs_make "$1" "$device" ;;
    esac
}

# host_end: everything is away, and sound.
host_end() {
    case $HOST in
    tmpfs) unmount "$MNT" ;;
    overlay)
        unmount "$FOLDER"
        fs_end
        ;;
    nfs)
        unmount "$FOLDER"
        nfs_end
        fs_end
        ;;
    9p) rm -rf --one-file-system "$FOLDER" ;;
    *) fs_end ;;
    esac
    HOST='' FOLDER=''
}

# file_make KIND FILE BYTES: a new file on the host. is_new FILE START LENGTH [ORIGIN]:
# whether FILE, or a device that shows it from ORIGIN on, still reads as it did then.
file_make() {
    rm -f -- "$2" "$2.other"
    case $1 in
    sparse) make_sparse "$2" "$3" ;;
    fallocated) make_fallocated "$2" "$3" ;;
    reflinked) make_reflinked "$2" "$3" ;;
    written) make_file "$2" "$3" ;;
    esac
    NEW=$1
}
is_new() {
    local direct=()
    [[ $1 != /dev/* ]] || direct=(--direct)
    case $NEW in
    sparse | fallocated) pattern zeros "${direct[@]}" "$1" "$2" "$3" ;;
    *) pattern verify "${direct[@]}" "$1" "$2" "$3" 1 "${4:-0}" ;;
    esac
}

# kinds_count HOST…: how many kinds of files these have, past the page cache and through it.
kinds_count() {
    local host kind n=0
    for host; do
        for kind in $(kinds_of "$host"); do n=$((n + $(modes_of "$host" | wc -w))); done
    done
    echo "$n"
}

# each_kind DEVICE TEST HOST…: TEST KIND MODE for each of these, on its HOST, where $FILE is
# to be. TEST makes its results with try, which skips what cannot be had here.
each_kind() {
    local device=$1 test=$2 host kind mode
    shift 2
    for host; do
        LACK=$(host_lacks "$host")
        [ -n "$LACK" ] || host_begin "$host" "$device"
        # shellcheck disable=SC2034 # for TEST
        FILE=$FOLDER/file
        for kind in $(kinds_of "$host"); do
            for mode in $(modes_of "$host"); do
                TRIED="$host, $kind, $mode"
                "$test" "$kind" "$mode"
            done
        done
        [ -n "$LACK" ] || host_end
    done
}

# try NAME COMMAND…: check, in a test of each_kind.
try() { if [ -n "$LACK" ]; then skip "$TRIED: $1" "$LACK"; else check "$TRIED: $1" "${@:2}"; fi; }

# mapped_as NAME MODE REASON: how many bios are in flight is not for us to say.
mapped_as() {
    local got
    read -ra got <<<"$(dmsetup status "$1" | cut -d' ' -f4-)"
    expect "file $2 $3" "${got[*]:0:3}" "status of $1"
    [[ ${#got[@]} = 4 && ${got[3]} =~ ^[0-9]+$ ]] || fail "status of $1: ${got[*]}"
}

# memory NAME: KiB of the machine, as /proc/meminfo has it. cached: those of the page cache.
memory() { awk -v name="$1:" '$1 == name { print $2 }' /proc/meminfo; }
cached() { memory Cached; }

# allocated FILE: the KiB that it takes.
allocated() { echo $(($(stat -c %b -- "$1") / 2)); }

# loops_end: detaches the loop devices of files of this run.
loops_end() {
    local loop
    for loop in $(losetup -nO NAME,BACK-FILE |
        awk -v top="$WORK/" -v folder="${FOLDER:-$WORK}/" 'index($2, top) || index($2, folder) { print $1 }'); do
        losetup -d "$loop"
    done
}

# What finish does not know of: a server keeps its folder busy.
file_finish() {
    local status=$? name
    set +e
    loops_end
    if [ -n "$NFS_EXPORT" ]; then
        nfs_running || nfs_start
        while read -r name; do
            dmsetup resume "$name"
            dmsetup remove --retry "$name"
        done < <(list_devices)
        umount -f "$WORK/nfs"
        nfs_end
    fi >/dev/null 2>&1
    [ "$HOST" != 9p ] || rm -rf --one-file-system "$FOLDER"
    return "$status"
}
trap 'file_finish; finish' EXIT
