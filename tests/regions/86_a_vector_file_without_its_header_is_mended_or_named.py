#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A vector file whose header is damaged is proved by the hashes of its rows: if the vectors are theirs, the header is
written anew with a warning and everything is served; if it is another file, cut off or gone, the start ends with status 1
and one line that names the file and what to do, and with the file back all is there."""

import os
import shutil

from lib_daemon import Daemon, run

DIM = 8
COUNT = 300


def vector(i):
    return [float((i * 7 + k) % 13 + 1) for k in range(DIM)]


def slots(d, collection):
    """The one vector file; collections lie in the order of their making."""
    folders = sorted(f for f in os.listdir(os.path.join(d.folder, "data"))
                     if os.path.isdir(os.path.join(d.folder, "data", f, "shard-0")))
    return os.path.join(d.folder, "data", folders[collection], "shard-0", "v0.slots")


def check(d):
    for name in ("a", "b"):
        assert d.good("POST", f"/collections/{name}/points/count", {"exact": True})["count"] == COUNT
        found = d.good("POST", f"/collections/{name}/points", {"ids": list(range(COUNT)), "with_vector": True})
        assert [r["vector"] for r in sorted(found, key=lambda r: r["id"])] == \
            [[v + (name == "b") for v in vector(i)] for i in range(COUNT)], name


def refused(d, what, *words):
    ended = run("-c", d.config)
    assert ended.returncode == 1, (what, ended)
    errors = [line for line in ended.stderr.splitlines() if " error " in line]
    assert len(errors) == 1 and errors == ended.stderr.splitlines()[-1:], (what, ended.stderr)
    for word in ("storage.dir: ", "v0.slots", "whole copy", *words):
        assert word in errors[0], (what, word, errors[0])


def spoil(path, data):
    with open(path, "r+b") as f:
        f.write(data)


def main():
    with Daemon() as d:
        d.start()
        for name in ("a", "b"):
            d.good("PUT", f"/collections/{name}", {"vectors": {"size": DIM, "distance": "Dot"}})
            d.good("PUT", f"/collections/{name}/points?wait=true",
                   {"points": [{"id": i, "vector": [v + (name == "b") for v in vector(i)]} for i in range(COUNT)]})
        assert d.stop() == 0
        first, second = slots(d, 0), slots(d, 1)
        for damage in (b"\xff", bytes(24), b"X" * 4096):
            spoil(first, damage)
            d.start()
            check(d)
            assert "vector files had damaged headers" in d.read_text and "files=1 wrong_vectors=0" in d.read_text
            assert d.stop() == 0
        d.start()
        assert "damaged headers" not in d.read_text
        assert d.stop() == 0
        shutil.copy(first, first + ".whole")
        shutil.copy(second, first)
        spoil(first, b"\xff")
        refused(d, "another file", "its header is damaged", f"{COUNT} of {COUNT} vectors")
        os.truncate(first, 4096 + 4096)
        refused(d, "half a file", "is cut off or gone")
        os.remove(first)
        refused(d, "no file", "is cut off or gone")
        shutil.move(first + ".whole", first)
        d.start()
        check(d)
        assert d.stop() == 0
    print("3 headers mended, 3 starts refused")


main()
