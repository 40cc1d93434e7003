#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
echo "1..1"
echo "<4>WARNING: made up at tools/testing/machine" >/dev/kmsg
echo "ok 1 - said"
