# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# dmloop, as scripts/check-guest puts it beside the scripts that say --tools; sourced after
# lib.sh.

DMLOOP=$HERE/dmloop
[ -x "$DMLOOP" ] || { echo "Bail out! there is no $DMLOOP (scripts/build-tools builds it)" && exit 1; }
dmloop() { "$DMLOOP" "$@"; }

# dmloop_fails CODE TEXT ARG…: dmloop must end with exit code CODE and say TEXT, and leave as
# many devices as there were.
dmloop_fails() {
    local code=$1 text=$2 said status=0 devices
    shift 2
    devices=$(list_devices)
    said=$("$DMLOOP" "$@" 2>&1) || status=$?
    expect "$code" "$status" "exit code of dmloop $* ($said)"
    grep -qF -- "$text" <<<"$said" || fail "expected '$text' from: dmloop $*: $said"
    expect "$devices" "$(list_devices)" "devices after dmloop $*"
}

# dmloop_exits CODE ARG…: it must end with that code; what it prints is ours to look at.
dmloop_exits() {
    local code=$1 status=0
    shift
    "$DMLOOP" "$@" || status=$?
    expect "$code" "$status" "exit code of dmloop $*"
}

# interrupt DELAY SIGNAL ARG…: dmloop gets SIGNAL after so long; with 0, before it has done
# anything. Sets STATUS; what it complains of is in $WORK/said.
# shellcheck disable=SC2034 # for those who source this file
interrupt() {
    local delay=$1 signal=$2 worker
    shift 2
    # What is in the background would ignore the one of Ctrl-C. And where there is one CPU, whoever
    # sends the signal is to have it first.
    nice -n 19 env --default-signal=INT "$DMLOOP" "$@" >/dev/null 2>"$WORK/said" &
    worker=$!
    [[ $delay != *[1-9]* ]] || sleep "$delay"
    kill -"$signal" "$worker" 2>/dev/null || true
    STATUS=0
    wait "$worker" 2>/dev/null || STATUS=$?
}
