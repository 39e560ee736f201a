#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A body within limits.body may still be too much for one request once it is read: points of a few bytes each. That is
answered 413, not as if the machine were out of memory, nothing of it is written, and less of it is taken."""

from lib_daemon import Daemon

POINTS = 900_000
BODY_MAX = 32 << 20


def body(count):
    return b'{"points":[' + b",".join(b'{"id":%d,"vector":[1]}' % i for i in range(count)) + b"]}"


def put(connection, count):
    connection.request("PUT", "/collections/c/points?wait=true", body(count), {"content-type": "application/json"})
    reply = connection.getresponse()
    return reply.status, reply.read()


def main():
    assert len(body(POINTS)) < BODY_MAX
    with Daemon() as d:
        d.start()
        connection = d.connect()
        d.good("PUT", "/collections/c", {"vectors": {"size": 1, "distance": "Dot"}})
        status, text = put(connection, POINTS)
        assert status == 413 and b"more memory than one may have" in text, (status, text[:300])
        assert d.good("POST", "/collections/c/points/count", {})["count"] == 0
        status, text = put(connection, POINTS // 9)
        assert status == 200, (status, text[:300])
        assert d.good("POST", "/collections/c/points/count", {})["count"] == POINTS // 9
        connection.close()
        assert d.stop() == 0
    print("%d points refused, %d taken" % (POINTS, POINTS // 9))


main()
