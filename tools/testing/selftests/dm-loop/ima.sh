#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 8G --cpus 1 --mem 1G --append ima_policy=critical_data
#
# What is measured of a table: IMA keeps the target, its version, the file and the offset, in
# the words that device-mapper's other targets use (Documentation/admin-guide/device-mapper/
# dm-ima.rst).
. ./lib.sh

MEASURED=/sys/kernel/security/ima/ascii_runtime_measurements
FILE=$MNT/file
SIZE=1048576

# The text of the last table load, which the list holds in hexadecimal.
last_load() {
    awk '$5 == "dm_table_load" { text = $6 } END { print text }' "$MEASURED" |
        python3 -c 'import sys; sys.stdout.buffer.write(bytes.fromhex(sys.stdin.read()))'
}

# measured PATH OFFSET FEATURE: PATH as a table has it.
measured() {
    local version text
    loop_create t0 "$FILE" "$2" - "$3"
    version=$(dmsetup targets | sed -nE 's/^loop +v([0-9.]+)$/\1/p')
    text=$(last_load)
    echo "measured: $text"
    [[ $text == *"name=t0,uuid=,"* ]]
    [[ $text == *"target_index=0,target_begin=0,target_len=$(((SIZE - $2) / 512)),target_name=loop,target_version=$version,file=$1,offset=$2;"* ]]
    remove t0
}

if [ ! -e "$MEASURED" ] || ! grep -q ima_policy=critical_data /proc/cmdline; then
    skip_all "IMA does not measure here"
fi
fs_make ext4
make_file "$FILE" "$SIZE"
plan 3
check "block-mapped" measured "$FILE" 0 block_mapped
check "file-mapped" measured "$FILE" 512 file_mapped
mv "$FILE" "$MNT/a b"
FILE="$MNT/a b"
check "a name with a space" measured "$MNT/a\\040b" 4096 block_mapped
fs_end
