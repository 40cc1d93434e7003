# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What becomes of a file that somebody tries to change; sourced by the tests of the lock.

# claimed FILE: the file is locked, as those of swap space are.
claimed() { fails_with "Text file busy" truncate -s 0 "$1"; }

# unclaimed FILE: it is not: it can be written to, cut and renamed. (Its last byte may change.)
unclaimed() {
    local size
    size=$(stat -c %s -- "$1")
    dd if=/dev/zero of="$1" conv=notrunc oflag=append bs=512 count=1 status=none
    [ "$size" = 0 ] || truncate -s $((size - 1)) -- "$1"
    truncate -s "$size" -- "$1"
    mv -- "$1" "$1.moved"
    mv -- "$1.moved" "$1"
}

# attempt FILE OTHER OP…: a line for each OP, see attempt.py.
attempt() { program attempt.py "$@"; }

# all_end_in OUTCOME FILE OTHER OP…: each OP must end in OUTCOME ("done", EPERM …).
all_end_in() {
    local outcome=$1 file=$2 other=$3
    shift 3
    expect "$(printf "%s $outcome\n" "$@")" "$(attempt "$file" "$other" "$@")" "what came of it"
}

# What every file system can do to a file, and what only some can.
# shellcheck disable=SC2034 # for those who source this file
OPS_EVERYWHERE=(write append direct-write sendfile copy-range truncate ftruncate open-truncating
    map-shared)
ops_of() {
    case $1 in
    ext4*) echo allocate allocate-beyond punch zero collapse insert move-extents ;;
    ext3 | ext2) echo punch ;;
    xfs) echo allocate allocate-beyond punch zero collapse insert unshare reflink-from reflink-onto dedupe-from dedupe-onto ;;
    btrfs) echo allocate allocate-beyond punch zero reflink-from reflink-onto dedupe-from dedupe-onto ;;
    f2fs) echo allocate allocate-beyond punch zero collapse insert ;;
    vfat) echo allocate-beyond ;;
    esac
}

# snapshot FILE: what of it must not change: size, times, owner, place on the disk.
snapshot() {
    stat -c '%s %.9Y %.9Z %a %u %h' -- "$1"
    program layout.py show "$1"
}

# hold [--readonly] FILE: a process opens FILE and maps it, and answers held.
hold() {
    rm -f "$WORK/held.in" "$WORK/held.out"
    mkfifo "$WORK/held.in" "$WORK/held.out"
    exec {HELD_IN}<>"$WORK/held.in" {HELD_OUT}<>"$WORK/held.out"
    # Opened both ways above, so that this does not wait; the process must not keep the
    # writing end, or it would never see the end of its input.
    HELD_FILE=${*: -1}
    python3 "$HERE/attempt.py" --hold "$@" <"$WORK/held.in" >"$WORK/held.out" {HELD_IN}>&- {HELD_OUT}>&- &
    HOLDER=$!
    expect holding "$(head_of_held)"
}

head_of_held() { local line && IFS= read -r -t 60 line <&"$HELD_OUT" && echo "$line"; }

# held OUTCOME OP…: what comes of OP on the descriptor and the mapping of hold.
held() {
    local outcome=$1 op
    shift
    for op; do
        echo "$op" >&"$HELD_IN"
        expect "$op $outcome" "$(head_of_held)"
    done
}

# release: the process of hold ends, and lets go of the file. Memory reclaim may look through
# its mappings at that moment, and then the last of them outlives it a little: a lease is not
# granted before all writers are gone.
release() {
    exec {HELD_IN}>&- {HELD_OUT}>&-
    wait "$HOLDER"
    python3 - "$HELD_FILE" <<'PYTHON'
import fcntl, os, sys, time
fd = os.open(sys.argv[1], os.O_RDONLY)
for _ in range(600):
    try:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        break
    except BlockingIOError:
        time.sleep(0.1)
else:
    sys.exit("somebody still has it open for writing")
PYTHON
}
