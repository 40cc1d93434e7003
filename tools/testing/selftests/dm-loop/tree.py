#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Fills a folder with files of many sizes, and prints what sha256sum -c wants to know of them.

usage: tree.py FOLDER

The contents are random, 10 MiB in all, in eight folders.
"""
import hashlib
import os
import sys


def main(folder):
    for number in range(1, 65):
        name = f"folder{number % 8}/file{number}"
        os.makedirs(os.path.join(folder, os.path.dirname(name)), exist_ok=True)
        data = os.urandom(number * 5003)
        with open(os.path.join(folder, name), "wb") as file:
            file.write(data)
        print(f"{hashlib.sha256(data).hexdigest()}  ./{name}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
