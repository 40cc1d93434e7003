# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What the benchmarks in guests share. Sourced after lib.sh.

# bench_options ARG…: takes the options of every benchmark from ARGs and leaves the rest
# in REST. QUICK is what to hand on to the guest's half.
bench_options() {
    RELEASE='' MODULE=() RAW='' QUICK=() REST=()
    while [ $# -gt 0 ]; do
        case $1 in
        --quick)
            # shellcheck disable=SC2034 # for those who source this file
            QUICK=(--quick)
            ;;
        --kernel | --module | --raw)
            [ $# -gt 1 ] || die "$1 needs a value"
            case $1 in
            --kernel) RELEASE=$2 ;;
            --module) MODULE=(--module "$2") ;;
            --raw) RAW=$2 ;;
            esac
            shift
            ;;
        *) REST+=("$1") ;;
        esac
        shift
    done
}

# shellcheck disable=SC2317 # step calls it
_build() { "$TOP/scripts/build-module" --kernel "$RELEASE"; }

# bench_prepare: what guests need is made, and the module in MODULE is of RELEASE. Who runs
# guests in subshells calls it before.
bench_prepare() {
    need_root
    "$TOP/scripts/host-packages"
    RELEASE=$("$TOP/scripts/kernel" --release "$RELEASE")
    # A new machine shows the long steps behind this one by themselves.
    "$TOP/scripts/kernel" "$RELEASE" >/dev/null
    [ ${#MODULE[@]} = 0 ] || return 0
    step "building dm-loop.ko for $RELEASE" _build
    MODULE=(--module "$TOP/build/$RELEASE/dm-loop.ko")
}

# bench_guest FILE… -- [VM-OPTION…] -- COMMAND…: runs COMMAND in a guest whose /share has
# copies of FILEs, and keeps the figures it leaves there. Exit status: COMMAND's.
bench_guest() {
    local share status=0 vm=()
    bench_prepare
    share=$(mktemp -d)
    # shellcheck disable=SC2064 # the folder of now
    trap "rm -rf '$share'" EXIT
    while [ "$1" != -- ]; do
        cp "$TOP/$1" "$share/"
        shift
    done
    shift
    while [ "$1" != -- ]; do
        vm+=("$1")
        shift
    done
    shift
    "$TOP/scripts/vm" --kernel "$RELEASE" "${MODULE[@]}" "${vm[@]}" --share "$share" -- "$@" || status=$?
    [ -z "$RAW" ] || cp "$share/figures" "$RAW"
    return "$status"
}

# bench_add FILE ARG…: as bench_guest ARG…, for one guest of several: its figures go to the
# end of FILE.
bench_add() {
    local all=$1 status
    shift
    RAW=$(mktemp)
    # In a shell of its own: bench_guest ends with a trap.
    set +e
    (
        set -e
        bench_guest "$@"
    )
    status=$?
    set -e
    cat "$RAW" >>"$all"
    rm -f "$RAW"
    return "$status"
}
