#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The daemon tells systemd that it is ready, alive, reloading and stopping; a stop answers the requests that were begun,
over HTTP/1.1 and HTTP/2, takes no new ones, and ends with status 0."""

import json
import os
import signal
import socket
import tempfile

import lib_h2
from lib_daemon import PATIENCE_S, Daemon

WATCHDOG_MS = 400
POINTS = "/collections/c/points?wait=true"


class Systemd:
    """The other end of $NOTIFY_SOCKET."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.settimeout(PATIENCE_S)

    def message(self):
        return dict(line.split("=", 1) for line in self.socket.recv(4096).decode().splitlines())

    def until(self, word):
        """The first message with this word; before it there may be signs of life only."""
        while True:
            message = self.message()
            if word in message:
                return message
            assert message == {"WATCHDOG": "1"}, message


def point(number):
    return json.dumps({"points": [{"id": number, "vector": [number, 1]}]}).encode()


class Begun:
    """A write over HTTP/1.1 whose body stops after its first byte; the server has said that it has read the head."""

    def __init__(self, d, number):
        self.text = point(number)
        self.socket = socket.create_connection(("127.0.0.1", d.http_port), timeout=PATIENCE_S)
        head = (f"PUT {POINTS} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nexpect: 100-continue\r\n"
                f"content-length: {len(self.text)}\r\n\r\n")
        self.socket.sendall(head.encode())
        said = self.socket.recv(4096)
        assert said == b"HTTP/1.1 100 Continue\r\n\r\n", said
        self.socket.sendall(self.text[:1])

    def end(self):
        """All that the server then says, to the end of the connection."""
        self.socket.sendall(self.text[1:])
        said = b""
        while more := self.socket.recv(65536):
            said += more
        self.socket.close()
        return said


def answers_what_was_begun(d, systemd):
    one = Begun(d, 1)
    two = lib_h2.Client(d.http_port, PATIENCE_S)
    two.request(1, "PUT", POINTS, [("content-type", "application/json")])
    two.send(lib_h2.frame(lib_h2.DATA, 0, 1, point(2)[:1]))
    two.been_read()
    idle = socket.create_connection(("127.0.0.1", d.http_port), timeout=PATIENCE_S)
    assert d.ask("GET", "/healthz")[0] == 200

    d.signal(signal.SIGTERM)
    stopping = systemd.until("STOPPING")
    assert stopping["STOPPING"] == "1", stopping
    allowed = systemd.until("EXTEND_TIMEOUT_USEC")
    assert int(allowed["EXTEND_TIMEOUT_USEC"]) > 30_000_000, allowed

    assert idle.recv(1) == b"", "an idle connection is closed"
    try:
        socket.create_connection(("127.0.0.1", d.http_port), timeout=PATIENCE_S).close()
        raise AssertionError("a stopping daemon takes no new connections")
    except ConnectionRefusedError:
        pass
    said = one.end()
    assert said.startswith(b"HTTP/1.1 200 ") and b'"status":"completed"' in said, said
    two.send(lib_h2.frame(lib_h2.DATA, lib_h2.END_STREAM, 1, point(2)[1:]))
    assert b'"status":"completed"' in two.body(1)
    two.close()
    idle.close()
    assert d.wait() == 0
    assert "requests in work are given up" not in d.log()


def main():
    with tempfile.TemporaryDirectory(prefix="isthmus-") as folder, Daemon() as d:
        systemd = Systemd(folder)
        os.environ["NOTIFY_SOCKET"] = systemd.path
        os.environ["WATCHDOG_USEC"] = str(WATCHDOG_MS * 1000)
        d.start()
        for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC"):
            del os.environ[name]
        ready = systemd.message()
        assert ready.get("READY") == "1" and "STATUS" in ready, ready
        d.good("PUT", "/collections/c", {"vectors": {"size": 2, "distance": "Dot"}})
        for _ in range(3):
            assert systemd.message() == {"WATCHDOG": "1"}

        d.signal(signal.SIGHUP)
        reloading = systemd.until("RELOADING")
        assert reloading["RELOADING"] == "1" and int(reloading["MONOTONIC_USEC"]) > 0, reloading
        assert systemd.until("READY")["READY"] == "1"

        answers_what_was_begun(d, systemd)
        # What was answered while stopping was kept.
        d.start()
        assert d.good("POST", "/collections/c/points/count", {"exact": True})["count"] == 2
        assert d.stop() == 0


main()
