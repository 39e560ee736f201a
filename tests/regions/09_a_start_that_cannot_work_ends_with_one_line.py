# SPDX-License-Identifier: Apache-2.0
"""A start that cannot work (port taken, folder not writable, foreign data, folder in use) ends with status 1 and one line
that names the key and the thing; the daemon that is already there goes on."""
import os
import pwd
import shutil
import socket
import subprocess
import tempfile

from lib_daemon import ISTHMUSD, PATIENCE_S, Daemon


def write(folder, name, http="127.0.0.1:0", data=None, more=""):
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as f:
        f.write(f'listen = {{ http = "{http}"; grpc = "off"; }};\n'
                f'storage = {{ dir = "{data or os.path.join(folder, name + ".data")}"; }};\n{more}')
    return path


def refused(what, config, *words, program=ISTHMUSD, **options):
    done = subprocess.run([program, "-c", config], capture_output=True, text=True, timeout=PATIENCE_S, check=False,
                          stdin=subprocess.DEVNULL, **options)
    assert (done.returncode, done.stdout) == (1, ""), (what, done)
    # "listening" may come before; what is wrong is one line, and the last.
    lines = done.stderr.splitlines()
    assert [line for line in lines if " error " in line] == lines[-1:], (what, done.stderr)
    for word in words:
        assert word in lines[-1], (what, word, lines[-1])


def as_nobody():
    """Root may write everywhere, so a start as somebody else; else a folder that is closed even to its owner."""
    return {"user": pwd.getpwnam("nobody").pw_uid, "group": pwd.getpwnam("nobody").pw_gid} if os.geteuid() == 0 else {}


def ports(folder):
    with socket.create_server(("127.0.0.1", 0)) as s:
        port = s.getsockname()[1]
        config = write(folder, "port", http=f"127.0.0.1:{port}")
        refused("a taken port", config, "listen.http", f"127.0.0.1:{port}", "somebody listens there already")
        refused("an address of another machine", write(folder, "address", http="192.0.2.1:0"), "listen.http", "192.0.2.1")


def folders(folder):
    file = os.path.join(folder, "file")
    with open(file, "w"):
        pass
    refused("a file for a folder", write(folder, "f", data=file), "storage.dir", file, "no folder")
    refused("below a file", write(folder, "b", data=file + "/data"), "storage.dir", file + "/data", "cannot be made")
    closed = os.path.join(folder, "closed")
    os.mkdir(closed, 0o500)
    os.chmod(folder, 0o755)
    # The program may lie where nobody but its owner looks.
    program = shutil.copy(ISTHMUSD, os.path.join(folder, "isthmusd"))
    refused("a closed folder", write(folder, "c", data=closed), "storage.dir", closed, "cannot be", "Permission denied",
            program=program, **as_nobody())
    foreign = os.path.join(folder, "foreign")
    os.mkdir(foreign)
    for what, text in (("text", b"somebody else's notes\n"), ("zeros", bytes(65536))):
        with open(os.path.join(foreign, "data.mdb"), "wb") as f:
            f.write(text)
        refused(f"a foreign file of {what}", write(folder, "o", data=foreign), "storage.dir", foreign,
                "damaged, or not a store of Isthmus")
        with open(os.path.join(foreign, "data.mdb"), "rb") as f:
            assert f.read() == text, f"the foreign file of {what} was changed"


def named_files(folder):
    key = os.path.join(folder, "key")
    refused("a key file that is not there", write(folder, "k", more=f'auth = {{ api_key_file = "{key}"; }};\n'),
            "auth", key, "No such file")
    with open(key, "w"):
        pass
    refused("an empty key file", write(folder, "k", more=f'auth = {{ api_key_file = "{key}"; }};\n'), "auth", key)


def second(folder):
    with Daemon() as first:
        first.start()
        first.good("PUT", "/collections/c", {"vectors": {"size": 2, "distance": "Dot"}})
        data = os.path.join(first.folder, "data")
        refused("a second daemon on one folder", write(folder, "second", data=data), "storage.dir", data,
                f"open in another process ({first.process.pid})")
        assert first.good("GET", "/collections/c/exists") == {"exists": True}
        assert first.stop() == 0


def main():
    with tempfile.TemporaryDirectory(prefix="isthmus-") as folder:
        for part in (ports, folders, named_files, second):
            part(folder)


main()
