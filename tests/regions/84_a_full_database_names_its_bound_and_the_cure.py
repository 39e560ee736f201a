#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""When the database has grown to storage.map_size, writes are refused with 507 and words that name the key, its value and
what to do; nothing of them is kept, reads go on, a restart changes nothing, and with a greater bound writes go on."""

import re

from lib_daemon import Daemon

BATCH = 50
BATCHES_MAX = 200
TEXT = "x" * 4000
DIM = 2


def configure(d, map_size):
    with open(d.config, "w", encoding="utf-8") as f:
        f.write('listen = { http = "127.0.0.1:0"; grpc = "off"; };\n'
                'storage = { dir = "%s/data"; map_size = "%s"; };\n' % (d.folder, map_size))


def upsert(d, first):
    return d.ask("PUT", "/collections/c/points?wait=true",
                 {"points": [{"id": i, "vector": [float(i), 1.0], "payload": {"n": i, "text": TEXT}}
                             for i in range(first, first + BATCH)]})


def is_refused(status, reply):
    assert status == 507, (status, reply)
    words = reply["status"]["error"]
    assert words.startswith("Insufficient storage: "), words
    assert "storage.map_size, 16 MiB" in words and "raised" in words and "disk" not in words, words


def fill(d):
    for number in range(BATCHES_MAX):
        status, reply = upsert(d, number * BATCH)
        if status != 200:
            is_refused(status, reply)
            return number * BATCH
    raise AssertionError("the database does not fill")


def check_reads(d, count):
    assert d.good("POST", "/collections/c/points/count", {"exact": True})["count"] == count
    last = d.good("POST", "/collections/c/points", {"ids": [0, count - 1, count], "with_payload": ["n"]})
    assert last == [{"id": i, "payload": {"n": i}} for i in (0, count - 1)], last
    found = d.good("POST", "/collections/c/points/query", {"query": [1.0] * DIM, "limit": 2})["points"]
    assert [p["id"] for p in found] == [count - 1, count - 2], found


def metric(d, name):
    connection = d.connect()
    connection.request("GET", "/metrics")
    return float(re.search(r"^%s (\S+)$" % name, connection.getresponse().read().decode(), re.M).group(1))


def main():
    with Daemon() as d:
        configure(d, "16MiB")
        d.start()
        d.good("PUT", "/collections/c", {"vectors": {"size": DIM, "distance": "Dot"}})
        count = fill(d)
        check_reads(d, count)
        for _ in range(5):
            is_refused(*upsert(d, count))
        check_reads(d, count)
        assert d.ask("GET", "/healthz")[0] == 200
        used, bound = (metric(d, name) for name in ("isthmus_store_bytes", "isthmus_store_bytes_max"))
        assert bound == 16 << 20 and 0.85 * bound < used <= bound, (used, bound)
        d.kill()
        d.start()
        check_reads(d, count)
        is_refused(*upsert(d, count))
        assert d.stop() == 0
        configure(d, "64MiB")
        d.start()
        check_reads(d, count)
        status, reply = upsert(d, count)
        assert (status, reply["result"]["status"]) == (200, "completed"), reply
        check_reads(d, count + BATCH)
        assert d.stop() == 0
        print(f"{count} points fit, then 7 writes were refused")


main()
