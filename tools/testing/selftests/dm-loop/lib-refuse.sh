# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Refusals, and that they leave no trace; sourced by the tests of refusals, which begin with
# refusals_begin.

# shellcheck source=lib-lock.sh
. "$HERE/lib-lock.sh"

# How dmsetup words an errno.
said_for() {
    case $1 in
    EPERM) echo "Operation not permitted" ;;
    ENOENT) echo "No such file or directory" ;;
    EACCES) echo "Permission denied" ;;
    EBUSY) echo "Device or resource busy" ;;
    ENOTDIR) echo "Not a directory" ;;
    EIO) echo "Input/output error" ;;
    EINVAL) echo "Invalid argument" ;;
    ETXTBSY) echo "Text file busy" ;;
    EROFS) echo "Read-only file system" ;;
    ENAMETOOLONG) echo "File name too long" ;;
    ELOOP) echo "Too many levels of symbolic links" ;;
    EOPNOTSUPP) echo "Operation not supported" ;;
    *) fail "what is $1?" ;;
    esac
}

# A refusal takes no longer than this.
REFUSAL_SECONDS=60
# What runs the dmsetup that is to be refused, where that matters.
AS=()

# The device that is refused its tables. (Loading one is much faster than making a device.)
# From here on $KMSG reads what is new in the kernel log.
refusals_begin() {
    modprobe dm-loop
    dmsetup create refused --notable
    exec {KMSG}</dev/kmsg
}

news() { kmsg_rest "$KMSG" | sed -n 's/^[0-9]*,[0-9]*,[^;]*;//p'; }

# refused ERRNO MESSAGE TABLE [DMSETUP OPTION…]: TABLE cannot be loaded.
refused() {
    local errno=$1 message=$2 table=$3
    shift 3
    refused_by "$errno" "$message" "$table" load refused "$@"
}

# refused_by ERRNO MESSAGE TABLE COMMAND NAME [OPTION…]: dmsetup's COMMAND must fail in time,
# with ERRNO in its words, with MESSAGE and ERRNO in the kernel log, and with one line there
# from the module itself. Each word of MENTIONED must be in that.
refused_by() {
    local errno=$1 message=$2 table=$3 said status=0 log word
    shift 3
    news >/dev/null
    said=$(timeout -k 1 "$REFUSAL_SECONDS" "${AS[@]}" dmsetup "$@" --table "$table" 2>&1) || status=$?
    case $status in
    124 | 137) fail "it hangs: $table" ;;
    esac
    [ "$status" != 0 ] || fail "accepted: $table"
    [[ $said == *"failed: $(said_for "$errno")"* ]] || fail "expected $errno for: $table: $said"
    log=$(news)
    [[ $log == *"loop: $message (-$errno)"* ]] ||
        fail "expected '$message (-$errno)' for: $table: the log says: $log"
    log=$(grep "^dm_loop: " <<<"$log")
    expect 1 "$(wc -l <<<"$log")" "lines of the module in the log"
    for word in ${MENTIONED:-}; do
        [[ $log == *"$word"* ]] || fail "the log does not name '$word': $log"
    done
}

# cannot_create ERRNO MESSAGE TABLE: as refused, for a new device, of which nothing is left.
cannot_create() {
    refused_by "$@" create refused2
    ! dmsetup info refused2 >/dev/null 2>&1 || fail "a device is left"
    [ ! -e /dev/mapper/refused2 ]
}

# trace FILE: what a refusal must leave as it was.
trace() {
    cksum <"$1"
    stat -c '%s %.9Y %.9Z %a %u %g %h' -- "$1"
    lsattr -d -- "$1" 2>/dev/null || true
}

# file_refused ERRNO MESSAGE [--readonly] FILE OFFSET [SECTORS|-] [FEATURE…]: as refused; the
# file is as it was, and can be written to. Set SEALED where it never could.
file_refused() {
    local errno=$1 message=$2 options=() before
    shift 2
    while [[ $1 == --* ]]; do options+=("$1") && shift; done
    before=$(trace "$1")
    MENTIONED="$1 ${MENTIONED:-}" refused "$errno" "$message" "$(loop_table "$@")" "${options[@]}"
    expect "$before" "$(trace "$1")" "$1 after it was refused"
    [ -n "${SEALED:-}" ] || unclaimed "$1"
}

# not_block_mapped MESSAGE [--readonly] FILE [OFFSET [SECTORS]]: file_refused for block_mapped.
not_block_mapped() {
    local message=$1 options=()
    shift
    while [[ $1 == --* ]]; do options+=("$1") && shift; done
    file_refused EOPNOTSUPP "Cannot block-map: $message" "${options[@]}" \
        "$1" "${2:-0}" "${3:--}" block_mapped
}
