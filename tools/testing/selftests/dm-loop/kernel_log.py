# SPDX-License-Identifier: GPL-2.0
"""The kernel log, for the programs that look for what is new in it."""
import os


class Log:
    """What comes to the kernel log from now on."""

    def __init__(self):
        self.fd = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
        os.lseek(self.fd, 0, os.SEEK_END)

    def news(self):
        messages = []
        while True:
            try:
                record = os.read(self.fd, 8192)
            except BlockingIOError:
                return messages
            except BrokenPipeError:
                # Overtaken by the log: on with the oldest that is left.
                continue
            messages.append(record.split(b"\n")[0].split(b";", 1)[1].decode("latin-1"))
