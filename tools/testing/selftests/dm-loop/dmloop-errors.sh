#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 8G --disk 2G,logical_block_size=4096 --cpus 1 --mem 1G --tools
#
# What dmloop attach and detach refuse, and where they find less than usual.
. ./lib.sh
. ./lib-lock.sh
. ./lib-tools.sh

SIZE=$((1 << 20))
FILE=$MNT/file

refused_files() {
    dmloop_fails 1 "No such file or directory" attach "$MNT/nowhere"
    dmloop_fails 1 "is a folder" attach "$MNT"
    dmloop_fails 1 "is a block device already" attach "$(disk 0)"
    dmloop_fails 1 "only regular files" attach /dev/null
    : >"$WORK/empty"
    dmloop_fails 1 "the file is empty" attach "$WORK/empty"
    printf %511s x >"$WORK/small"
    dmloop_fails 1 "less than a sector" attach "$WORK/small"
    make_file "$FILE" "$SIZE"
    dmloop_fails 1 "not a multiple of 512" attach "$FILE" -o 1000
    dmloop_fails 1 "not before the end" attach "$FILE" -o 1M
    dmloop_fails 2 "a size is a number" attach "$FILE" -o x
    dmloop_fails 2 "larger than any file" attach "$FILE" -o 16E
    dmloop_fails 1 "leaves nothing" attach "$FILE" --sizelimit 0
    dmloop_fails 2 "cannot be the name" attach "$FILE" "a b"
    dmloop_fails 2 "cannot be the name" attach "$FILE" "a/b"
    dmloop_fails 2 "cannot be the name" attach "$FILE" control
    dmloop_fails 2 "cannot be the name" attach -- "$FILE" -x
    dmloop_fails 2 "cannot be used with" attach "$FILE" --block-mapped --direct-io on
    unclaimed "$FILE"
}

refused_by_the_kernel() {
    make_sparse "$FILE" "$SIZE"
    dmloop_fails 3 "To mend it: dmloop prepare $FILE" attach --block-mapped "$FILE"
    make_fallocated "$FILE" "$SIZE"
    dmloop_fails 3 "never written. To mend it: dmloop prepare" attach --block-mapped "$FILE"
    make_file "$FILE" $((SIZE + 512))
    dmloop_fails 3 "It may do with --sizelimit $SIZE" attach --block-mapped "$FILE"
    make_file "$FILE" "$SIZE"
    exec {writer}>>"$FILE"
    dmloop_fails 5 "something has it open for writing" attach --block-mapped "$FILE"
    exec {writer}>&-
    chmod 600 "$FILE"
    mkswap -q "$FILE"
    swapon "$FILE"
    dmloop_fails 5 "is in use for swap" attach "$FILE"
    dmloop_fails 5 "is in use for swap" check "$FILE"
    swapoff "$FILE"
    dmloop attach "$FILE" one
    dmloop_fails 5 "is in use by one" attach "$FILE"
    dmloop_fails 5 "there is a device one already" attach "$FILE" one
    dmloop detach one
    unclaimed "$FILE"
}

# Where the log does not say why, the exit code is right all the same.
without_log() {
    make_sparse "$FILE" "$SIZE"
    trap 'umount /dev/kmsg' EXIT
    mount --bind /dev/null /dev/kmsg
    dmloop_fails 3 "cannot be block-mapped: the kernel log says why" attach --block-mapped "$FILE"
    dmloop_exits 3 check "$FILE" >/dev/null
    dmloop attach "$FILE" x
    dmloop_fails 5 "is in use by x" attach "$FILE"
    dmloop detach x
}

# For what the file system is, or does.
never_block_mapped() {
    local file=$WORK/other/file
    mkdir -p "$WORK/other"
    mount -t tmpfs tmpfs "$WORK/other"
    make_file "$file" "$SIZE"
    dmloop_fails 3 "cannot be block-mapped, because" attach --block-mapped "$file"
    unmount "$WORK/other"
    fs_make btrfs-cow "$(disk 1)" "$WORK/other"
    make_file "$file" "$SIZE"
    dmloop_fails 3 "To mend it: dmloop prepare $file" attach --block-mapped "$file"
    unmount "$WORK/other"
    make_file "$FILE" $((SIZE + 100))
    dmloop attach --file-mapped "$FILE" x 2>"$WORK/said"
    grep -qF "the last bytes are left out" "$WORK/said"
    dmloop detach x
}

# stays_so BECAUSE ADVICE: neither the kernel nor prepare makes another file of it.
stays_so() {
    local file=$WORK/other/file command
    sha256sum "$file" >"$WORK/sums"
    for command in "attach --read-only --block-mapped" prepare "prepare --size 2M"; do
        # shellcheck disable=SC2086 # words
        dmloop_fails 3 "because $1" $command "$file"
        # shellcheck disable=SC2086 # words
        dmloop_fails 3 "$2" $command "$file"
    done
    sha256sum --quiet -c "$WORK/sums"
    unmount "$WORK/other"
}

encrypted() {
    mkdir -p "$WORK/other"
    mkfs.ext4 -qF -O encrypt "$(disk 1)"
    mount -o test_dummy_encryption "$(disk 1)" "$WORK/other" || skip_this "this kernel has no fscrypt"
    make_file "$WORK/other/file" "$SIZE"
    dmloop_exits 3 check "$WORK/other/file" | grep -qF "(encrypted)"
    stays_so "its file system encrypts it" "use dm-crypt on the device"
}

sealed() {
    mkdir -p "$WORK/other"
    mkfs.ext4 -qF -O verity "$(disk 1)"
    mount "$(disk 1)" "$WORK/other"
    make_file "$WORK/other/file" "$SIZE"
    fsverity enable "$WORK/other/file" || skip_this "this kernel has no fs-verity"
    stays_so "it is sealed by fs-verity" "make a copy, which is not sealed"
}

# Its disk reads and writes 4096 bytes at least.
larger_blocks() {
    local file=$WORK/other/file
    fs_make ext4 "$(disk 1)" "$WORK/other"
    make_file "$file" "$SIZE"
    dmloop_fails 3 "the disk has larger blocks" attach --block-mapped -o 512 "$file"
    dmloop_fails 3 "the disk has larger blocks" attach --block-mapped --sizelimit 512 "$file"
    dmloop_fails 1 "use --direct-io off" attach --direct-io on -o 512 "$file"
    dmloop attach --block-mapped -o 4K --sizelimit 8K "$file" x
    dmloop detach x
    unmount "$WORK/other"
}

# The node goes with the device.
removed() { [ -z "$(list_devices)" ] && [ ! -e /dev/mapper/x ]; }

in_use() {
    make_file "$FILE" $((16 << 20))
    dmloop attach "$FILE" x
    mkfs.ext4 -qF /dev/mapper/x
    mkdir -p "$WORK/x"
    mount /dev/mapper/x "$WORK/x"
    dmloop_fails 5 "mounted at $WORK/x (umount it)" detach x
    umount "$WORK/x"
    mkswap -q /dev/mapper/x
    swapon /dev/mapper/x
    dmloop_fails 5 "used for swap (swapoff)" detach x
    swapoff /dev/mapper/x
    dmsetup create above --table "0 8 linear /dev/mapper/x 0"
    dmloop_fails 5 "used by the device above" detach x
    remove above
    python3 -c 'import time; time.sleep(300)' </dev/mapper/x &
    wait_until grep -qx python3 "/proc/$!/comm"
    dmloop_fails 5 "open in python3 (process $!)" detach x
    expect "" "$(dmloop detach --deferred x)"
    expect 1 "$(dmloop list -n -o AUTOCLEAR)"
    kill $!
    wait $! 2>/dev/null || true
    wait_until removed
    dmloop attach "$FILE" x
    # Whoever has it open is not a process.
    modprobe loop
    losetup -f /dev/mapper/x
    dmloop_fails 5 "x is in use" detach x
    losetup -D
    wait_until dmloop detach x
}

several() {
    local n status=0
    for n in a b c; do
        make_file "$MNT/$n" "$SIZE"
        dmloop attach "$MNT/$n" "$n"
    done
    dmsetup create zero --table "0 8 zero"
    dmloop detach a nowhere c >"$WORK/said" 2>&1 || status=$?
    expect 4 "$status"
    grep -qF "there is no device nowhere" "$WORK/said"
    expect "b zero" "$(list_devices | sort | xargs)"
    dmloop_fails 4 "none of the target" detach zero
    dmloop_fails 4 "there is no device" detach /dev/mapper/nowhere
    dmloop_fails 4 "there is no device" detach "$(disk 1)"
    dmloop_fails 2 "required" detach
    # One that is in use stays, and the others go.
    dmloop attach "$MNT/a" a
    dmloop attach "$MNT/c" c
    exec {reader}</dev/mapper/b
    status=0
    dmloop detach --all >"$WORK/said" 2>&1 || status=$?
    expect 5 "$status"
    grep -qF "b is in use: open in" "$WORK/said"
    expect 1 "$(wc -l <"$WORK/said")"
    expect "b zero" "$(list_devices | sort | xargs)"
    exec {reader}<&-
    dmloop detach --all
    expect zero "$(list_devices)"
    dmloop detach --all
    remove zero
}

# Without the module it says what is missing.
no_module() {
    make_file "$FILE" "$SIZE"
    [ ! -d /sys/module/dm_loop ] || rmmod dm_loop
    trap 'rm -f /etc/modprobe.d/no-dm-loop.conf' EXIT
    echo "install dm-loop /bin/false" >/etc/modprobe.d/no-dm-loop.conf
    dmloop_fails 6 "install the module dm-loop for $(uname -r)" attach "$FILE" x
    rm /etc/modprobe.d/no-dm-loop.conf
    dmloop attach "$FILE" x
    dmloop_exits 1 list 2>"$WORK/said" >/dev/full
    grep -qF "cannot write the output" "$WORK/said"
    dmloop detach x
}

# Without device-mapper itself: the kernel does not know the node.
no_device_mapper() {
    local command
    make_file "$FILE" "$SIZE"
    mknod "$WORK/nothing" c 10 99
    trap 'umount /dev/mapper/control' EXIT
    mount --bind "$WORK/nothing" /dev/mapper/control
    for command in "attach $FILE" "detach x" list "check $FILE" "stat x" "map x" "grow x 1M"; do
        # shellcheck disable=SC2086 # words
        dmloop_exits 6 $command 2>"$WORK/said"
        grep -qF "device-mapper is not there (modprobe dm_mod)" "$WORK/said" || fail "$command: $(<"$WORK/said")"
    done
    dmloop map "$FILE" | grep -qF "1M in"
}

# Who is not root is told so, whatever it is.
not_root() {
    local command
    make_file "$FILE" "$SIZE"
    chmod 755 "$WORK" "$MNT"
    for command in "attach $FILE" "detach x" list "check $FILE" "stat x" "map x" "report -o /tmp/x.tar" "grow x 1M"; do
        # shellcheck disable=SC2086 # words
        not_root_fails "only root may do that" $command
    done
    not_root_fails "are you root?" prepare "$FILE"
    chown 65534 "$FILE" "$MNT"
    # Whose file it is may prepare it; only the kernel cannot be asked.
    make_sparse "$FILE.sparse" "$SIZE"
    chown 65534 "$FILE.sparse"
    as_nobody prepare --quiet "$FILE.sparse" 2>"$WORK/said"
    grep -qF "the kernel was not asked" "$WORK/said"
    chown 0 "$MNT"
    as_nobody map "$FILE" | grep -qF "1M in"
    make_file "$FILE" "$SIZE"
    chown 0 "$FILE"
    chmod 666 "$FILE"
    not_root_fails "is not yours: only its owner and root may do that" prepare "$FILE"
}
as_nobody() { setpriv --reuid 65534 --clear-groups "$DMLOOP_COPY" "$@"; }
not_root_fails() {
    local text=$1 status=0 said
    shift
    said=$(as_nobody "$@" 2>&1) || status=$?
    expect 1 "$status" "exit code of dmloop $* ($said)"
    grep -qF -- "$text" <<<"$said" || fail "expected '$text' from: dmloop $*: $said"
}

# The node is made and removed here, then.
without_udev() {
    make_file "$FILE" "$SIZE"
    trap '/usr/lib/systemd/systemd-udevd --daemon' EXIT
    udevadm control --exit
    sleep 1
    rm -f /run/udev/control
    dmloop attach "$FILE" x
    is_block x
    pattern verify --direct /dev/mapper/x 0 "$SIZE" 1
    dmloop detach x
    [ ! -e /dev/mapper/x ]
}

help() {
    local command
    dmloop --version | grep -qE '^dmloop [0-9]+\.[0-9]+\.[0-9]+$'
    dmloop --help | grep -qF "Exit codes:"
    for command in attach detach list check prepare map grow stat report; do
        dmloop "$command" --help | grep -qF "Usage: dmloop $command"
    done
    dmloop_fails 2 "Usage" nonsense
    dmloop_fails 2 "Usage"
}

# Where others may read.
DMLOOP_COPY=/usr/local/bin/dmloop-test
cp "$DMLOOP" "$DMLOOP_COPY"
fs_make ext4
plan 15
check "what is no file to attach" refused_files
check "what the kernel refuses, and what to do" refused_by_the_kernel
check "a log that may not be read" without_log
check "a disk with larger blocks" larger_blocks
check "what is never block-mapped" never_block_mapped
check "encrypted files" encrypted
check "sealed files" sealed
check "a device in use" in_use
check "several devices, one of which is not there" several
check "without the module" no_module
check "without device-mapper" no_device_mapper
check "not as root" not_root
check "without udev" without_udev
check "help" help
check "afterwards there is no semaphore" test -z "$(ipcs -s | awk '$1 ~ /^0x0d4d/')"
fs_end
rm "$DMLOOP_COPY"
