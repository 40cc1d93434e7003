#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 2G --disk 2G --disk 2G --cpus 1 --mem 1G --append memmap=320M!640M --tools --timeout 5400
#
# Each command on the pages for admins does and prints what the page says. examples.py tells
# what a command is; lib-examples.sh what each section finds when it begins.
export PATH=$PATH:$PWD
. ./lib.sh
. ./lib-tools.sh
. ./lib-examples.sh

# They write to /srv, /etc and the like.
[ -e /run/vm/command ] || skip_all "this is for a guest of scripts/vm only"

PAGES=$HERE/Documentation
# Pages with commands for admins, and others.
FOR_ADMINS=(dm-loop dmloop)
FOR_OTHERS=(design index performance safety testing)

mounts() { awk '{ print $2 }' /proc/mounts | sort; }

# tidy: whatever a section has left, also one that broke off.
tidy() {
    set +e
    [ ! -e "$WORK/pid" ] || kill "$(<"$WORK/pid")"
    swapoff -a
    if [ -n "$NFS_EXPORT" ]; then umount -f /home && nfs_end; fi
    for _ in 1 2 3; do
        mounts | without "$MOUNTS" | sort -r | xargs -r umount
        losetup -D
        list_devices | xargs -r dmsetup remove --retry
    done
    rm -f "$WORK/pid" /var/tmp/img0 /var/tmp/s /tmp/containers /root/disk.img
} >/dev/null 2>&1

# section NAME: its commands, in a shell of their own. It leaves nothing behind.
section() {
    local before last=()
    ARGUMENTS=("$PAGES/${1%%/*}.rst" "${1#*/}")
    [ -z "${AFTER[$1]:-}" ] || last=("$(declare -f "${AFTER[$1]}")"$'\n'"${AFTER[$1]}")
    trap tidy EXIT
    "${BEFORE[$1]:?nothing is said of what stands before it}"
    before=$(mounts)
    program examples.py run "${ARGUMENTS[@]}" "$WORK/done" "${last[@]}"
    expect "" "$(list_devices)$(losetup -nO NAME)$(tail -n +2 /proc/swaps)" "devices and swap that are left"
    expect "$before" "$(mounts)" "mounts"
}

# Whatever examples.py takes for a command: these lines look like some.
commands_of() { grep -nE '^[[:space:]]+([#$%]|>>>) ' "$1" | sed "s,:.*,,; s,^,${1##*/}:,"; }

all_were_run() {
    local page
    for page in "${FOR_ADMINS[@]}"; do
        expect "" "$(commands_of "$PAGES/$page.rst" | without "$(<"$WORK/done")")" "lines that were not run"
    done
}

all_pages_are_known() {
    expect "$(printf '%s.rst\n' "${FOR_ADMINS[@]}" "${FOR_OTHERS[@]}" | sort)" "$(cd "$PAGES" && printf '%s\n' *.rst)" "pages"
}

# No set-up stands there for nothing.
all_sections_are_there() {
    expect "" "$(printf '%s\n' "${!BEFORE[@]}" | without "$(printf '%s\n' "${SECTIONS[@]}")")" "sections that are not on a page"
}

# sample TEXT <LINES: a page of these, run. It must fail and say TEXT, or pass if TEXT is empty.
sample() {
    local command=(program examples.py run "$WORK/sample.rst" Sample "$WORK/sample.done")
    { printf 'Sample\n======\n\n' && cat; } >"$WORK/sample.rst"
    : >"$WORK/sample.done"
    if [ -n "$1" ]; then fails_with "$1" "${command[@]}"; else "${command[@]}"; fi
}

right_pages() {
    sample "" <<'PAGE'
Some text, then a block::

    # cat <<'TEXT'
    one
    TEXT
    one
    # for n in 1 2; do
      echo $n
    done
    1
    2
    # cd /tmp
    # pwd
    /tmp

    # ls /nowhere
    ls: cannot access '/nowhere': No such file or directory
    # echo a 259:3 b 259:4 c 259:3
    a 254:0 b 254:1 c 254:0
    # echo 254:1 \
    and no more
    254:1 and no more

.. code-block:: none

    <start> <length>

.. code-block:: none
   :caption: /tmp/dm-loop-sample

    # a comment
    last

::

    # tail -n 1 /tmp/dm-loop-sample
    last
PAGE
    expect "" "$(commands_of "$WORK/sample.rst" | without "$(<"$WORK/sample.done")")" "lines that were not run"
    [ ! -e /tmp/dm-loop-sample ]
}

wrong_pages() {
    sample "the page says" <<<$'::\n\n    # echo one\n    two'
    sample "the page says" <<<$'::\n\n    # echo one'
    sample "the page says" <<<$'::\n\n    # true\n    one'
    sample "without a word" <<<$'::\n\n    # false'
    sample "the page says" <<<$'::\n\n    # false && echo one\n    one'
    sample "the shell has ended" <<<$'::\n\n    # exit\n    # true'
    # A place-holder is a number of that form, one and the same throughout.
    sample "the page says" <<<$'::\n\n    # echo 259:x\n    254:0'
    sample "the page says" <<<$'::\n\n    # echo 259:0 259:1\n    254:0 254:0'
    sample "the page says" <<<$'::\n\n    # echo 259:0 259:0\n    254:0 254:1'
    sample "the page says" <<<$'::\n\n    # echo 259:0\n    254:0\n    # echo 259:1\n    254:0'
    # What is no transcript says so.
    sample "begins with no command" <<<$'::\n\n    <start> <length>'
    sample "or with half of one" <<<$'::\n\n    # cat <<TEXT\n    one'
    sample 'only "code-block:: none"' <<<$'.. code-block:: console\n\n    # true'
    sample 'only "code-block:: none"' <<<$'.. parsed-literal::\n\n    # true'
    sample "a second section" <<<$'::\n\n    # true\n\nSample\n======'
}

# Commands that escape examples.py are found all the same.
hidden_commands() {
    local text
    for text in $'.. code-block:: none\n\n    # true' $'A paragraph:\n\n    # true' $'.. a comment\n\n    # true'; do
        sample "" <<<$'::\n\n    # true\n\n'"$text"
        expect 1 "$(commands_of "$WORK/sample.rst" | without "$(<"$WORK/sample.done")" | wc -l)" "lines that were not run"
    done
}

mapfile -t SECTIONS < <(cd "$PAGES" && program examples.py list "${FOR_ADMINS[@]/%/.rst}")
MOUNTS=$(mounts)
: >"$WORK/done"
plan $((${#SECTIONS[@]} + 6))
check "a right page passes" right_pages
check "wrong pages do not" wrong_pages
check "commands that are hidden are found" hidden_commands
check "every page is for admins or for others" all_pages_are_known
check "every section that is prepared is there" all_sections_are_there
for name in "${SECTIONS[@]}"; do
    check "$name" section "$name"
done
check "every command was run, but for sections that are skipped" all_were_run
