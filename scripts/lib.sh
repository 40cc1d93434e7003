# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What every script here shares: messages, progress, preconditions, and the
# cache. Sourced, never run.
#
# The cache is one folder outside the checkout ($DM_LOOP_CACHE). Each entry in
# it is a folder NAME-HASH, where HASH is that of its recipe. An entry counts
# only once its stamp file exists, which is the last thing its builder's caller
# writes: whatever a failed or interrupted build leaves behind has no stamp,
# and the next builder, who holds the entry's lock alone, begins by deleting it.

# shellcheck disable=SC2034 # used by the scripts that source this file
TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
CACHE=$(realpath -m -- "${DM_LOOP_CACHE:-/var/cache/dm-loop}")
ARCH=amd64
SUITE=trixie

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { say "$*"; exit 1; }

need_root() { [ "$(id -u)" = 0 ] || die "must be run as root"; }

# need_space MIB: refuses to begin what would fill the disk half-way.
need_space() {
    local free
    mkdir -p "$CACHE" || die "cannot make the cache folder $CACHE"
    free=$(df -Pm "$CACHE" | awk 'NR == 2 { print $4 }')
    [ "$free" -ge "$1" ] ||
        die "$CACHE has $free MiB free, $1 MiB are needed (DM_LOOP_CACHE=DIR moves the cache)"
}

# elapsed SECONDS: as m:ss
elapsed() { printf '%d:%02d' $(($1 / 60)) $(($1 % 60)); }

# Shows WHAT and the time so far until it is killed: in place on a terminal,
# one line each half minute elsewhere. Ends by itself if the script dies.
_progress() {
    local what=$1 owner=$2 start=$SECONDS next=30
    while sleep 1 && kill -0 "$owner" 2>/dev/null; do
        if [ -t 2 ]; then
            printf '\r%s (%s) ' "$what" "$(elapsed $((SECONDS - start)))" >&2
        elif [ $((SECONDS - start)) -ge $next ]; then
            next=$((next + 30))
            printf '%s (%s)\n' "$what" "$(elapsed $((SECONDS - start)))" >&2
        fi
    done
}

# What apt says then; nobody wants to read all of it.
NO_NETWORK='Temporary failure resolving|Could not resolve|Could not connect|Unable to connect|Connection timed out'

# step WHAT COMMAND…: runs COMMAND quietly, showing progress. On failure the end
# of its output is shown and the script ends.
step() {
    local what=$1 log start=$SECONDS status=0 printer
    shift
    log=$(mktemp)
    [ -t 2 ] || printf '%s\n' "$what" >&2
    _progress "$what" $$ >/dev/null &
    printer=$!
    # Not "|| status=$?": that would switch off set -e within the command.
    set +e
    (
        set -e
        "$@"
    ) >"$log" 2>&1
    status=$?
    set -e
    kill "$printer" 2>/dev/null || true
    wait "$printer" 2>/dev/null || true
    if [ $status != 0 ]; then
        [ ! -t 2 ] || printf '\n' >&2
        if grep -qE "$NO_NETWORK" "$log"; then
            rm -f "$log"
            die "no Debian mirror can be reached ($what)"
        fi
        tail -n 30 "$log" >&2
        rm -f "$log"
        die "failed after $(elapsed $((SECONDS - start))): $what"
    fi
    rm -f "$log"
    if [ -t 2 ]; then
        printf '\r\033[K%s: done in %s\n' "$what" "$(elapsed $((SECONDS - start)))" >&2
    else
        printf '%s: done in %s\n' "$what" "$(elapsed $((SECONDS - start)))" >&2
    fi
}

# recipe_hash FILE… [-- WORD…]: what identifies a build. Comments and blank lines
# do not, so that mending a comment does not cost anyone an hour.
recipe_hash() {
    local file
    {
        while [ $# -gt 0 ] && [ "$1" != -- ]; do
            file=$1
            shift
            sed -e 's/^[[:space:]]*//' -e '/^#/d' -e '/^$/d' "$file"
        done
        printf '%s\n' "$@"
    } | sha256sum | cut -c1-12
}

# debian_tree TREE PACKAGES [MMDEBSTRAP-ARGUMENT…]: a minimal Debian with PACKAGES, a
# list separated by white space. In a mount namespace of its own: /proc, /sys and /dev are
# mounted in the tree meanwhile, and whoever deletes an unfinished one must not find them.
debian_tree() {
    local tree=$1 packages
    packages=$(xargs <<<"$2" | tr ' ' ,)
    shift 2
    unshare --mount --propagation private --pid --fork --kill-child -- \
        mmdebstrap --variant=minbase --architectures="$ARCH" --include="$packages" "$@" "$SUITE" "$tree"
}

# toolchain: what compiles kernels here. Crates of one rustc are of no use to another,
# so this is part of every kernel's recipe.
toolchain() { cat "$("$TOP/scripts/build-tree")/toolchain"; }

# with_lock NAME COMMAND…: one at a time per NAME, across all runs on this machine.
with_lock() {
    local name=$1
    shift
    mkdir -p "$CACHE/locks"
    (
        exec {fd}>>"$CACHE/locks/$name"
        flock "$fd"
        "$@"
    )
}

# cache_entry NAME HASH MIB BUILDER [ARG…]: sets ENTRY to the folder of the entry,
# calling BUILDER with that folder first if it is not there. The calling process
# and its children keep a shared lock, so that nobody deletes what is in use.
cache_entry() {
    local name=$1 hash=$2 mib=$3 fd
    shift 3
    ENTRY=$CACHE/$name-$hash
    mkdir -p "$CACHE/locks" || die "cannot make the cache folder $CACHE"
    while :; do
        exec {fd}>>"$CACHE/locks/$name-$hash"
        flock -s "$fd"
        if [ -e "$ENTRY/.complete" ]; then
            touch "$ENTRY/.complete"
            return
        fi
        exec {fd}>&-
        _build_entry "$name" "$hash" "$mib" "$@"
    done
}

# hold PATH: a shared lock on the entry that PATH is or lies in, for as long as this
# process and its children live.
hold() {
    local entry=${1#"$CACHE/"} fd
    exec {fd}>>"$CACHE/locks/${entry%%/*}"
    flock -s "$fd"
}

# The builder runs in a subshell: whichever way it ends, its half-made folder goes.
_build_entry() (
    set -e
    name=$1 hash=$2 mib=$3
    shift 3
    exec {fd}>>"$CACHE/locks/$name-$hash"
    if ! flock -n "$fd"; then
        say "waiting for another run that makes $name"
        flock "$fd"
    fi
    [ -e "$ENTRY/.complete" ] && exit 0
    need_root
    need_space "$mib"
    rm -rf --one-file-system "$ENTRY"
    trap 'rm -rf --one-file-system "$ENTRY"' EXIT
    trap 'exit 130' INT TERM HUP
    mkdir -p "$ENTRY"
    "$1" "$ENTRY" "${@:2}"
    touch "$ENTRY/.complete"
    trap - EXIT
    _prune_entries "$name" "$hash"
)

# Siblings of an entry (same name, other recipe) go when nobody has used them for
# a week and nobody holds them: another checkout may still want them.
_prune_entries() {
    local old
    for old in "$CACHE/$1"-????????????; do
        [ "$old" != "$CACHE/$1-$2" ] || continue
        [ -z "$(find "$old" -maxdepth 1 -name .complete -mtime -7)" ] || continue
        (
            exec {fd}>>"$CACHE/locks/${old##*/}"
            flock -n "$fd" && rm -rf --one-file-system "$old"
        ) || true
    done
}
