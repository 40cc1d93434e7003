#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 8G --cpus 1 --mem 1G --append module.sig_enforce=1
#
# Where the kernel wants signatures: what is said of a module without one, and that nothing is
# done with its tables.
. ./lib.sh

enforced() { [ "$(cat /sys/module/module/parameters/sig_enforce 2>/dev/null)" = Y ]; }
enforced || skip_all "this kernel takes modules without signatures"
[ -z "$(modinfo -F signer dm-loop)" ] || skip_all "the module is signed"

rejected() {
    kmsg_mark
    fails_with "Key was rejected by service" modprobe dm-loop
    kmsg_since | grep -qF "Loading of unsigned module is rejected"
}

unknown() {
    make_file "$MNT/file" 4096
    fails_with "Invalid argument" dmsetup create t0 --table "$(loop_table "$MNT/file" 0)"
    expect "" "$(list_devices)"
}

plan 2
fs_make ext4
check "the module is rejected" rejected
check "and tables with it" unknown
fs_end
