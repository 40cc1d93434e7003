# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What the tests have in common; each begins with
#
#   . ./lib.sh
#   plan N
#
# and then reports N results through check, ok, not_ok or skip. The exit status follows
# kselftest: 0 passed, 1 failed (also when fewer or more results came than planned, or
# the script ended early), 4 all skipped. At the end of a script, however it ends, every
# dm device it left is removed and everything mounted below $WORK is unmounted.
#
# lib-fs.sh (file systems) and lib-dm.sh (devices) are sourced from here.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# Nothing is left beside the scripts.
[ -n "${PYTHONPYCACHEPREFIX-}" ] || export PYTHONDONTWRITEBYTECODE=1
KSFT_FAIL=1 KSFT_SKIP=4
PLANNED=0 PASSED=0 FAILED=0 SKIPPED=0

[ "$(id -u)" = 0 ] || { echo "1..0 # SKIP must be root" && exit "$KSFT_SKIP"; }

# As files are kept that are swapped to, or made devices of.
umask 077

# A folder of this run: everything made goes below it.
WORK=$(mktemp -d /tmp/dm-loop-test.XXXXXX)
# Here the file systems of the tests are mounted, unless they say otherwise.
MNT=$WORK/mnt
mkdir "$MNT"

# The programs in Python: see interpreter.py.
mkfifo "$WORK/requests"
exec {REPLIES}< <(exec python3 -S "$HERE/interpreter.py" <"$WORK/requests")
INTERPRETER=$!
exec {REQUESTS}>"$WORK/requests"

# program NAME ARG…: runs one of them, and waits for it. (Not for the background: it
# would not wait alone. `python3 "$HERE/NAME"` does.)
program() {
    local asker status output
    # A request redirects the standard output while it is sent.
    exec {output}>&1
    printf '%s\0' "$(($# + 2))" "$BASHPID" "$output" "$@" >&"$REQUESTS"
    if ! read -r asker status <&"$REPLIES" || [ "$asker" != "$BASHPID" ]; then
        echo "no answer about $1" >&2
        exit 1
    fi
    exec {output}>&-
    return "$status"
}

# shellcheck source=lib-fs.sh
. "$HERE/lib-fs.sh"
# shellcheck source=lib-dm.sh
. "$HERE/lib-dm.sh"

# plan N: how many results will come.
plan() {
    PLANNED=$1
    echo "TAP version 13"
    echo "1..$PLANNED"
}

result() { echo "$1 $((PASSED + FAILED + SKIPPED)) - $2"; }
ok() { PASSED=$((PASSED + 1)) && result ok "$1"; }
not_ok() { FAILED=$((FAILED + 1)) && result "not ok" "$1"; }
skip() { SKIPPED=$((SKIPPED + 1)) && result ok "$1 # SKIP ${2:-}"; }

# comment <TEXT: as diagnostics.
comment() { sed 's/^/# /'; }

# check NAME COMMAND…: one result: passes if COMMAND (often a function) succeeds. It runs
# in a subshell under `set -e`, so that any command that fails in it, fails it; what it
# printed is shown then, and devices and mounts that came with it are cleared away. In
# it, skip_this WHY ends it as skipped.
check() {
    local name=$1 status devices mounts
    shift
    devices=$(list_devices)
    mounts=$(our_mounts)
    rm -f "$WORK/skipped"
    set +e
    (
        set -eE
        trap 'echo "${BASH_SOURCE[0]##*/}:$LINENO: failed ($?): $BASH_COMMAND"' ERR
        "$@"
    ) >"$WORK/output" 2>&1
    status=$?
    set -e
    # Not by the status alone: any command may end with 4.
    if [ -e "$WORK/skipped" ]; then
        skip "$name" "$(<"$WORK/skipped")"
        return
    fi
    case $status in
    0) ok "$name" ;;
    *)
        not_ok "$name"
        comment <"$WORK/output"
        clear_away "$devices" "$mounts" || true
        ;;
    esac
}

# For functions under check.
skip_this() { echo "$*" >"$WORK/skipped" && exit "$KSFT_SKIP"; }
fail() { echo "$*" && return 1; }

# skip_all WHY: ends the script before its plan.
skip_all() {
    echo "TAP version 13"
    echo "1..0 # SKIP $*"
    PLANNED=-1
    exit "$KSFT_SKIP"
}

# expect WANTED GOT [WHAT]
expect() { [ "$1" = "$2" ] || fail "${3:-value}: expected '$1', got '$2'"; }

# fails_with TEXT COMMAND…: COMMAND must fail and say TEXT (a fixed string, such as
# "Text file busy").
fails_with() {
    local text=$1 said
    shift
    if said=$("$@" 2>&1); then
        fail "succeeded, but should have failed with '$text': $*"
    fi
    grep -qF -- "$text" <<<"$said" || fail "expected '$text' from: $*: $said"
}

# wait_until COMMAND…: gives COMMAND two minutes to succeed.
wait_until() {
    for _ in {1..1200}; do
        ! "$@" || return 0
        sleep 0.1
    done
    fail "still not so: $*"
}

# The kernel log. kmsg_mark remembers where it ends; kmsg_since prints the messages that
# came after that. (Read by sequence number: writing marks into it is rate-limited.)
kmsg_records() {
    local log
    exec {log}</dev/kmsg
    kmsg_rest "$log"
    exec {log}<&-
}
# kmsg_rest FD: what FD, which is open on /dev/kmsg, has not read yet. Who has been overtaken by
# the log is told so (EPIPE), and goes on with the oldest that is left.
kmsg_rest() {
    while ! dd iflag=nonblock bs=8192 status=none <&"$1" 2>"$WORK/dd" && grep -q "Broken pipe" "$WORK/dd"; do
        :
    done
}
kmsg_mark() { KMSG_SEEN=$(kmsg_records | awk -F, '/^[0-9]+,[0-9]+,/ { n = $2 } END { print n + 0 }'); }
kmsg_since() {
    kmsg_records | awk -F, -v seen="${KMSG_SEEN:?}" \
        '/^[0-9]+,[0-9]+,/ { if ($2 > seen) { sub(/^[^;]*;/, ""); print } }'
}

# The end of a script, also after an error or a signal.
finish() {
    local status=$? total
    trap - EXIT
    set +e
    cleanup_devices
    kill "$INTERPRETER"
    rm -rf --one-file-system "$WORK"
    [ "$PLANNED" -ge 0 ] || exit "$status"
    total=$((PASSED + FAILED + SKIPPED))
    [ "$status" = 0 ] || echo "Bail out! ended with status $status after $total of $PLANNED results"
    echo "# Totals: pass:$PASSED fail:$FAILED xfail:0 xpass:0 skip:$SKIPPED error:0"
    [ "$total" = "$PLANNED" ] || echo "# planned $PLANNED results, got $total"
    if [ "$status" != 0 ] || [ "$FAILED" != 0 ] || [ "$total" != "$PLANNED" ]; then
        exit "$KSFT_FAIL"
    fi
    [ "$PASSED" != 0 ] || exit "$KSFT_SKIP"
    exit 0
}
trap finish EXIT
trap 'exit 1' INT TERM HUP
