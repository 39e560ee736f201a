# SPDX-License-Identifier: Apache-2.0
"""One isthmusd in a folder of its own, on free ports, for scripts of this folder."""

import http.client
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "demo"))
import server  # noqa: E402

server.fleets.end_in_order()
ISTHMUSD = os.environ.get("ISTHMUSD", "")
ISTHMUSCTL = os.environ.get("ISTHMUSCTL", "")
PATIENCE_S = 30


def skip(why):
    print(why)
    sys.exit(77)


class Daemon:
    """With `more`, lines of the configuration; the folder and what is in it go with close()."""

    def __init__(self, more="", listen='http = "127.0.0.1:0"; grpc = "127.0.0.1:0";'):
        if not ISTHMUSD or not ISTHMUSCTL:
            sys.exit("ISTHMUSD and ISTHMUSCTL are to name the programs")
        self.folder = tempfile.mkdtemp(prefix="isthmus-")
        self.config = os.path.join(self.folder, "isthmus.conf")
        self.socket = os.path.join(self.folder, "data", "ctl.sock")
        self.log_path = os.path.join(self.folder, "log")
        self.process = None
        self.configure(more, listen)

    def configure(self, more="", listen='http = "127.0.0.1:0"; grpc = "127.0.0.1:0";'):
        with open(self.config, "w", encoding="utf-8") as f:
            f.write('listen = { %s };\nstorage = { dir = "%s/data"; map_size = "1GiB"; };\n%s\n'
                    % (listen, self.folder, more))

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind:
            sys.stderr.write(self.log())
        self.close()

    def log(self):
        if not os.path.exists(self.log_path):
            return ""
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def start(self):
        """Returns when it says that it is ready; its log is read as it is written."""
        read_end, write_end = os.pipe()
        self.process = subprocess.Popen([ISTHMUSD, "-c", self.config], stderr=write_end, stdin=subprocess.DEVNULL,
                                        cwd=self.folder)
        os.close(write_end)
        self.log_copy = subprocess.Popen(["tee", "-a", self.log_path], stdin=read_end, stdout=subprocess.PIPE)
        os.close(read_end)
        self.read_text = ""
        self.wait_for("ready version=")
        self.http_port = self.port_of("listen.http")
        self.grpc_port = self.port_of("listen.grpc")
        return self

    def wait_for(self, words):
        """Until the log of this start has these words."""
        until = time.monotonic() + PATIENCE_S
        out = self.log_copy.stdout
        while words not in self.read_text:
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError("the log does not say %r" % words)
            if not select.select([out], [], [], left)[0]:
                continue
            more = os.read(out.fileno(), 65536)
            if not more:
                raise RuntimeError("isthmusd ended before its log said %r" % words)
            self.read_text += more.decode(errors="replace")

    def port_of(self, key):
        found = re.search(r"key=%s address=\S+ port=(\d+)" % re.escape(key), self.read_text)
        return int(found.group(1)) if found else None

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self):
        """Its status; negative: a signal ended it."""
        status = self.process.wait(PATIENCE_S)
        self.log_copy.stdout.close()
        self.log_copy.wait(PATIENCE_S)
        self.process = None
        return status

    def stop(self):
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self):
        self.signal(signal.SIGKILL)
        return self.wait()

    def close(self):
        if self.process:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=PATIENCE_S)

    def ask(self, verb, path, body=None, key=None, connection=None):
        """Status and decoded reply."""
        mine = connection or self.connect()
        headers = {"content-type": "application/json"} if body is not None else {}
        if key:
            headers["api-key"] = key
        mine.request(verb, path, json.dumps(body) if body is not None else None, headers)
        reply = mine.getresponse()
        text = reply.read().decode()
        if not connection:
            mine.close()
        try:
            return reply.status, json.loads(text)
        except ValueError:
            return reply.status, text

    def good(self, verb, path, body=None, **more):
        status, reply = self.ask(verb, path, body, **more)
        assert status == 200, (verb, path, status, reply)
        return reply["result"] if isinstance(reply, dict) and "result" in reply else reply

    def ctl(self, *args, socket=True):
        """A finished isthmusctl."""
        command = [ISTHMUSCTL, *args] + (["--socket", self.socket] if socket else [])
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def run(*args):
    """A finished isthmusd, for starts that do not last."""
    return subprocess.run([ISTHMUSD, *args], capture_output=True, text=True, timeout=PATIENCE_S, check=False,
                          stdin=subprocess.DEVNULL)
