#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 8G --disk 2G,logical_block_size=4096 --cpus 1 --mem 1G --tools
#
# dmloop report: what is in it, and what --redact leaves of that.
. ./lib.sh
. ./lib-tools.sh

SIZE=$((1 << 20))
FILE=$MNT/file

report() {
    local name
    mkdir "$MNT/secret folder"
    make_file "$MNT/secret folder/private.img" "$SIZE"
    dmloop attach "$MNT/secret folder/private.img" confidential
    make_file "$FILE" "$SIZE"
    dmloop attach "$FILE" other
    cd "$WORK"
    # The guest has none.
    printf 'CONFIG_%s\n' BLK_DEV_DM=m BLK_DEV_LOOP=m SOUND=m >"/boot/config-$(uname -r)"
    dmloop report | grep -qF "dmloop-report.tar.gz contains:"
    rm "/boot/config-$(uname -r)"
    expect 600 "$(stat -c %a dmloop-report.tar.gz)"
    tar -xzf dmloop-report.tar.gz
    for name in README versions config log device-confidential/{table,queue,file-0,layout-0} device-other/table; do
        [ -s "dmloop-report/$name" ] || fail "$name is missing or empty"
    done
    expect "CONFIG_BLK_DEV_DM=m CONFIG_BLK_DEV_LOOP=m" "$(grep '^CONFIG' dmloop-report/config | xargs)"
    grep -qF "private.img" dmloop-report/device-confidential/table
    grep -qF "loop block" dmloop-report/device-confidential/table
    grep -q ' written$' dmloop-report/device-confidential/layout-0
    grep -qE '^target loop [0-9.]+$' dmloop-report/versions
    grep -qF "type ext4" dmloop-report/device-confidential/file-0
    rm -r dmloop-report
    dmloop report confidential --redact -o hidden.tar >said
    tar -xf hidden.tar
    expect 1 "$(find dmloop-report/device-device-* -name table -size +0 | wc -l)"
    [ ! -e dmloop-report/device-other ]
    for name in secret private confidential "$(hostname)" "${WORK##*/}"; do
        ! grep -rnwF -- "$name" dmloop-report said || fail "$name is there"
    done
    rm -r dmloop-report said
    dmloop_fails 2 "the archive is a .tar" report -o x.zip
    dmloop_fails 4 "there is no device nowhere" report nowhere -o x.tar
    dmloop_fails 1 "No such file" report -o "$WORK/nowhere/x.tar"
    [ ! -e x.tar ]
    cd /
    dmloop detach --all
}

# Names that only others know: of a device that stands on ours, of a mount, of a label; and
# one that is written in another way wherever it stands.
report_of_others() {
    local odd='quo"ted \\ na'$'\n''me' secret name
    modprobe btrfs
    make_sparse "$MNT/$odd" $((256 << 20))
    cd "$WORK"
    dmloop attach "$MNT/$odd" confidential
    mkfs.btrfs -q -L wellhidden /dev/mapper/confidential
    # Then the kernel log tells the label.
    mkdir "$WORK/inner"
    mount -t btrfs /dev/mapper/confidential "$WORK/inner"
    umount "$WORK/inner"
    dmsetup create telling-holder --table "0 8 linear /dev/mapper/confidential 0"
    mkdir "$MNT/lowsecret" "$MNT/upsecret" "$MNT/worksecret" "$WORK/mergesecret"
    mount -t overlay -o "lowerdir=$MNT/lowsecret,upperdir=$MNT/upsecret,workdir=$MNT/worksecret" overlay "$WORK/mergesecret"
    # A file that the overlay holds: its options are in the report.
    make_sparse "$WORK/mergesecret/insidesecret" "$SIZE"
    dmloop attach "$WORK/mergesecret/insidesecret" other
    dmloop report -o plain.tar >said
    tar -xf plain.tar
    name=$(sed -nE 's/^Linux version [^ ]* \(([^@]*@[^)]*)\).*/\1/p' /proc/version)
    [ -n "$name" ]
    # They are in it, or it would be no art to hide them.
    for secret in confidential telling-holder lowsecret upsecret worksecret mergesecret insidesecret wellhidden "$name" 'quo\"ted'; do
        grep -rqF -- "$secret" dmloop-report || fail "$secret is not in the report"
    done
    rm -r dmloop-report
    dmloop report --redact -o hidden.tar >said
    tar -xf hidden.tar
    for secret in confidential telling-holder lowsecret upsecret worksecret mergesecret insidesecret wellhidden \
        "$name" 'quo"ted' 'quo\"ted' ted; do
        ! grep -rnwF -- "$secret" dmloop-report said || fail "$secret is there"
    done
    rm -r dmloop-report
    cd /
    remove telling-holder
    dmloop detach --all
    umount "$WORK/mergesecret"
}

fs_make ext4
plan 2
check "report" report
check "names of others" report_of_others
fs_end
