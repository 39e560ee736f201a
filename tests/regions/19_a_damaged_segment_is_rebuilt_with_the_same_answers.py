#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Segment files and their manifest are derived: damaged, cut off, exchanged or gone, the daemon starts, answers rightly at
once, builds them again, and then answers as before, the graph's answers too."""

import glob
import os
import random
import time

from lib_daemon import PATIENCE_S, Daemon

COUNT = 3000
DIM = 16
QUERIES = 25
POLL_S = 0.02


def vectors(seed, count):
    numbers = random.Random(seed)
    return [[round(numbers.gauss(0, 1), 3) for _ in range(DIM)] for _ in range(count)]


def fill(d):
    d.good("PUT", "/collections/c", {"vectors": {"size": DIM, "distance": "Dot"},
                                     "optimizers_config": {"indexing_threshold": 0}})
    points = [{"id": i, "vector": v, "payload": {"n": i % 10}} for i, v in enumerate(vectors(1, COUNT))]
    for at in range(0, COUNT, 500):
        d.good("PUT", "/collections/c/points?wait=true", {"points": points[at:at + 500]})
    # No graph until all are there, so that there is one segment, however fast it is built.
    d.good("PATCH", "/collections/c", {"optimizers_config": {"indexing_threshold": 1}})


def wait_until_built(d):
    until = time.monotonic() + PATIENCE_S
    while True:
        info = d.good("GET", "/collections/c")
        if info["status"] == "green" and info["indexed_vectors_count"] == COUNT and info["segments_count"] == 1:
            return
        assert time.monotonic() < until, info
        time.sleep(POLL_S)


def answers(d, exact):
    """Ids and scores, without and with a filter."""
    searches = []
    for i, query in enumerate(vectors(2, QUERIES)):
        searches.append({"query": query, "limit": 10, "params": {"exact": exact}})
        searches.append({**searches[-1], "filter": {"must": [{"key": "n", "match": {"value": i % 10}}]}})
    found = d.good("POST", "/collections/c/points/query/batch", {"searches": searches})
    return [[(p["id"], p["score"]) for p in one["points"]] for one in found]


def check_exact(found):
    """Against a calculation of our own: the same order by score, but where float32 cannot tell two apart."""
    stored = vectors(1, COUNT)
    for i, query in enumerate(vectors(2, QUERIES)):
        for filtered, one in ((False, found[2 * i]), (True, found[2 * i + 1])):
            scores = sorted((sum(a * b for a, b in zip(query, v)) for k, v in enumerate(stored)
                             if not filtered or k % 10 == i % 10), reverse=True)[:10]
            assert len(one) == 10
            assert all(abs(got - wanted) < 1e-3 for (_, got), wanted in zip(one, scores)), (query, one, scores)


def segment(d):
    """The one segment file."""
    files = glob.glob(d.folder + "/data/*/shard-0/*.segment")
    assert len(files) == 1, files
    return files[0]


def manifest(d):
    files = glob.glob(d.folder + "/data/*/shard-0/*.manifest")
    assert len(files) == 1, files
    return files[0]


def flip(path, at):
    """One bit, at a fraction of the file."""
    with open(path, "r+b") as f:
        f.seek(int((os.path.getsize(path) - 1) * at))
        byte = f.read(1)[0]
        f.seek(-1, os.SEEK_CUR)
        f.write(bytes([byte ^ 4]))


def rubbish(path):
    size = os.path.getsize(path)
    with open(path, "wb") as f:
        f.write(random.Random(3).randbytes(size))


# What is done to a file while the daemon is down.
DAMAGES = [
    ("a bit in the segment's header", segment, lambda path: flip(path, 0)),
    ("a bit in its middle", segment, lambda path: flip(path, 0.5)),
    ("a bit near its end", segment, lambda path: flip(path, 0.98)),
    ("half of it", segment, lambda path: os.truncate(path, os.path.getsize(path) // 2)),
    ("nothing in it", segment, lambda path: os.truncate(path, 0)),
    ("rubbish in it", segment, rubbish),
    ("a segment that is gone", segment, os.remove),
    ("a bit in the manifest", manifest, lambda path: flip(path, 0.5)),
    ("half a manifest", manifest, lambda path: os.truncate(path, os.path.getsize(path) // 2)),
    ("a manifest that is gone", manifest, os.remove),
]


def main():
    with Daemon('threads = { builders = 2; };') as d:
        d.start()
        fill(d)
        wait_until_built(d)
        exact, by_graph = answers(d, True), answers(d, False)
        check_exact(exact)
        for what, file, damage in DAMAGES:
            assert d.stop() == 0
            before = os.stat(segment(d))
            damage(file(d))
            d.start()
            assert answers(d, True) == exact, what
            wait_until_built(d)
            assert answers(d, True) == exact, what
            assert answers(d, False) == by_graph, what
            built = os.stat(segment(d))
            assert built.st_mtime_ns > before.st_mtime_ns and built.st_size == before.st_size, (what, before, built)
        # And once whole, nothing is built again.
        assert d.stop() == 0
        d.start()
        assert os.stat(segment(d)).st_mtime_ns == built.st_mtime_ns
        info = d.good("GET", "/collections/c")
        assert (info["status"], info["indexed_vectors_count"]) == ("green", COUNT), info
        assert d.stop() == 0


main()
