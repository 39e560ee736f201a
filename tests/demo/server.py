# SPDX-License-Identifier: Apache-2.0
"""One isthmusd of its own ports and folder, and the little of HTTP and gRPC that tests and the demo speak.
Standard library only."""
import collections
import http.client
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fleet"))
import fleet as fleets  # noqa: E402


# A step of the demo: a word to ask for it by, what it shows, the function, the words of the steps that it needs before it.
Step = collections.namedtuple("Step", "name title run needs", defaults=((),))


def program(variable, name):
    path = os.environ.get(variable) or shutil.which(name)
    if not path:
        raise RuntimeError(f"{name} is not built: run ./dev build, or set {variable}")
    return path


def wait_for(what, fn, seconds):
    """Polls a condition of the world outside; the bound is a failure, not a guess at how long it takes."""
    end = time.monotonic() + seconds
    while True:
        value = fn()
        if value:
            return value
        if time.monotonic() > end:
            raise RuntimeError(f"{what}: not within {seconds} s")
        time.sleep(0.02)


class Rest:
    """Qdrant's REST API over one kept connection."""

    def __init__(self, port, host="127.0.0.1", timeout=60):
        self.host, self.port, self.timeout = host, port, timeout
        self.conn = None

    def raw(self, verb, path, body=None, headers=None):
        data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        head = {"content-type": "application/json"} if data is not None else {}
        head.update(headers or {})
        for attempt in (0, 1):
            try:
                if self.conn is None:
                    self.conn = http.client.HTTPConnection(self.host, self.port, timeout=self.timeout)
                self.conn.request(verb, path, data, head)
                reply = self.conn.getresponse()
                return reply.status, dict((k.lower(), v) for k, v in reply.getheaders()), reply.read()
            except (OSError, http.client.HTTPException) as e:
                # Whatever it was (a time-out, too): what still comes is not to be taken for the next request's reply.
                self.close()
                # A kept connection that was closed while idle: reading again is safe, writing again is not.
                lost = isinstance(e, (ConnectionResetError, BrokenPipeError))
                if attempt or verb != "GET" or not lost:
                    raise

    def call(self, verb, path, body=None, headers=None, ok=(200,)):
        status, head, text = self.raw(verb, path, body, headers)
        if status not in ok:
            raise RuntimeError(f"{verb} {path}: {status} {text[:300].decode(errors='replace')}")
        parsed = json.loads(text)
        return parsed.get("result", parsed)

    def close(self):
        if self.conn is not None:
            self.conn.close()
        self.conn = None


class Server:
    def __init__(self, folder, config=None, env=None):
        self.dir = folder
        os.makedirs(folder, exist_ok=True)
        self.http, self.grpc = fleets.free_ports(2)
        self.config = os.path.join(folder, "isthmus.conf")
        self.log = os.path.join(folder, "isthmusd.log")
        self.env = dict(os.environ, **(env or {}))
        self.proc = None
        with open(self.config, "w") as f:
            f.write(f'listen = {{ http = "127.0.0.1:{self.http}"; grpc = "127.0.0.1:{self.grpc}"; }};\n'
                    f'storage = {{ dir = "{folder}/data"; }};\n' + (config or ""))

    @property
    def url(self):
        return f"http://127.0.0.1:{self.http}"

    def start(self, seconds=30):
        with open(self.log, "ab") as out, fleets.Whole():
            self.proc = subprocess.Popen([program("ISTHMUSD", "isthmusd"), "-c", self.config], stdout=out, stderr=out,
                                         stdin=subprocess.DEVNULL, env=self.env)
        wait_for("isthmusd is ready", self.ready, seconds)
        return self

    def ready(self):
        if self.proc.poll() is not None:
            raise RuntimeError(f"isthmusd ended with {self.proc.returncode}:\n{self.log_tail()}")
        try:
            with socket.create_connection(("127.0.0.1", self.http), timeout=1):
                pass
            return self.rest(timeout=5).raw("GET", "/readyz")[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def rest(self, timeout=60):
        return Rest(self.http, timeout=timeout)

    def kill(self):
        self.proc.send_signal(signal.SIGKILL)
        self.proc.wait()

    def stop(self, seconds=40):
        if self.proc is None or self.proc.poll() is not None:
            return self.proc.returncode if self.proc else None
        self.proc.send_signal(signal.SIGTERM)
        try:
            return self.proc.wait(seconds)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            self.proc.wait()
            raise RuntimeError("isthmusd did not end after SIGTERM:\n" + self.log_tail()) from None

    def log_tail(self, lines=15):
        try:
            with open(self.log, errors="replace") as f:
                return "".join(f.readlines()[-lines:])
        except OSError:
            return ""

    def ctl(self, *words, check=True):
        done = subprocess.run([program("ISTHMUSCTL", "isthmusctl"), *words, "--url", self.url], capture_output=True,
                              text=True, timeout=280)
        if check and done.returncode != 0:
            raise RuntimeError(f"isthmusctl {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done


# --- gRPC by hand: protobuf and frames, sent by curl over HTTP/2 with prior knowledge ---

def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def field(number, data):
    """A length-delimited field (bytes or str), or a varint (int)."""
    if isinstance(data, int):
        return varint(number << 3) + varint(data)
    data = data.encode() if isinstance(data, str) else data
    return varint(number << 3 | 2) + varint(len(data)) + data


def floats(number, values):
    return field(number, struct.pack(f"<{len(values)}f", *values))


def parse(data):
    """[(field number, value)]: ints for varints, bytes for the rest."""
    out, at = [], 0

    def read_varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        key = read_varint()
        kind = key & 7
        if kind == 0:
            out.append((key >> 3, read_varint()))
            continue
        size = {1: 8, 5: 4}.get(kind)
        if size is None:
            size = read_varint()
        out.append((key >> 3, data[at:at + size]))
        at += size
    return out


def grpc_call(port, method, message, headers=()):
    """(grpc-status, grpc-message, reply message)."""
    frame = b"\0" + struct.pack(">I", len(message)) + message
    argv = ["curl", "-sS", "--http2-prior-knowledge", "-D", "/dev/stderr", "-H", "content-type: application/grpc",
            "-H", "te: trailers", "--data-binary", "@-", "--max-time", "30"]
    for h in headers:
        argv += ["-H", h]
    done = subprocess.run(argv + [f"http://127.0.0.1:{port}/{method}"], input=frame, capture_output=True, timeout=40)
    head = dict(line.split(": ", 1) for line in done.stderr.decode().splitlines() if ": " in line)
    if "grpc-status" not in head:
        raise RuntimeError(f"no gRPC answer from {method}: {done.stderr.decode()[-300:]}")
    body = done.stdout[5:] if len(done.stdout) >= 5 else b""
    return int(head["grpc-status"]), head.get("grpc-message", ""), body
