#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One bit of a vector file is flipped: reading that vector is refused with the point's name and counted, everything else
is answered, and a client that writes the point again has cured it."""

import os
import re

from lib_daemon import Daemon

DIM = 16
COUNT = 50
VICTIM = 30


def vector(i):
    return [float(i * 16 + k + 0.25) for k in range(DIM)]


def read(d, i, with_vector):
    return d.ask("POST", "/collections/c/points", {"ids": [i], "with_vector": with_vector})


def metric(d, name):
    connection = d.connect()
    connection.request("GET", "/metrics")
    return float(re.search(r"^%s (\S+)$" % name, connection.getresponse().read().decode(), re.M).group(1))


def flip(path):
    """In the vector of the victim: vectors lie in the order of their writing, each in 64 bytes."""
    with open(path, "r+b") as f:
        f.seek(4096 + VICTIM * 64 + 10)
        byte = f.read(1)[0]
        f.seek(-1, os.SEEK_CUR)
        f.write(bytes([byte ^ 1]))


def main():
    with Daemon() as d:
        d.start()
        d.good("PUT", "/collections/c", {"vectors": {"size": DIM, "distance": "Dot"}})
        for i in range(COUNT):
            d.good("PUT", "/collections/c/points?wait=true", {"points": [{"id": i, "vector": vector(i), "payload": {"n": i}}]})
        assert d.stop() == 0
        flip(next(os.path.join(path, f) for path, _, files in os.walk(d.folder) for f in files if f == "v0.slots"))
        d.start()
        status, reply = read(d, VICTIM, True)
        assert status == 500 and f"point {VICTIM} is damaged" in reply["status"]["error"], (status, reply)
        status, reply = d.ask("POST", "/collections/c/points/scroll", {"with_vector": True, "limit": COUNT})
        assert status == 500 and f"point {VICTIM} is damaged" in reply["status"]["error"], (status, reply)
        assert metric(d, "isthmus_damaged_reads_total") == 2
        assert read(d, VICTIM, False)[0] == 200
        for i in range(COUNT):
            status, reply = read(d, i, True)
            assert i == VICTIM or (status == 200 and reply["result"][0]["vector"] == vector(i)), (i, status, reply)
        assert d.good("POST", "/collections/c/points/count", {"exact": True})["count"] == COUNT
        assert len(d.good("POST", "/collections/c/points/query", {"query": vector(1), "limit": COUNT})["points"]) == COUNT
        d.good("PUT", "/collections/c/points?wait=true", {"points": [{"id": VICTIM, "vector": vector(VICTIM)}]})
        assert read(d, VICTIM, True)[1]["result"][0]["vector"] == vector(VICTIM)
        assert d.stop() == 0


main()
