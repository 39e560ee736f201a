#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One daemon without peers: answers on all its sockets, is shown by isthmusctl, keeps its data over a restart, and what
stands in the way of a start is said in one line."""

import os
import signal
import socket

from lib_daemon import Daemon, run


def one_line(finished, *words):
    assert finished.returncode == 1, finished
    assert finished.stderr.count("\n") == 1, finished.stderr
    for word in words:
        assert word in finished.stderr, (word, finished.stderr)


def write(d):
    d.good("PUT", "/collections/c", {"vectors": {"size": 2, "distance": "Dot"}})
    points = [{"id": i, "vector": [i, 1], "payload": {"n": i}} for i in range(1, 101)]
    d.good("PUT", "/collections/c/points?wait=true", {"points": points})


def check_data(d):
    assert d.good("POST", "/collections/c/points/count", {"exact": True})["count"] == 100
    found = d.good("POST", "/collections/c/points/query", {"query": [1, 0], "limit": 2, "with_payload": True})
    assert [p["id"] for p in found["points"]] == [100, 99], found
    assert found["points"][0]["payload"] == {"n": 100}


def check_ctl(d):
    status = d.ctl("status")
    assert status.returncode == 0, status
    assert "ready     yes" in status.stdout and "\nc  " in status.stdout, status.stdout
    assert d.ctl("status", "--json").stdout.startswith("{")
    assert "isthmusd " in d.ctl("version").stdout
    assert d.ctl("nonsense").returncode == 2
    assert d.ctl("status", "--limit", "5").returncode == 2
    assert d.ctl("search").returncode == 2
    by_url = d.ctl("status", "--url", "http://127.0.0.1:%d" % d.http_port, socket=False)
    assert by_url.returncode == 0, by_url


def check_obstacles(d):
    same_folder = run("-c", d.config)
    one_line(same_folder, "storage.dir: ", "open in another process")
    with Daemon(listen='http = "127.0.0.1:%d"; grpc = "off";' % d.http_port) as other:
        one_line(run("-c", other.config), "listen.http: 127.0.0.1:%d: somebody listens there already" % d.http_port)
    with Daemon() as other:
        os.mkdir(os.path.join(other.folder, "data"))
        with open(os.path.join(other.folder, "data", "data.mdb"), "wb") as f:
            f.write(b"somebody else's file" * 1000)
        one_line(run("-c", other.config), "data.mdb")
        with open(os.path.join(other.folder, "data", "data.mdb"), "rb") as f:
            assert f.read(20) == b"somebody else's file"


def check_second_signal(d):
    """A request that does not come to its end keeps the daemon, until it is told again."""
    with socket.create_connection(("127.0.0.1", d.http_port)) as slow:
        slow.sendall(b"POST /collections/c/points/count HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{")
        # An answer to another client says that the loops have gone on since.
        assert d.ask("GET", "/healthz")[0] == 200
        d.signal(signal.SIGTERM)
        d.wait_for("connections are drained")
        d.signal(signal.SIGTERM)
        d.wait_for("ending at once, requests in work are given up")
        assert d.wait() == 0


def main():
    with Daemon() as d:
        d.start()
        assert d.ask("GET", "/readyz") == (200, "all shards are ready")
        write(d)
        check_data(d)
        check_ctl(d)
        check_obstacles(d)
        with socket.create_connection(("127.0.0.1", d.http_port)):
            # An idle connection does not keep it.
            assert d.stop() == 0
        assert not os.path.exists(d.socket)
        assert d.ctl("status").returncode == 3

        d.start()
        check_data(d)
        d.kill()
        # The socket of a dead daemon is in nobody's way.
        assert os.path.exists(d.socket)
        d.start()
        check_data(d)
        d.signal(signal.SIGINT)
        assert d.wait() == 0
        d.start()
        check_second_signal(d)
        d.start()
        check_data(d)
        assert d.stop() == 0


main()
