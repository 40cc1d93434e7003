# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What the guests' halves of the benchmarks share.

# A line for each run goes there.
FIGURES=/share/figures
: >"$FIGURES"

# node NAME: the node of a dm device. udev is not running.
node() { echo "/dev/$(dmsetup info -c --noheadings -o blkdevname "$1")"; }

# measure NAMES JOB BLOCK IOS DEVICE FIO-OPTION…: one fio run of IOS I/Os of BLOCK bytes
# (like 4k). Adds NAMES and the mean latency in microseconds to the figures; fio gives that
# more exactly than the time for all, and at a constant depth each is the other's multiple.
measure() {
    local names=$1 job=$2 block=$3 ios=$4 field
    fio --minimal --name=bench --allow_file_create=0 --filename="$5" --direct=1 --thread --rw="${job/seq/}" \
        --bs="$block" --number_ios="$ios" --randrepeat=1 --norandommap=1 "${@:6}" >/tmp/fio
    # Of its terse format 3: error, then mean latency of reads or of writes, and their KiB.
    [[ $job == *read ]] && field=40 || field=81
    awk -F';' -v OFS='\t' -v names="$names" -v field="$field" -v wanted=$((${block%k} * ios)) '
        $5 != 0 || $(field - 34) != wanted { print "fio: " $0 >"/dev/stderr"; exit 1 }
        { gsub(" ", "\t", names); print names, $field }' /tmp/fio | tee -a "$FIGURES"
}
