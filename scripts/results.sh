# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# How the parts of `make check` report. Sourced after lib.sh.

# result pass|fail|skip NAME [WHY]: shows one result, and counts it with the others
# of this run if scripts/check asked for that.
result() {
    local line
    case $1 in
    pass) line="ok - $2" ;;
    fail) line="not ok - $2" ;;
    skip) line="ok - $2 # SKIP" ;;
    *) die "result: $1?" ;;
    esac
    printf '%s%s\n' "$line" "${3:+ ($3)}"
    printf '%s\t%s\n' "$1" "$2" >>"${RESULTS:-/dev/null}"
}

# comment <TEXT: shows what belongs to the result before it, and keeps it for the summary.
comment() {
    local line
    while IFS= read -r line || [ "$line" ]; do
        printf '# %s\n' "$line"
        printf 'why\t%s\n' "$line" >>"${RESULTS:-/dev/null}"
    done
}

# expect NAME COMMAND…: a result that passes if COMMAND succeeds. Its output is shown
# only if not.
expect() {
    local name=$1 output
    shift
    if output=$("$@" 2>&1); then
        result pass "$name"
    else
        result fail "$name"
        comment <<<"$output"
    fi
}

# expect_nothing NAME COMMAND…: passes if COMMAND finds nothing to print.
expect_nothing() {
    local name=$1 output
    shift
    output=$("$@" 2>&1) || true
    if [ -z "$output" ]; then
        result pass "$name"
    else
        result fail "$name"
        comment <<<"$output"
    fi
}

# Every file of the project: what git has, or would have. PATTERNs narrow it down.
# shellcheck disable=SC2120 # callers elsewhere give some
project_files() { git -C "$TOP" ls-files --cached --others --exclude-standard --deduplicate -- "$@"; }

# Those that are shell scripts, by their first line or their ending.
shell_scripts() {
    local file
    # shellcheck disable=SC2119 # all of them
    project_files | while read -r file; do
        [ -f "$TOP/$file" ] || continue
        case $file in
        *.sh) echo "$file" ;;
        *) ! head -n 1 "$TOP/$file" | grep -aqE '^#!/(bin/|usr/bin/env )(ba)?sh' || echo "$file" ;;
        esac
    done
}
