# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What goes where. Sourced after lib.sh by scripts/install and scripts/uninstall, which so
# cannot disagree.

# shellcheck disable=SC2034 # for those who source it
ROOT=${DESTDIR-}
PREFIX=${PREFIX:-/usr/local}
[[ $PREFIX == /* ]] || die "PREFIX must be an absolute path, not $PREFIX"
TOOLS=$TOP/build/tools
# shellcheck disable=SC2034
DMLOSETUP=$PREFIX/sbin/dmlosetup
# systemd runs dmloop under this name, which makes it write units for /etc/dmlooptab.
# shellcheck disable=SC2034
GENERATOR=$PREFIX/lib/systemd/system-generators/dmloop-generator

# The pages of dmloop's commands.
COMMANDS="attach check detach grow list map prepare report stat"

# installed_files: mode, place in build/tools, place on the machine.
installed_files() {
    local command
    echo "755 dmloop $PREFIX/sbin/dmloop"
    echo "644 man/dm-loop.4 $PREFIX/share/man/man4/dm-loop.4"
    echo "644 man/dmlooptab.5 $PREFIX/share/man/man5/dmlooptab.5"
    echo "644 man/dmloop.8 $PREFIX/share/man/man8/dmloop.8"
    for command in $COMMANDS; do
        echo "644 man/dmloop-$command.8 $PREFIX/share/man/man8/dmloop-$command.8"
    done
    echo "644 completions/dmloop.bash $PREFIX/share/bash-completion/completions/dmloop"
    echo "644 completions/_dmloop $PREFIX/share/zsh/site-functions/_dmloop"
    echo "644 completions/dmloop.fish $PREFIX/share/fish/vendor_completions.d/dmloop.fish"
}

# dmsetup_path: where dmsetup is, as the link says it: by name alone in the same folder.
dmsetup_path() {
    if [ "$PREFIX" = /usr ]; then echo dmsetup; else echo /usr/sbin/dmsetup; fi
}

dmlosetup_is_ours() { [ "$(readlink "$ROOT$DMLOSETUP" || true)" = "$(dmsetup_path)" ]; }
