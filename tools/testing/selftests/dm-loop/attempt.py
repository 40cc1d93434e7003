#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Tries things on a file, and prints for each what came of it.

usage: attempt.py FILE OTHER OP…    OTHER is a file like FILE in the same folder
       attempt.py --hold [--readonly] FILE    opens and maps FILE, then reads OPs from stdin

A line for each OP: its name, then "done", the name of the errno, or that of the signal
that a process got which touched a mapping. What was done to the size is undone.
"""
import ctypes
import errno
import fcntl
import mmap
import os
import signal
import struct
import sys

FICLONE = 0x40049409
FIDEDUPERANGE = 0xC0189436
EXT4_IOC_MOVE_EXT = 0xC028660F
KEEP_SIZE, PUNCH, COLLAPSE, ZERO, INSERT, UNSHARE = 1, 2, 8, 16, 32, 64
RENAME_EXCHANGE = 2
AT_FDCWD = -100
BLOCK = 4096
SPAN = 65536

libc = ctypes.CDLL(None, use_errno=True)
OPS = {}


def op(function):
    """Makes a function of FILE and OTHER an OP of that name."""
    OPS[function.__name__.replace("_", "-")] = function
    return function


def call(function, *arguments):
    """Calls a function of libc that returns -1 and sets errno on failure."""
    if function(*arguments) == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def opened(path, flags=os.O_RDWR):
    return os.open(path, flags)


def fallocate(fd, mode, start, length):
    call(libc.fallocate, fd, mode, ctypes.c_int64(start), ctypes.c_int64(length))


def touch(mapping):
    """Writes to a mapping in a process of its own. The signal that killed it, or None."""
    child = os.fork()
    if child == 0:
        mapping[0] = mapping[0] ^ 1
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    return signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else None


@op
def write(path, other):
    os.pwrite(opened(path), b"w" * 512, 0)


@op
def append(path, other):
    size = os.stat(path).st_size
    os.write(opened(path, os.O_WRONLY | os.O_APPEND), b"a" * 512)
    os.truncate(path, size)


@op
def direct_write(path, other):
    os.pwritev(opened(path, os.O_WRONLY | os.O_DIRECT), [mmap.mmap(-1, BLOCK)], 0)


@op
def sendfile(path, other):
    os.sendfile(opened(path), opened(other), 0, BLOCK)


@op
def copy_range(path, other):
    os.copy_file_range(opened(other), opened(path), BLOCK)


@op
def truncate(path, other):
    size = os.stat(path).st_size
    os.truncate(path, size - 512)
    os.truncate(path, size)


@op
def ftruncate(path, other):
    fd = opened(path)
    size = os.fstat(fd).st_size
    os.ftruncate(fd, size - 512)
    os.ftruncate(fd, size)


@op
def open_truncating(path, other):
    size = os.stat(path).st_size
    os.close(opened(path, os.O_WRONLY | os.O_TRUNC))
    os.truncate(path, size)


@op
def grow(path, other):
    size = os.stat(path).st_size
    os.truncate(path, size + BLOCK)
    os.truncate(path, size)


@op
def allocate(path, other):
    fd = opened(path)
    size = os.fstat(fd).st_size
    fallocate(fd, 0, size, SPAN)
    os.ftruncate(fd, size)


@op
def allocate_beyond(path, other):
    fd = opened(path)
    fallocate(fd, KEEP_SIZE, os.fstat(fd).st_size, SPAN)


@op
def punch(path, other):
    fallocate(opened(path), PUNCH | KEEP_SIZE, SPAN, SPAN)


@op
def zero(path, other):
    fallocate(opened(path), ZERO, SPAN, SPAN)


@op
def collapse(path, other):
    fd = opened(path)
    size = os.fstat(fd).st_size
    fallocate(fd, COLLAPSE, 0, SPAN)
    os.ftruncate(fd, size)


@op
def insert(path, other):
    fd = opened(path)
    size = os.fstat(fd).st_size
    fallocate(fd, INSERT, SPAN, SPAN)
    os.ftruncate(fd, size)


@op
def unshare(path, other):
    fallocate(opened(path), UNSHARE, 0, SPAN)


@op
def unlink(path, other):
    os.unlink(path)


@op
def rename(path, other):
    os.rename(path, path + ".away")
    os.rename(path + ".away", path)


@op
def rename_over(path, other):
    os.rename(other, path)


@op
def exchange(path, other):
    for _ in range(2):
        call(libc.renameat2, AT_FDCWD, other.encode(), AT_FDCWD, path.encode(), RENAME_EXCHANGE)


@op
def reflink_from(path, other):
    new = os.open(other + ".new", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.ioctl(new, FICLONE, opened(path, os.O_RDONLY))
    finally:
        os.unlink(other + ".new")


@op
def reflink_onto(path, other):
    fcntl.ioctl(opened(path), FICLONE, opened(other, os.O_RDONLY))


def dedupe(source, target):
    request = bytearray(
        struct.pack("<QQHHL", 0, SPAN, 1, 0, 0) + struct.pack("<qQQlL", opened(target), 0, 0, 0, 0)
    )
    fcntl.ioctl(opened(source), FIDEDUPERANGE, request)
    status = struct.unpack_from("<l", request, 24 + 24)[0]
    if status < 0:
        raise OSError(-status, os.strerror(-status))
    # FILE_DEDUPE_RANGE_DIFFERS: the caller gives two files with the same beginning.
    if status != 0:
        sys.exit("dedupe: the two files differ")


@op
def dedupe_from(path, other):
    dedupe(path, other)


@op
def dedupe_onto(path, other):
    dedupe(other, path)


@op
def map_shared(path, other):
    mmap.mmap(opened(path), BLOCK, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)[0] ^= 1


@op
def make_writable(path, other):
    """A shared mapping that was read-only at first."""
    fd = opened(path)
    libc.mmap.restype = ctypes.c_void_p
    address = libc.mmap(None, BLOCK, mmap.PROT_READ, mmap.MAP_SHARED, fd, ctypes.c_int64(0))
    call(libc.mprotect, ctypes.c_void_p(address), BLOCK, mmap.PROT_READ | mmap.PROT_WRITE)
    return touch((ctypes.c_ubyte * BLOCK).from_address(address))


@op
def swapon(path, other):
    """Of a file that need not hold any swap space: EINVAL says that it was looked at."""
    call(libc.swapon, path.encode(), 0)
    call(libc.swapoff, path.encode())


@op
def move_extents(path, other):
    """What e4defrag does: exchanges blocks with a donor."""
    donor = opened(other)
    fcntl.ioctl(opened(path), EXT4_IOC_MOVE_EXT, struct.pack("<LLQQQQ", 0, donor, 0, 0, 4, 0))


def attempt(name, function, *arguments):
    try:
        outcome = function(*arguments) or "done"
    except OSError as error:
        outcome = errno.errorcode[error.errno].replace("ENOTSUP", "EOPNOTSUPP")
    print(name, outcome, flush=True)


def hold(path, writable):
    """Keeps a descriptor and a shared mapping, both made before anything else."""
    fd = opened(path, os.O_RDWR if writable else os.O_RDONLY)
    protection = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
    # Not with a descriptor of its own, so that it can outlast this one.
    mapping = mmap.mmap(fd, 0, mmap.MAP_SHARED, protection, trackfd=False)
    if writable:
        # Dirty from the start: nobody has written it back yet.
        mapping[:512] = b"h" * 512
    ops = {
        "held-close": lambda: os.close(fd),
        "held-touch": lambda: touch(mapping),
        "held-flush": lambda: mapping.flush() and None,
        "held-peek": lambda: mapping[:1].decode("latin-1"),
    }
    print("holding", flush=True)
    for line in sys.stdin:
        attempt(line.strip(), ops[line.strip()])


def main(arguments):
    if arguments[:1] == ["--hold"] and len(arguments) >= 2:
        hold(arguments[-1], "--readonly" not in arguments)
    elif len(arguments) >= 3:
        for name in arguments[2:]:
            attempt(name, OPS[name], arguments[0], arguments[1])
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
