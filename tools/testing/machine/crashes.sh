#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# vm: --alone
echo "1..1"
echo "ok 1 - about to crash"
# Not before that has been seen.
until grep -q crash /share/results/crashes.log; do sleep 0.1; done
echo c >/proc/sysrq-trigger
