#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --alone
echo "1..1"
echo "ok 1 - about to crash"
sleep 1
echo c >/proc/sysrq-trigger
