#!/usr/bin/env python3
"""Writes the seeds: seeds.py FOUND SENT, where FOUND has what libFuzzer collected, a folder for each target, and SENT what the
conformance tests have sent, a file each, which they write with BARNACLE_RECORD_PACKETS=SENT.

`seeds/packets.txt` is for the three targets of the codec: the packets of the tables in src/protocol/tests, right and wrong ones, those
of the conformance tests, one of each kind and length, and the smallest that a run has found to reach something new. `seeds/connection.txt` is for conversations, found by a run. Each line is
an input in hexadecimal digits.
"""
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
TABLES = HERE.parent.parent / "src/protocol/tests"
# The first byte of an input says which version is known from the beginning, and how many bytes come at a time.
FIRST_BYTE = {"NEW": 0xFC, "V31": 0xFD, "V311": 0xFE, "V5": 0xFF}
SHARE = 200


def encode(notation):
    """The notation of src/protocol/tests/notation.rs; None: it is another kind of text."""
    def part(at):
        out = b""
        while at < len(notation) and notation[at] != "]":
            letter = notation[at]
            if letter == "[":
                inner, at = part(at + 1)
                out += variable(len(inner)) + inner
            elif letter in "'<":
                end = notation.index(">" if letter == "<" else "'", at + 1)
                text = notation[at + 1:end].encode()
                out += (len(text).to_bytes(2, "big") if letter == "<" else b"") + text
                at = end
            elif letter not in " \n":
                out += bytes([int(notation[at:at + 2], 16)])
                at += 1
            at += 1
        return out, at

    try:
        out, at = part(0)
    except (ValueError, IndexError):
        return None
    return out if at == len(notation) else None


def variable(value):
    out = []
    while value >= 128:
        out.append(value % 128 + 128)
        value //= 128
    return bytes(out + [value])


def of_tables():
    literal = re.compile(r'\b(NEW|V31|V311|V5)\s*,\s*"((?:[^"\\]|\\\s*\n\s*)*)"')
    for path in sorted(TABLES.glob("*.rs")):
        for version, text in literal.findall(path.read_text()):
            packet = encode(re.sub(r"\\\s*\n\s*", "", text))
            if packet is None:
                continue
            # A CONNECT tells its version itself.
            yield bytes([FIRST_BYTE["NEW" if packet[:1] == b"\x10" else version]]) + packet


def of_conformance(folder):
    """Of what was sent in a version, the first of each beginning and length: many differ in a name only."""
    versions = {"3": "V31", "4": "V311", "5": "V5"}
    chosen = {}
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        version = "NEW" if data[:1] == b"\x10" else versions[path.name[0]]
        if data and len(data) <= 120:
            chosen.setdefault((version, data[:2], len(data)), bytes([FIRST_BYTE[version]]) + data)
    return [chosen[key] for key in sorted(chosen)]


def found(folder):
    inputs = {path.read_bytes() for path in folder.iterdir()} if folder.is_dir() else set()
    return sorted(inputs, key=lambda data: (len(data), data))


def spread(inputs):
    """So many of them, from the smallest to the largest."""
    step = max(1, len(inputs) // SHARE)
    return inputs[::step][:SHARE]


def write(name, inputs):
    lines = dict.fromkeys(data.hex() for data in inputs if 0 < len(data) <= 512)
    (HERE / "seeds" / name).write_text("".join(line + "\n" for line in lines))
    print(f"{name}: {len(lines)}")


collected = pathlib.Path(sys.argv[1])
(HERE / "seeds").mkdir(exist_ok=True)
packets = list(of_tables()) + of_conformance(pathlib.Path(sys.argv[2]))
for target in ["decode", "round_trip", "differential"]:
    packets += spread(found(collected / target))
write("packets.txt", packets)
write("connection.txt", spread(found(collected / "connection")))
