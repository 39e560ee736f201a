#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A vector file is made with its first point, grows from little, and holds no descriptor: collections with many shards
cost by what is in them. When descriptors are few, a write is refused with words or done, and the daemon goes on."""

import os
import resource

from lib_daemon import Daemon

COLLECTIONS = 12
SHARDS = 16
POINTS = 100
FILE_KB_MAX = 72


def disk_kb(folder):
    return sum(os.lstat(os.path.join(path, f)).st_blocks // 2 for path, _, files in os.walk(folder) for f in files
               if f.endswith(".slots"))


def descriptors(d):
    return len(os.listdir(f"/proc/{d.process.pid}/fd"))


def few_descriptors(d):
    """A commit wants one for each vector file that it writes."""
    points = {"points": [{"id": i, "vector": [i, 1, 1, 2]} for i in range(POINTS)]}
    limits = resource.prlimit(d.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(d.process.pid, resource.RLIMIT_NOFILE, (descriptors(d) + 5, limits[1]))
    connection = d.connect()
    status, reply = d.ask("PUT", "/collections/c0/points?wait=true", points, connection=connection)
    assert status == 503 and "LimitNOFILE" in reply["status"]["error"], (status, reply)
    assert d.good("POST", "/collections/c0/points/count", {"exact": True}, connection=connection)["count"] == POINTS
    resource.prlimit(d.process.pid, resource.RLIMIT_NOFILE, limits)
    d.good("PUT", "/collections/c0/points?wait=true", points)


def main():
    with Daemon() as d:
        d.start()
        before = descriptors(d)
        for c in range(COLLECTIONS):
            d.good("PUT", f"/collections/c{c}", {"vectors": {"size": 4, "distance": "Dot"}, "shard_number": SHARDS})
        assert disk_kb(d.folder) == 0 and descriptors(d) <= before + 8, (disk_kb(d.folder), descriptors(d), before)
        for c in range(COLLECTIONS):
            d.good("PUT", f"/collections/c{c}/points?wait=true",
                   {"points": [{"id": i, "vector": [i, c, 1, 2]} for i in range(POINTS)]})
        kb, held = disk_kb(d.folder), descriptors(d)
        print(f"{COLLECTIONS * SHARDS} shards with points: {kb} KB of vector files, {held - before} descriptors more")
        assert kb <= COLLECTIONS * SHARDS * FILE_KB_MAX, kb
        assert held <= before + 8, (held, before)
        few_descriptors(d)
        d.kill()
        d.start()
        assert descriptors(d) <= before + 8
        for c in range(COLLECTIONS):
            found = d.good("POST", f"/collections/c{c}/points", {"ids": [POINTS - 1], "with_vector": True})
            assert found[0]["vector"] == [POINTS - 1, c or 1, 1, 2], found
        assert d.stop() == 0


main()
