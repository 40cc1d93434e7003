#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --disk 64M --disk 1G,logical_block_size=4096
# vm: --mem 512M --cpus 2 --packages hello
echo "1..4"
[ "$(blockdev --getsize64 /dev/vm/disk0)" = 67108864 ] && echo "ok 1 - first disk"
[ "$(blockdev --getss /dev/vm/disk1)" = 4096 ] && echo "ok 2 - second disk"
[ "$(nproc)" = 2 ] && echo "ok 3 - CPUs"
[ "$(hello -t)" = "hello, world" ] && echo "ok 4 - package"
