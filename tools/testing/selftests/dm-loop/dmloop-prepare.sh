#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 8G --disk 2G,logical_block_size=4096 --cpus 1 --mem 1G --timeout 2400 --tools
#
# dmloop prepare: files can be block-mapped afterwards, and contain what they did before,
# whenever it is interrupted and whoever comes in between.
. ./lib.sh
. ./lib-lock.sh
. ./lib-tools.sh

SIZE=$((4 << 20))
LARGE=$((256 << 20))
FILE=$MNT/file

# make_holey FILE: data here and there, some of it on no block's border.
make_holey() {
    make_sparse "$1" "$SIZE"
    pattern write "$1" 4096 8192 1 -- write "$1" 1000001 70001 2 -- write "$1" $((SIZE - 512)) 512 3
    sync -- "$1"
}

# make_half FILE: allocated, and written in part.
make_half() {
    make_fallocated "$1" "$SIZE"
    pattern write "$1" 4096 8192 1 -- write "$1" 1000001 70001 2
    sync -- "$1"
}

make_linked() { make_reflinked "$1" "$SIZE"; }
make_whole() { make_file "$1" "$SIZE"; }

kinds_of() {
    case $1 in
    xfs | btrfs*) echo whole holey half linked ;;
    vfat | ext2) echo whole holey ;;
    *) echo whole holey half ;;
    esac
}

# prepared FILE: as large as it is, and as it reads, it becomes one that can be block-mapped.
prepared() {
    sha256sum "$MNT"/file* >"$WORK/sums"
    stat -c '%s %Y %a %u %g' -- "$1" >"$WORK/stat"
    dmloop_exits 0 prepare "$1" >"$WORK/said"
    grep -qF "would be block-mapped" "$WORK/said"
    drop_caches
    sha256sum --quiet --strict -c "$WORK/sums"
    stat -c '%s %Y %a %u %g' -- "$1" | cmp - "$WORK/stat"
    expect "$2" "$(find "$MNT" -mindepth 1 -not -name lost+found -printf '%f\n' | sort | xargs)"
    dmloop attach --block-mapped "$1" x
    dmloop detach x
    sha256sum --quiet --strict -c "$WORK/sums"
    # What is prepared already stays where it is.
    snapshot "$1" >"$WORK/before"
    dmloop prepare --quiet "$1"
    snapshot "$1" | cmp - "$WORK/before"
}

every_kind() {
    local kind names
    fs_make "$1"
    for kind in $(kinds_of "$1"); do
        "make_$kind" "$FILE"
        # Not that of now.
        touch -d 2001-02-03 "$FILE"
        case $1 in
        vfat) ;;
        # For root alone, and still not as a new file is.
        f2fs) chmod 400 "$FILE" ;;
        *)
            chmod 640 "$FILE"
            chown 12:34 "$FILE"
            ;;
        esac
        names="file"
        [ "$kind" != linked ] || names="file file.other"
        prepared "$FILE" "$names"
        rm -f "$FILE" "$FILE.other"
    done
    fs_end
}

# A file that is new, and one that gets larger.
new_files() {
    local kind
    # As most shells have it.
    umask 022
    for kind in ext4 btrfs-cow f2fs vfat; do
        fs_make "$kind"
        dmloop prepare --quiet --size 3M "$FILE"
        [ "$kind" = vfat ] || expect 600 "$(stat -c %a "$FILE")" "mode of a new file"
        expect $((3 << 20)) "$(stat -c %s "$FILE")"
        pattern zeros "$FILE" 0 $((3 << 20))
        pattern write "$FILE" 0 65536 5
        dmloop prepare --quiet --size 5M "$FILE"
        expect $((5 << 20)) "$(stat -c %s "$FILE")"
        pattern verify "$FILE" 0 65536 5
        pattern zeros "$FILE" 65536 $(((5 << 20) - 65536))
        dmloop attach --block-mapped "$FILE" x
        dmloop detach x
        (cd "$MNT" && dmloop prepare --size 1000000 odd 2>"$WORK/said")
        grep -qF -- "--sizelimit 9" "$WORK/said"
        expect "file odd" "$(find "$MNT" -type f -printf '%f\n' | sort | xargs)"
        fs_end
    done
}

# As long as a name can be, whether its draft has one meanwhile (vfat), gets one in the end, or
# changes places with another file.
long_names() {
    local kind long
    long=$(printf '%0255d' 0)
    for kind in ext4 vfat btrfs-cow; do
        fs_make "$kind"
        dmloop prepare --quiet --size 1M "$MNT/$long"
        expect "$long" "$(find "$MNT" -type f -printf '%f\n')"
        dmloop_fails 1 "File name too long" prepare --size 1G "$MNT/${long}0"
        rm "$MNT/$long"
        if [ "$kind" = btrfs-cow ]; then
            make_file "$MNT/$long" "$SIZE"
            dmloop prepare --quiet "$MNT/$long"
            pattern verify "$MNT/$long" 0 "$SIZE" 1
            expect "$long" "$(find "$MNT" -type f -printf '%f\n')"
        fi
        fs_end
    done
}

# What belongs to the file besides its contents.
attributes() {
    fs_make btrfs-cow
    make_file "$FILE" "$SIZE"
    setfattr -n user.color -v blue "$FILE"
    setfacl -m u:12:r "$FILE"
    setcap cap_net_raw+ep "$FILE" 2>/dev/null || setfattr -n trusted.x -v y "$FILE"
    getfattr -d -m - --absolute-names "$FILE" >"$WORK/before"
    dmloop prepare --quiet "$FILE"
    getfattr -d -m - --absolute-names "$FILE" | cmp - "$WORK/before"
    lsattr "$FILE" | cut -d' ' -f1 | grep -q C
    ln "$FILE" "$FILE.link"
    dmloop prepare --quiet "$FILE"
    rm "$FILE.link" "$FILE"
    make_file "$FILE" "$SIZE"
    ln "$FILE" "$FILE.link"
    dmloop_fails 1 "has 2 names" prepare "$FILE"
    pattern verify "$FILE" 0 "$SIZE" 1
    fs_end
}

# begin_prepare [ARG…]: in the background; goes on when the writing has begun. Sets WORKER.
begin_prepare() {
    "$DMLOOP" prepare "$@" "$FILE" >"$WORK/said" 2>&1 &
    WORKER=$!
    until_writing
}
until_writing() {
    local written=0
    while [ "$written" -lt 4000000 ]; do
        read -r _ written < <(grep ^wchar: "/proc/$WORKER/io") || fail "it has ended: $(<"$WORK/said")"
    done
}

# make_large: of which most is still to be written.
make_large() {
    make_sparse "$FILE" "$LARGE"
    pattern write "$FILE" 4096 65536 1 -- write "$FILE" $((LARGE - 70000)) 65536 2
    sync "$FILE"
}
is_large() {
    expect "$LARGE" "$(stat -c %s "$FILE")"
    pattern verify "$FILE" 4096 65536 1 -- verify "$FILE" $((LARGE - 70000)) 65536 2
    pattern zeros "$FILE" 0 4096 -- zeros "$FILE" 69632 $((LARGE - 70000 - 69632))
    expect file "$(find "$MNT" -mindepth 1 -not -name lost+found -printf '%f\n' | xargs)"
}

interrupted() {
    local signal code status
    fs_make "$1"
    for signal in INT:130 TERM:130 KILL:137; do
        make_large
        code=${signal#*:} status=0
        begin_prepare
        kill -"${signal%:*}" "$WORKER"
        wait "$WORKER" 2>/dev/null || status=$?
        expect "$code" "$status" "exit code after $signal ($(<"$WORK/said"))"
        [ "$code" = 137 ] || grep -qF "run it again to go on" "$WORK/said"
        is_large
        unclaimed "$FILE"
    done
    dmloop prepare --quiet "$FILE"
    is_large
    dmloop attach --block-mapped "$FILE" x
    dmloop detach x
    fs_end
}

# interrupted_by SIGNAL TEXT ARG…: once the writing has begun, and says TEXT.
interrupted_by() {
    local signal=$1 text=$2 status=0
    shift 2
    begin_prepare "$@"
    kill -"$signal" "$WORKER"
    wait "$WORKER" 2>/dev/null || status=$?
    expect 130 "$status" "exit code after $signal ($(<"$WORK/said"))"
    grep -qF "$text; run it again to go on" "$WORK/said"
}

# A file that is new is not there, and one that gets larger begins as it did.
larger_interrupted() {
    local signal
    fs_make "$1"
    for signal in INT TERM HUP; do
        interrupted_by "$signal" "no file is made" --size "$LARGE"
        expect "" "$(find "$MNT" -mindepth 1 -not -name lost+found)" "files after $signal"
    done
    # On vfat it is the kernel that writes what is behind the old end.
    if [ "$1" != vfat ]; then
        make_file "$FILE" "$SIZE"
        interrupted_by TERM "and may be longer" --size "$LARGE"
        pattern verify "$FILE" 0 "$SIZE" 1
        unclaimed "$FILE"
    fi
    make_file "$FILE" "$SIZE"
    dmloop prepare --quiet --size "$LARGE" "$FILE"
    expect "$LARGE" "$(stat -c %s "$FILE")"
    pattern verify "$FILE" 0 "$SIZE" 1 -- zeros "$FILE" "$SIZE" $((LARGE - SIZE))
    fs_end
}

# Who started it under nohup wants it to go on.
without_a_terminal() {
    fs_make ext4
    make_large
    (trap '' HUP && exec "$DMLOOP" prepare "$FILE") >"$WORK/said" 2>&1 &
    WORKER=$!
    until_writing
    kill -HUP "$WORKER"
    wait "$WORKER"
    is_large
    fs_end
}

# on_a_terminal ARG…: what it shows there.
on_a_terminal() { TERM=xterm script -qec "stty cols 100 && $DMLOOP prepare $* $FILE" /dev/null </dev/null | tr '\r' '\n'; }
progress() {
    fs_make ext4
    make_large
    on_a_terminal >"$WORK/said"
    grep -E 'writing.* [1-9][0-9]?% of 25[0-9]\.[0-9]+ MiB' "$WORK/said"
    make_large
    on_a_terminal --quiet >"$WORK/said"
    ! grep % "$WORK/said" || fail "it is not quiet"
    is_large
    fs_end
}

# Whoever opens the file meanwhile waits for a moment, and finds and leaves what he should.
opened() {
    local status=0 writer
    fs_make "$1"
    make_large
    begin_prepare
    # It stands still until somebody is there.
    kill -STOP "$WORKER"
    python3 "$HERE/pattern.py" write "$FILE" 100000000 65536 7 &
    writer=$!
    wait_until grep -q BREAKING /proc/locks
    kill -CONT "$WORKER"
    wait "$writer"
    wait "$WORKER" || status=$?
    expect 5 "$status" "exit code ($(<"$WORK/said"))"
    grep -qF "another program has opened the file" "$WORK/said"
    pattern verify "$FILE" 100000000 65536 7
    expect file "$(find "$MNT" -mindepth 1 -not -name lost+found -printf '%f\n' | xargs)"
    dmloop prepare --quiet "$FILE"
    pattern verify "$FILE" 100000000 65536 7 -- verify "$FILE" 4096 65536 1
    fs_end
}

in_use() {
    fs_make ext4
    make_holey "$FILE"
    exec {reader}<"$FILE"
    dmloop_fails 5 "is open in another program" prepare "$FILE"
    exec {reader}<&-
    dmloop attach "$FILE" x
    dmloop_fails 5 "is attached as x: detach it first" prepare "$FILE"
    dmloop detach x
    losetup -f "$FILE"
    dmloop_fails 5 "is open in another program" prepare "$FILE"
    losetup -D
    make_whole "$FILE"
    chmod 600 "$FILE"
    mkswap -q "$FILE"
    swapon "$FILE"
    dmloop_fails 5 "is in use for swap" prepare "$FILE"
    swapoff "$FILE"
    unclaimed "$FILE"
    fs_end
}

impossible() {
    fs_make ext4
    ln -s nowhere "$MNT/link"
    dmloop_fails 1 "$MNT/link is a link to nowhere, which does not exist" prepare --size 1G "$MNT/link"
    expect 0 "$(find "$MNT" -type f | wc -l)"
    rm "$MNT/link"
    dmloop_fails 1 "--size SIZE $FILE makes it" prepare "$FILE"
    dmloop_fails 1 "No such file" prepare --size 1M "$MNT/nowhere/file"
    dmloop_fails 1 "is a folder" prepare "$MNT"
    : >"$FILE"
    dmloop_fails 1 "is empty" prepare "$FILE"
    make_holey "$FILE"
    dmloop_fails 1 "does not make files smaller" prepare --size 1M "$FILE"
    dmloop_fails 2 "a size is a number" prepare --size x "$FILE"
    chattr +i "$FILE"
    dmloop_fails 1 "Operation not permitted" prepare "$FILE"
    chattr -i "$FILE"
    dmloop prepare --quiet "$FILE"
    mkdir "$WORK/tmpfs"
    mount -t tmpfs tmpfs "$WORK/tmpfs"
    make_sparse "$WORK/tmpfs/file" "$SIZE"
    dmloop_fails 3 "copy it to ext2" prepare "$WORK/tmpfs/file"
    dmloop_fails 3 "copy it to ext2" prepare --size 1M "$WORK/tmpfs/new"
    [ ! -e "$WORK/tmpfs/new" ]
    umount "$WORK/tmpfs"
    fs_end
}

# Nothing is begun that there is no room for.
no_room() {
    local size
    dmsetup create small --table "0 262144 linear $(disk 1) 0"
    fs_make "$1" /dev/mapper/small
    make_holey "$FILE"
    sha256sum "$FILE" >"$WORK/sums"
    dmloop_fails 1 "make room on the file system" prepare --size 1G "$FILE"
    sha256sum --quiet -c "$WORK/sums"
    dmloop_fails 1 "make room on the file system" prepare --size 1G "$MNT/new"
    expect file "$(find "$MNT" -mindepth 1 -not -name lost+found -printf '%f\n' | xargs)"
    dmloop prepare --quiet "$FILE"
    sha256sum --quiet -c "$WORK/sums"
    # There is room for the file, and none for what leads to its blocks.
    case $1 in
    ext2 | f2fs)
        size=$((SIZE + $(stat -f -c '%f * %S' "$MNT")))
        dmloop_fails 1 "make room on the file system" prepare --size "$size" "$FILE"
        sha256sum --quiet -c "$WORK/sums"
        ;;
    esac
    fs_end
    remove small
}

# On bad blocks nothing is said to be written, and what can be read stays as it is.
bad_blocks() {
    local start end
    dmsetup create bad --table "0 262144 linear $(disk 1) 0"
    fs_make ext4 /dev/mapper/bad
    make_half "$FILE"
    sha256sum "$FILE" >"$WORK/sums"
    start=$(dmloop map --no-picture "$FILE" | awk 'NR == 3 { print $3 / 512 }')
    end=$((start + SIZE / 512))
    retable bad "0 $start linear $(disk 1) 0"$'\n'"$start $((SIZE / 512)) error"$'\n'"$end $((262144 - end)) linear $(disk 1) $end"
    dmloop_fails 1 "$FILE cannot be synced: Input/output error" prepare "$FILE"
    retable bad "0 262144 linear $(disk 1) 0"
    drop_caches
    sha256sum --quiet -c "$WORK/sums"
    prepared "$FILE" file
    fs_end
    remove bad
}

# Nobody makes its control device before that.
modprobe loop
plan 27
for kind in ext4 ext4-1k ext2 xfs btrfs btrfs-cow f2fs vfat; do
    check "every kind of file on $kind" every_kind "$kind"
done
check "new files" new_files
check "long names" long_names
check "attributes of a copy" attributes
for kind in ext4 btrfs-cow; do
    check "interrupted on $kind" interrupted "$kind"
    check "opened meanwhile on $kind" opened "$kind"
done
for kind in ext4 vfat; do
    check "interrupted on $kind while it makes a file, or a file longer" larger_interrupted "$kind"
done
check "without a terminal" without_a_terminal
check "progress" progress
for kind in ext4 btrfs-cow ext2 f2fs vfat; do
    check "no room on $kind" no_room "$kind"
done
check "bad blocks" bad_blocks
check "files in use" in_use
check "what cannot be prepared" impossible
