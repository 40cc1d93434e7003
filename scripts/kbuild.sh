# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Which kernel the module is built for, and how. Sourced after lib.sh.
#
# The kernel that one builds for is, in this order: --debug or --kernel VERSION; $KDIR;
# $KERNEL; the one that runs here, if modules in Rust can be built for it; Debian's, prepared.

# Rust in its configuration is not enough: Debian's headers have that, but not the
# compiled crates.
builds_rust() {
    grep -qsxF 'CONFIG_RUST=y' "$1/include/config/auto.conf" &&
        compgen -G "$1/rust/libkernel.rmeta" >/dev/null
}

# select_kernel [ARG…]: takes the options above from ARGs and sets
#   RELEASE   its release
#   KDIR      its build folder, or empty if it must be used through the sandbox
#   FOLDER    the folder of a prepared kernel, or empty
#   KBUILD    the command that runs kbuild for this module, to which targets are added
#   OUT       where kbuild puts what it makes
#   REST      the arguments that are left
# and keeps the output folder locked: two builds in one would trip over each other.
select_kernel() {
    local version=${KERNEL-} flags fd running
    running=/lib/modules/$(uname -r)/build
    FOLDER='' REST=() KDIR=${KDIR-}
    while [ $# -gt 0 ]; do
        case $1 in
        --kernel) version=$2 KDIR='' && shift ;;
        --debug) FOLDER=$("$TOP/scripts/debug-kernel" "$version") KDIR='' ;;
        *) REST+=("$1") ;;
        esac
        shift
    done
    [ -n "$KDIR$FOLDER$version" ] || ! builds_rust "$running" || KDIR=$running
    if [ -n "$KDIR" ]; then
        [ -d "$KDIR" ] || die "no kernel build folder $KDIR"
        builds_rust "$KDIR" || die "$KDIR lacks the compiled Rust crates (rust/*.rmeta)"
        RELEASE=$(<"$KDIR/include/config/kernel.release")
        KBUILD=(make -C "$KDIR")
    else
        [ -n "$FOLDER" ] || FOLDER=$("$TOP/scripts/kernel" "$version")
        hold "$FOLDER"
        RELEASE=$(<"$FOLDER/release")
        read -ra flags <"$FOLDER/flags"
        KBUILD=("$TOP/scripts/sandbox" make -C "$FOLDER/build" "${flags[@]}")
    fi
    OUT=$TOP/build/$RELEASE
    KBUILD+=("M=$TOP" "MO=$OUT" "-j$(nproc)")
    mkdir -p "$OUT"
    exec {fd}>>"$OUT/.lock"
    flock "$fd"
}

# newest_built [PREFIX]: the newest release of which there is a module here, of those that
# begin with PREFIX: 7.3 is not 7.30. The debugging kernel must be asked for.
newest_built() {
    local module release
    for module in "$TOP"/build/*/dm-loop.ko; do
        [ -e "$module" ] || continue
        release=${module%/*} release=${release##*/}
        case $1:$release in
        :*-debug) ;;
        :* | "$1:$1" | "$1:$1"[!0-9]*) echo "$release" ;;
        esac
    done | sort -V | tail -n 1
}

# select_built [--kernel VERSION]: for those who take what was built and make nothing. Sets
# RELEASE, OUT, and KDIR and KBUILD as above if the module is to be taken through kbuild. Of
# several it is that of --kernel, $KDIR or $KERNEL, else of the kernel that runs, else the newest.
select_built() {
    local version=${KERNEL-} running fd
    running=$(uname -r)
    KDIR=${KDIR-}
    case ${1-} in
    --kernel) version=${2?--kernel needs a value} KDIR='' ;;
    ?*) die "unknown option $1" ;;
    esac
    if [ -z "$KDIR$version" ] && [ -e "$TOP/build/$running/dm-loop.ko" ]; then
        version=$running
        ! builds_rust "/lib/modules/$running/build" || KDIR=/lib/modules/$running/build
    fi
    if [ -n "$KDIR" ]; then
        [ -e "$KDIR/include/config/kernel.release" ] || die "no kernel build folder $KDIR"
        RELEASE=$(<"$KDIR/include/config/kernel.release")
    else
        RELEASE=$(newest_built "$version")
    fi
    OUT=$TOP/build/${RELEASE:-${version:-RELEASE}}
    [ -e "$OUT/dm-loop.ko" ] || die "there is no build/${OUT##*/}/dm-loop.ko: run make first"
    KBUILD=(make -C "$KDIR" "M=$TOP" "MO=$OUT")
    # Not while it is being built.
    [ ! -e "$OUT/.lock" ] || { exec {fd}<"$OUT/.lock" && flock -s "$fd"; }
}
