#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The command blocks of pages like Documentation/dm-loop.rst, run as they stand there.

usage: examples.py list PAGE...
           the sections with commands, as PAGE/TITLE without .rst, in their order
       examples.py run PAGE TITLE LOG [COMMAND]
           runs a section; LOG gets a line PAGE:NUMBER for each line of the page that was done.
           In the end, with the files in their places, COMMAND has to succeed without a word.
       examples.py skip PAGE TITLE LOG
           does not run it; LOG gets its lines all the same

A literal block (behind "::") is a transcript: lines that begin with "# " are commands of
root's, typed into one shell for each section; what follows a command is all that it prints.
A command that prints nothing must succeed. It goes on in the next line after a "\\" at its end,
up to the end of a here-document, and from "do" to "done". What is not to be run is a
".. code-block:: none". With a ":caption:" that is a path, it is the content of that file, which
is put there when its turn comes. Nothing else is allowed that looks like a block.
"""
import os
import re
import signal
import sys

# What may differ from the page, and nothing else may. The first is how it looks on the page, the
# second what it may be in truth. Within a section it stands for one and the same: it has to
# be the same wherever it is printed again, another where the page has another, and is put into
# the commands that name it.
PLACE_HOLDERS = [
    # The number of a block device.
    (r"\b25[0-9]:[0-9]+\b", r"[0-9]+:[0-9]+"),
    # The number of a process.
    (r"\b1234\b", r"[0-9]+"),
]

# A command takes no longer than this, in seconds.
PATIENCE = 1800


class Wrong(Exception):
    """A page that cannot be understood."""


class Command:
    """A command, the number of its line, and what it is to print."""

    def __init__(self, number, text):
        self.number, self.text, self.wanted = number, text, []

    def numbers(self):
        """The lines that it takes on the page."""
        return range(self.number, self.number + self.text.count("\n") + 1)

    def needs_more(self):
        """Whether it goes on in the next line."""
        lines = self.text.split("\n")
        word = re.search(r"<<-?\s*(['\"]?)(\w+)\1", lines[0])
        if word:
            return word[2] not in (line.strip() for line in lines[1:])
        if re.search(r"\bdo$", lines[0]):
            return lines[-1].split(" ")[0] != "done"
        return lines[-1].endswith("\\")


class File:
    """The content of a file, and the number of its first line on the page."""

    def __init__(self, number, path, lines):
        self.number, self.path, self.lines = number, path, lines

    def numbers(self):
        """The lines that it takes on the page."""
        return range(self.number, self.number + len(self.lines))


def indentation(line):
    return len(line) - len(line.lstrip())


def body_at(lines, n, outer):
    """The lines from n on that are indented more than outer, and where they end."""
    end = n
    while end < len(lines) and (not lines[end] or indentation(lines[end]) > outer):
        end += 1
    return end


def transcript(page, first, lines):
    """The commands of a literal block."""
    commands = []
    for number, line in enumerate(lines, first):
        if commands and commands[-1].needs_more():
            commands[-1].text += "\n" + line
        elif line.startswith("# "):
            end_of(commands)
            commands.append(Command(number, line[2:]))
        elif commands:
            commands[-1].wanted.append(line)
        elif line:
            raise Wrong(f"{page}:{number}: a block that begins with no command: {line}")
    if not commands or commands[-1].needs_more():
        raise Wrong(f"{page}:{first}: a block without a command, or with half of one")
    end_of(commands)
    return commands


def end_of(commands):
    """Empty lines on a page are for the reader."""
    while commands and commands[-1].wanted and not commands[-1].wanted[-1]:
        commands[-1].wanted.pop()


def sections(page):
    """What is to be done in each section, by its title. The page's own title is "intro"."""
    with open(page, encoding="utf-8") as file:
        lines = [line.rstrip() for line in file]
    found, title, n = {}, "intro", 0
    while n < len(lines):
        line, below = lines[n], lines[n + 1] if n + 1 < len(lines) else ""
        if re.fullmatch(r"([=\-~])\1{2,}", below) and line and not line.startswith(below[0] * 3):
            # The title of the page has such a line above it, too.
            title = "intro" if n and lines[n - 1] == below else line.replace("``", "")
            if title in found:
                raise Wrong(f"{page}:{n + 1}: a second section {title}")
            found[title] = []
            n += 2
            continue
        n += 1
        directive = re.match(r"\s*\.\. ([\w-]+)::(.*)", line)
        if directive:
            end = body_at(lines, n, indentation(line))
            found[title] += plain(page, n, directive, lines[n:end])
            n = end
        elif line.endswith("::") and not line.lstrip().startswith(".. "):
            end = body_at(lines, n, indentation(line))
            while n < end and not lines[n]:
                n += 1
            if n == end:
                raise Wrong(f"{page}:{n}: an empty block")
            inner = indentation(lines[n])
            found.setdefault(title, [])
            found[title] += transcript(page, n + 1, [text[inner:] for text in lines[n:end]])
            n = end
    return {title: steps for title, steps in found.items() if steps}


def plain(page, number, directive, lines):
    """What is not to be run: the content of a file, or nothing."""
    name, argument = directive[1], directive[2].strip()
    if name == "toctree":
        return []
    if (name, argument) != ("code-block", "none"):
        raise Wrong(f"{page}:{number}: a {name} {argument}: only \"code-block:: none\" is known here")
    path = None
    while lines and lines[0]:
        caption = re.fullmatch(r"\s*:caption: (/\S+)", lines[0])
        if not caption:
            raise Wrong(f"{page}:{number + 1}: {lines[0].strip()}: only a :caption: with a path is known here")
        path, lines, number = caption[1], lines[1:], number + 1
    while lines and not lines[0]:
        lines, number = lines[1:], number + 1
    while lines and not lines[-1]:
        lines = lines[:-1]
    if path is None:
        return []
    inner = min(indentation(line) for line in lines if line)
    return [File(number + 1, path, [line[inner:] for line in lines])]


class Shell:
    """A shell of root's, and what has been found out about the place-holders."""

    def __init__(self):
        self.known = {}
        commands, self.commands = os.pipe()
        self.printed, printed = os.pipe()
        self.process = os.fork()
        if not self.process:
            os.chdir("/root")
            os.dup2(commands, 0)
            os.dup2(printed, 1)
            os.dup2(printed, 2)
            os.execvp("bash", ["bash", "--norc", "--noprofile"])
        os.close(commands)
        os.close(printed)
        self.printed = os.fdopen(self.printed, encoding="utf-8", errors="replace")

    def run(self, text):
        """Runs it as if typed, and returns what it printed and its status."""
        mark = f"examples-{os.getpid()}-end"
        quoted = self.filled_in(text).replace("'", "'\\''")
        # Nobody types so fast that udev has not yet looked at what the last command has changed.
        after = f"status=$?\nudevadm settle\nprintf '\\n{mark} %s\\n' $status\n"
        os.write(self.commands, f"eval '{quoted}' </dev/null\n{after}".encode())
        printed = ""
        signal.alarm(PATIENCE)
        try:
            for line in self.printed:
                if line.startswith(mark):
                    # Empty lines at the end, as that of printf, do not show on a page.
                    printed = printed.rstrip("\n")
                    return printed + "\n" * bool(printed), int(line.split()[1])
                # Nor do spaces at the end of a line.
                printed += line.rstrip() + "\n"
        except TimeoutError:
            os.kill(self.process, signal.SIGKILL)
            raise Wrong(f"not ended in {PATIENCE} s: {text}") from None
        finally:
            signal.alarm(0)
        raise Wrong(f"the shell has ended: {printed}")

    def filled_in(self, text):
        """With what place-holders stand for here."""
        for there, here in self.known.items():
            text = re.sub(rf"(?<![\w:]){re.escape(there)}(?![\w:])", here, text)
        return text

    def is_same(self, wanted, got):
        """Whether it is what the page shows; if so, place-holders are known from then on."""
        pattern, end, new = "", 0, []
        for match in re.finditer("|".join(f"({there})" for there, _ in PLACE_HOLDERS), wanted):
            pattern += re.escape(wanted[end:match.start()])
            end, there = match.end(), match[0]
            if there in self.known:
                pattern += re.escape(self.known[there])
            elif there in new:
                pattern += f"(?P=v{new.index(there)})"
            else:
                pattern += f"(?P<v{len(new)}>{PLACE_HOLDERS[match.lastindex - 1][1]})"
                new.append(there)
        match = re.fullmatch(pattern + re.escape(wanted[end:]), got)
        if not match:
            return False
        known = self.known | {there: match[f"v{n}"] for n, there in enumerate(new)}
        if len(set(known.values())) != len(known):
            return False
        self.known = known
        return True

    def end(self):
        os.close(self.commands)
        os.waitpid(self.process, 0)


def run(page, title, log, last):
    """Runs a section; whether all was as on the page."""
    good, shell, kept = True, Shell(), []
    try:
        for step in sections(page)[title]:
            if isinstance(step, File):
                kept.append((step.path, put(step)))
            else:
                good = do(shell, step, page) and good
            note(log, page, step)
        for text in last:
            good = do(shell, Command(0, text), page) and good
    finally:
        shell.end()
        for path, old in kept:
            put_back(path, old)
    return good


def do(shell, command, page):
    """Runs a command; whether all was as on the page."""
    printed, status = shell.run(command.text)
    wanted = "".join(line + "\n" for line in command.wanted)
    head = f"{os.path.basename(page)}:{command.number}: {command.text}"
    if not shell.is_same(wanted, printed):
        print(f"{head}\n--- the page says\n{wanted}--- it prints\n{printed}---")
    elif status and not wanted:
        print(f"{head}\n--- ends with status {status} without a word")
    else:
        return True
    return False


def note(log, page, step):
    log.writelines(f"{os.path.basename(page)}:{number}\n" for number in step.numbers())


def put(file):
    """Puts a file in its place, and returns what was there."""
    old = None
    if os.path.exists(file.path):
        with open(file.path, "rb") as before:
            old = before.read()
    with open(file.path, "w", encoding="utf-8") as new:
        new.write("".join(line + "\n" for line in file.lines))
    return old


def put_back(path, old):
    if old is None:
        os.unlink(path)
    else:
        with open(path, "wb") as file:
            file.write(old)


def too_long(*_):
    raise TimeoutError


def main(what, *arguments):
    signal.signal(signal.SIGALRM, too_long)
    if what == "list":
        for page in arguments:
            for title in sections(page):
                print(f"{os.path.basename(page).removesuffix('.rst')}/{title}")
        return 0
    page, title, log, *last = arguments
    with open(log, "a", encoding="utf-8") as file:
        if what == "run":
            return 0 if run(page, title, file, last) else 1
        for step in sections(page)[title]:
            note(file, page, step)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except Wrong as wrong:
        sys.exit(str(wrong))
