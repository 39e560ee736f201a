# SPDX-License-Identifier: Apache-2.0
"""isthmusd --check says what is wrong with a configuration: all of it, each with file, line and key; nothing is started."""
import os
import tempfile

from lib_daemon import run

# What is in the file; the lines that --check is to print, after the file's name. Each has all of these words.
WRONG = [
    ("unknown key", 'listen = {\n  htp = "127.0.0.1:0";\n};\n', [(":2: ", "listen.htp: unknown key", "listen.http")]),
    ("unknown group", "limit = { idle = \"5m\"; };\n", [(":1: ", "limit", "unknown key")]),
    ("nothing is near", "zzz = 1;\n", [(":1: ", "zzz: unknown key")]),
    ("no address", 'listen = { http = "127.0.0.1:70000"; };\n', [(":1: ", "listen.http: ", "'127.0.0.1:70000'")]),
    ("no time", '\nlimits = { idle = "5 parsecs"; };\n', [(":2: ", "limits.idle: ", "'5 parsecs'")]),
    ("no such word", 'log = { level = "loud"; };\n', [(":1: ", "log.level: ", "error|warn|info|debug")]),
    ("outside its bounds", "threads = { loops = 257; };\n", [(":1: ", "threads.loops: ", "257", "256")]),
    ("the wrong kind", 'threads = { loops = "two"; };\n', [(":1: ", "threads.loops: ")]),
    ("no syntax", "listen = {\n  http = ;\n};\n", [(":2: ", "syntax error")]),
    ("all of them", 'listen = { htp = "x"; };\nlog = { level = "loud"; };\n',
     [(":1: ", "listen.http"), (":2: ", "log.level: ")]),
    ("a file that it names", 'auth = { api_key_file = "/nowhere/key"; };\n', [("auth", "/nowhere/key", "No such file")]),
    ("a certificate", 'tls = { certificate = "/nowhere/c"; key = "/nowhere/k"; };\n', [("tls: ", "/nowhere/c")]),
]

GOOD = [
    ("empty", ""),
    ("addresses and sizes", 'listen = { http = "[::1]:0"; grpc = "off"; };\nlimits = { body = "1MiB"; idle = "90s"; };\n'),
]


def expect(what, got, wanted):
    assert got == wanted, f"{what}: wanted {wanted!r}, got {got!r}"


def check(path, text):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    done = run("-c", path, "--check")
    return done.returncode, done.stdout, done.stderr


def wrong(path, what, text, wanted):
    status, out, said = check(path, text)
    expect(f"{what}: status", (status, out), (1, ""))
    lines = said.splitlines()
    expect(f"{what}: number of lines in {said!r}", len(lines), len(wanted))
    for line, words in zip(lines, wanted):
        expect(f"{what}: begins with the file", line[:len(path)], path)
        for word in words:
            assert word in line, f"{what}: wanted {word!r} in {line!r}"


def main():
    with tempfile.TemporaryDirectory(prefix="isthmus-") as folder:
        path = os.path.join(folder, "isthmus.conf")
        for what, text, wanted in WRONG:
            wrong(path, what, text, wanted)
        for what, text in GOOD:
            expect(what, check(path, text), (0, f"{path}: good\n", ""))
        expect("what is left behind", os.listdir(folder), ["isthmus.conf"])


main()
