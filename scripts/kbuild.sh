# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# Which kernel the module is built for, and how. Sourced after lib.sh.
#
# The kernel is, in this order: --debug or --kernel VERSION; $KDIR; $KERNEL; the one
# that runs here, if modules in Rust can be built for it; Debian's, prepared.

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
