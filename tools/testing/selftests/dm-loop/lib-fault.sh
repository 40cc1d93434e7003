# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Faults that a debugging kernel injects; sourced after lib.sh.

DEBUGFS=/sys/kernel/debug
mountpoint -q "$DEBUGFS" || mount -t debugfs debugfs "$DEBUGFS"

# faults_needed: ends the script where this kernel cannot have allocations fail.
faults_needed() {
    [ -e /proc/self/fail-nth ] || skip_all "this kernel injects no faults"
    if [ ! -d "$DEBUGFS/failslab" ] || [ ! -d "$DEBUGFS/fail_page_alloc" ]; then
        skip_all "this kernel has no failing allocations"
    fi
}

# fault NAME VALUE: of both kinds of allocations.
fault() {
    local kind
    for kind in failslab fail_page_alloc; do
        [ ! -e "$DEBUGFS/$kind/$1" ] || echo "$2" >"$DEBUGFS/$kind/$1"
    done
}

# faults_any VERBOSE: of whatever size, and also such that may wait for memory. The log tells
# of each with VERBOSE 1, and how it came about with 2.
faults_any() {
    fault ignore-gfp-wait N
    fault ignore-gfp-highmem N
    fault min-order 0
    fault verbose "$1"
}

# faults_end: none any more.
faults_end() {
    fault probability 0
    fault times 0
    fault task-filter N
    fault require-start 0
    # Only this stands for "no matter where".
    fault require-end 0xffffffffffffffff
    fault verbose 0
}

# module_text: where the code of dm-loop lies: first and last address.
module_text() {
    grep '\[dm_loop\]$' /proc/kallsyms | awk '$2 == "t" || $2 == "T" { print $1 }' | sort | sed -n '1p;$p' | xargs
}
