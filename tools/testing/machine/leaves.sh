#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
echo "1..1"
dmsetup create left --table "0 8 zero" && echo "ok 1 - made"
