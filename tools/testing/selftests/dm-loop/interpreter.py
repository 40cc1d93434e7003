#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Runs the programs beside it, each in a process of its own, without the interpreter's start.

usage: interpreter.py <REQUESTS >REPLIES

A request is a number N and then N words, each ended by a NUL: who asks (a process), which
of its descriptors shall be the program's standard output, the program, its arguments. The
program also gets the standard error and the folder of who asks. The reply is a line: who
asked, and the exit status.

An emulated CPU takes a fifth of a second to start an interpreter, and the tests do that
thousands of times.
"""
import ctypes
import importlib
import os
import sys
import types

# The programs import these: they get them ready-made.
for name in "array errno fcntl hashlib layout mmap pattern random signal struct".split():
    importlib.import_module(name)

PIDFD_GETFD = 438

libc = ctypes.CDLL(None, use_errno=True)
folder = os.path.dirname(os.path.abspath(__file__))
programs = {}


def code_of(program):
    if program not in programs:
        with open(os.path.join(folder, program), encoding="utf-8") as source:
            programs[program] = compile(source.read(), program, "exec")
    return programs[program]


def words(file):
    word = bytearray()
    while byte := file.read(1):
        if byte != b"\0":
            word += byte
            continue
        yield os.fsdecode(bytes(word))
        word.clear()


def take_over(caller, output):
    """Makes the output and the folder of a process those of this one."""
    process = os.pidfd_open(caller)
    os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
    for ours, theirs in ((1, output), (2, 2)):
        fd = libc.syscall(PIDFD_GETFD, process, theirs, 0)
        if fd < 0:
            raise OSError(ctypes.get_errno(), f"descriptor {theirs} of process {caller}")
        os.dup2(fd, ours)
        os.close(fd)
    os.close(process)
    os.chdir(f"/proc/{caller}/cwd")


def main():
    requests = words(open(0, "rb", closefd=False))
    for count in requests:
        caller, output, program, *arguments = (next(requests) for _ in range(int(count)))
        code = code_of(program)
        child = os.fork()
        if child == 0:
            take_over(int(caller), int(output))
            return program, arguments, code
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        # As a shell has it, for one that a signal ended.
        print(caller, status if status >= 0 else 128 - status, flush=True)
    return None


if (asked := main()) is not None:
    # As if it had been started: it is the main module, and its end is that of this process.
    sys.argv[0], sys.argv[1:], code = asked
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    exec(code, module.__dict__)
