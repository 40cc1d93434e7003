# SPDX-License-Identifier: GPL-2.0
"""Table lines to try, from a seed: valid ones, such as are nearly so, and noise."""
import table_model

NUMBERS = [0, 1, 2, 7, 8, 9, 511, 512, 513, 4095, 4096, 4097, 10000, 262144, 261632, 262143]
NUMBERS += [2**k + d for k in (15, 16, 31, 32, 52, 53, 54, 55, 62, 63, 64, 65, 128) for d in (-512, -1, 0, 1, 512)]


class Lines:
    """paths: of files and of what is none; what kinds there are, KINDS tells."""

    KINDS = ["valid", "mutated", "noise", "numbers", "features", "raw"]

    def __init__(self, random, paths, size):
        self.random, self.paths, self.size = random, paths, size

    def line(self, kind):
        """The number of sectors, and what follows the name of the target."""
        return getattr(self, kind)()

    def words(self):
        """A line that is right, as words, with its number of sectors."""
        r = self.random
        path = r.choice(self.paths)
        offset = r.choice([0, 0, 512, 4096, r.randrange(self.size // 512) * 512])
        room = max(1, (self.size - offset) // 512)
        sectors = r.choice([room, 8, 1, r.randint(1, room)])
        names = r.sample(table_model.FEATURES, r.choice([0, 0, 0, 1, 1, 2, 2, 3]))
        if {b"block_mapped", b"file_mapped"} <= set(names):
            names.remove(b"file_mapped")
        if b"block_mapped" in names or {b"buffered_io", b"direct_io"} <= set(names):
            names = [name for name in names if name != b"direct_io"]
        if b"block_mapped" in names:
            names = [name for name in names if name != b"buffered_io"]
        words = [self.escaped(path), b"%d" % offset]
        if names or r.random() < 0.1:
            words += [b"%d" % len(names), *names]
        return sectors, words

    def escaped(self, path):
        """So that dmsetup and the kernel take it for one word; at times more than needed."""
        needless = self.random.random() < 0.1
        return b"".join(
            b"\\%03o" % byte if byte in table_model.SPACE + b"#\\" or (needless and self.random.random() < 0.3)
            else bytes([byte]) for byte in path)

    def valid(self):
        sectors, words = self.words()
        space = self.random.choice([b" ", b" ", b"  ", b" \t "])
        return sectors, space.join(words)

    def mutated(self):
        r = self.random
        sectors, words = self.words()
        if r.random() < 0.4:
            at = r.randrange(len(words))
            how = r.randrange(4)
            if how == 0:
                del words[at]
            elif how == 1:
                words.insert(at, r.choice(words))
            elif how == 2:
                words[at] = r.choice(words)
            else:
                r.shuffle(words)
        text = bytearray(b" ".join(words))
        for _ in range(r.choice([0, 1, 1, 2, 4])):
            at = r.randrange(len(text) + 1)
            how = r.randrange(4)
            if how == 0:
                text[at:at + 1] = b""
            elif how == 1:
                text[at:at] = bytes([r.randrange(256)])
            elif how == 2:
                text[at:at + 1] = bytes([r.choice(b"\\/# .-+0123456789x")])
            else:
                text[at:at + 1] = bytes([r.randrange(256)])
        return r.choice([sectors, sectors, sectors + 1, r.choice(NUMBERS)]), bytes(text)

    def noise(self):
        r = self.random
        some = r.choice([range(256), range(33, 127), b" \\01239/.", b" 0123456789"])
        length = r.choice([0, 1, 2, r.randrange(20), r.randrange(300), r.randrange(5000)])
        text = bytes(r.choice(some) for _ in range(length))
        if r.random() < 0.4:
            text = self.escaped(r.choice(self.paths)) + b" " + text
        return r.choice([8, 1, r.choice(NUMBERS)]), text

    def numbers(self):
        r = self.random
        sectors, words = self.words()
        if r.random() < 0.5:
            sectors = r.choice(NUMBERS)
        if r.random() < 0.7:
            words[1] = self.number()
        if len(words) > 2 and r.random() < 0.4:
            words[2] = self.number()
        return sectors, b" ".join(words)

    def number(self):
        r = self.random
        text = b"%d" % r.choice(NUMBERS)
        how = r.randrange(8)
        if how == 0:
            return r.choice([b"-", b"+", b"0x", b"00", b"0" * 300, b"9" * r.choice([1, 50, 5000])]) + text
        if how == 1:
            return text + r.choice([b"s", b"K", b".", b".0", b"e1", b",", b"\xd9\xa0", b"\xff"])
        return text

    def features(self):
        r = self.random
        sectors, words = self.words()
        some = table_model.FEATURES + [b"x", b"block", b"", b"no_discard,", b"\xff" * 9, b"f" * r.choice([1, 100, 2000])]
        count = r.choice([1, 2, 3, 4, 5, 10, 100, 3000])
        if count < 6 and r.random() < 0.6:
            some = table_model.FEATURES
        names = [r.choice(some) for _ in range(count)]
        while sum(map(len, names)) > 100000:
            names = names[: len(names) // 2]
        said = len([name for name in names if name]) + r.choice([0, 0, 0, 0, 1, -1])
        return sectors, b" ".join([*words[:2], b"%d" % said, *names])

    def raw(self):
        """What dmsetup would not let through."""
        r = self.random
        sectors, text = self.line(r.choice(["valid", "mutated", "noise", "features"]))
        text = bytearray(text)
        for _ in range(r.choice([0, 1, 2])):
            at = r.randrange(len(text) + 1)
            text[at:at] = r.choice([b"\0", b"\n", b"#", b"\\", b"\\ ", b"\\\\", b"\v", b"\r"])
        if r.random() < 0.2:
            text += b"\\"
        return sectors, bytes(text)
