# SPDX-License-Identifier: Apache-2.0
"""isthmusd --check says what is wrong with a configuration: all of it, each with file, line and key; nothing is started."""
import os
import subprocess
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
]

GOOD = [
    ("empty", ""),
    ("addresses and sizes", 'listen = { http = "[::1]:0"; grpc = "off"; };\nlimits = { body = "1MiB"; idle = "90s"; };\n'),
]


FLEET = """region = { name = "eu"; id = 1; };
regions = ( { name = "eu"; id = 1; peer = "127.0.0.1:7001"; }, { name = "us"; id = 2; peer = "127.0.0.1:7002"; } );
scope = { home = "eu"; };
listen = { peer = "127.0.0.1:0"; };
session = { key_file = "@/session"; };
peer = {
  certificate = "%s";
  key = "%s";
  ca = "%s";
};
"""
PEER = ("@/eu.pem", "@/eu.key", "@/ca.pem")
NOT_PEM, NO_KEY = "no certificate in PEM form", "no private key in PEM form"


def peer(which, file):
    files = list(PEER)
    files[which] = file
    return FLEET % tuple(files)


# Keys that name files: the configuration, where FILE is the file's name; the line of the key; what is said of rubbish.
FILES = [
    ("tls.certificate", 'tls = {\n  certificate = "FILE";\n  key = "@/eu.key";\n};\n', 2, NOT_PEM),
    ("tls.key", 'tls = {\n  certificate = "@/eu.pem";\n  key = "FILE";\n};\n', 3, NO_KEY),
    ("auth.api_key_file", 'auth = { api_key_file = "FILE"; };\n', 1, "printable ASCII"),
    ("auth.alt_api_key_file", 'auth = {\n  api_key_file = "@/session";\n  alt_api_key_file = "FILE";\n};\n', 3, "printable ASCII"),
    ("auth.read_only_api_key_file", '\nauth = { read_only_api_key_file = "FILE"; };\n', 2, "printable ASCII"),
    ("auth.admin_key_file", '\n\nauth = { admin_key_file = "FILE"; };\n', 3, "printable ASCII"),
    ("session.key_file", 'session = { key_file = "FILE"; };\n', 1, "has not 16 to 64 bytes"),
    ("nats.password_file", 'nats = { url = "nats://127.0.0.1:1"; user = "eu";\n  password_file = "FILE"; };\n', 2, None),
    ("nats.credentials_file", 'nats = { url = "nats://127.0.0.1:1";\n  credentials_file = "FILE"; };\n', 2, "is no .creds file"),
    ("geo.files", 'geo = { files = [ "FILE" ]; };\n', 1, "is no MMDB file"),
    ("peer.certificate", peer(0, "FILE"), 7, NOT_PEM),
    ("peer.key", peer(1, "FILE"), 8, NO_KEY),
    ("peer.ca", peer(2, "FILE"), 9, NOT_PEM),
]

# Files that are good each, and not together; the words of the one line.
TOGETHER = [
    ("the key of another", 'tls = {\n  certificate = "@/eu.pem"; key = "@/us.key"; };\n',
     (":2: tls.key: @/us.key: is not the key of the certificate",)),
    ("an expired certificate", 'tls = {\n  certificate = "@/old.pem"; key = "@/old.key"; };\n',
     (":2: tls.certificate: @/old.pem: the certificate has expired",)),
    ("another authority", peer(2, "@/us.pem"), (":7: peer.certificate: @/eu.pem: ", "authorities in peer.ca do not vouch")),
    ("the certificate of another region", (FLEET % ("@/us.pem", "@/us.key", "@/ca.pem")),
     (":7: peer.certificate: @/us.pem: the certificate is not for eu.isthmus",)),
    ("a folder for the data below a file", 'storage = { dir = "@/session/data"; };\n', (":1: storage.dir: @/session/data", "Not a directory")),
    ("a file for the data", 'storage = { dir = "@/session"; };\n', (":1: storage.dir: @/session is no folder",)),
    ("a socket in no folder", 'listen = {\n  ctl = "@/nowhere/ctl.sock"; };\n', (":2: listen.ctl: ", "@/nowhere: No such file")),
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


def make_files(folder):
    def openssl(*words):
        subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=folder)

    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *new, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=authority")
    for name in ("eu", "us"):
        openssl("req", *new, "-keyout", f"{name}.key", "-out", "csr", "-subj", f"/CN={name}")
        with open(os.path.join(folder, "names"), "w", encoding="ascii") as f:
            f.write(f"subjectAltName=DNS:{name}.isthmus\n")
        openssl("x509", "-req", "-in", "csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-set_serial", "7", "-days", "2",
                "-extfile", "names", "-out", f"{name}.pem")
    openssl("req", *new, "-keyout", "old.key", "-out", "csr", "-subj", "/CN=old")
    openssl("x509", "-req", "-in", "csr", "-signkey", "old.key", "-days", "-1", "-out", "old.pem")
    for name, what in (("session", b"0123456789abcdef\n"), ("empty", b""), ("rubbish", bytes(range(1, 255)) * 20)):
        with open(os.path.join(folder, name), "wb") as f:
            f.write(what)
    os.mkdir(os.path.join(folder, "dir"))


def check_files(folder, path):
    """Whatever is wrong with a file, its key is named, with the line where it was given."""
    for key, text, line, rubbish in FILES:
        for file, words in (("nowhere", "cannot be read: No such file or directory"), ("dir", "not a file"), ("empty", "is empty"),
                            ("rubbish", rubbish)):
            if words:
                wrong(path, f"{key}: {file}", text.replace("FILE", f"@/{file}").replace("@", folder),
                      [(f"{path}:{line}: {key}: {folder}/{file}: ", words)])
    for what, text, words in TOGETHER:
        wrong(path, what, text.replace("@", folder), [[word.replace("@", folder) for word in words]])
    # All of them at once.
    text = 'auth = {\n  api_key_file = "@/nowhere";\n  admin_key_file = "@/empty";\n};\nsession = { key_file = "@/dir"; };\n'
    wrong(path, "three of them", text.replace("@", folder),
          [(":2: auth.api_key_file: ",), (":3: auth.admin_key_file: ",), (":5: session.key_file: ",)])
    status, _, said = check(path, peer(0, "@/eu.pem").replace("@", folder))
    expect("a good fleet", (status, said), (0, ""))
    # A start says the same.
    with open(path, "w", encoding="utf-8") as f:
        f.write(f'listen = {{ http = "off"; grpc = "off"; }};\nauth = {{ api_key_file = "{folder}/nowhere"; }};\n')
    done = run("-c", path)
    assert done.returncode == 1 and f" error {path}:2: auth.api_key_file: {folder}/nowhere: " in done.stderr, done


def main():
    with tempfile.TemporaryDirectory(prefix="isthmus-") as folder:
        path = os.path.join(folder, "isthmus.conf")
        for what, text, wanted in WRONG:
            wrong(path, what, text, wanted)
        for what, text in GOOD:
            expect(what, check(path, text), (0, f"{path}: good\n", ""))
        expect("what is left behind", os.listdir(folder), ["isthmus.conf"])
        make_files(folder)
        before = sorted(os.listdir(folder))
        check_files(folder, path)
        expect("what is left behind", sorted(os.listdir(folder)), before)


main()
